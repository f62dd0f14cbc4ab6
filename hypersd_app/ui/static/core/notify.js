// What leaves the page: short messages to the visitor, downloads, the clipboard, what is shared.
import { texts } from "./bridge.js";

const MESSAGE_STAYS = 2600; // ms
const DOWNLOAD_STARTS = 10000; // ms after which the address of a download may go

export function say(message) {
  const toast = Object.assign(document.createElement("div"), { className: "hs-toast", textContent: message });
  toast.setAttribute("role", "status");
  document.body.append(toast);
  setTimeout(() => toast.remove(), MESSAGE_STAYS);
}

const OFFER_STAYS = 8000; // ms

// A message with something to do about it.
export function offer(message, label, act) {
  const toast = Object.assign(document.createElement("div"), { className: "hs-toast", textContent: message });
  toast.setAttribute("role", "status");
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
  button.addEventListener("click", () => { toast.remove(); act(); });
  toast.append(button);
  document.body.append(toast);
  setTimeout(() => toast.remove(), OFFER_STAYS);
}

export function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), DOWNLOAD_STARTS);
}

// Without encryption, as on another machine of the same network, browsers have no clipboard but the old command.
function copyAsSelected(text) {
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "hs-copied" });
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

export async function copyText(text) {
  const done = navigator.clipboard ? await navigator.clipboard.writeText(text).then(() => true, () => false) : false;
  say(texts[done || copyAsSelected(text) ? "copied" : "copy.failed"]);
}

// An image onto the clipboard; `making` is a promise of its file, as browsers want to be asked while a click is fresh.
export async function copyImage(making) {
  const can = navigator.clipboard && window.ClipboardItem;
  const done = can && await navigator.clipboard.write([new ClipboardItem({ "image/png": making })]).then(() => true, () => false);
  if (!done) download(await making, (await making).name); // without encryption, or forbidden
  say(texts[done ? "copied" : "copy.downloaded"]);
}

// A file to another program, where the browser can; else it is downloaded.
export async function share(file) {
  if (!navigator.canShare || !navigator.canShare({ files: [file] })) { download(file, file.name); say(texts["share.downloaded"]); return; }
  await navigator.share({ files: [file] }).catch((error) => { if (error.name !== "AbortError") download(file, file.name); });
}
