// What leaves the page: short messages to the visitor, downloads, the clipboard.
import { texts } from "./bridge.js";

const MESSAGE_STAYS = 2600; // ms
const DOWNLOAD_STARTS = 10000; // ms after which the address of a download may go

export function say(message) {
  const toast = Object.assign(document.createElement("div"), { className: "hs-toast", textContent: message });
  toast.setAttribute("role", "status");
  document.body.append(toast);
  setTimeout(() => toast.remove(), MESSAGE_STAYS);
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
