// Files dropped anywhere on the page, or opened by the header's button: a recipe brings everything back, a style file becomes
// a style, any other image the board's reference image.
import { texts } from "./bridge.js";
import { restoreFile } from "./navigation.js";
import { say } from "./notify.js";
import { ready } from "./parts.js";
import { openTab } from "./tabs.js";

const [TRIES, EVERY] = [40, 50]; // ms between two tries

export async function openFile(file) {
  if (file.name.endsWith(".safetensors")) return offerStyle(file);
  if (file.name.endsWith(".zip")) { openTab("timeline"); return (await ready("timeline")).drawings.import(file); }
  if (await restoreFile(file)) return undefined;
  if (!file.type.startsWith("image/")) return say(texts["drop.unreadable"]);
  const board = await ready("board");
  openTab("board");
  return board.reference.take(file, "trace");
}

// A style file goes to the upload field of the styles tab, which Gradio builds when it opens.
async function offerStyle(file) {
  await openTab("styles");
  const field = () => document.querySelector("#hs-style-file input[type=file]");
  for (let tries = 0; tries < TRIES && !field(); tries += 1) await new Promise((resolve) => setTimeout(resolve, EVERY));
  const input = field();
  if (!input) return say(texts["styles.noupload"]);
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  return input.dispatchEvent(new Event("change", { bubbles: true }));
}

const dragged = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
const fits = (file) => file.type.startsWith("image/") || /\.(safetensors|json|zip)$/.test(file.name);

export function watchDrops() {
  window.addEventListener("dragover", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    document.body.dataset.drop = texts["drop.hint"];
    document.body.classList.add("hs-dropping");
  });
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("hs-dropping"); });
  window.addEventListener("drop", (event) => {
    document.body.classList.remove("hs-dropping");
    if (!dragged(event) || event.target.closest("input[type=file], .hs-own-drop")) return;
    const file = [...event.dataTransfer.files].find(fits);
    if (!file) return;
    event.preventDefault();
    openFile(file);
  });
}
