// What a reload must not lose: which tab is open, and what the text tab shows. Kept for this tab of the browser alone.
import { bridgeReady, catalogueReady } from "./bridge.js";
import { fillText } from "./navigation.js";
import { readText, writeText } from "./storage.js";
import { openTab, savedTab } from "./tabs.js";

const TEXT = "hypersd.text";
let before = {}; // the reload: {tab, text}
let typed = false; // in the text tab

// For the text tab's first image: a recipe's head as JSON, "" for a new session.
export const remembered = () => before.text || "";
export const remember = (head) => writeText("sessionStorage", TEXT, JSON.stringify(head));
export function rememberPrompt(prompt) {
  const last = readText("sessionStorage", TEXT);
  if (last && prompt.trim()) remember({ ...JSON.parse(last), prompt });
}

// Reads what there was before anything new is written; a link to a recipe begins a new session.
export function resumeSession() {
  if (!location.hash.startsWith("#recipe=")) before = { tab: savedTab(), text: readText("sessionStorage", TEXT) };
  document.addEventListener("input", (event) => { if (event.target.closest('[id^="hs-text-"]')) typed = true; });
  return showAgain();
}

async function showAgain() {
  await bridgeReady;
  if (before.tab && before.tab !== "text") openTab(before.tab);
  if (!before.text) return;
  await catalogueReady; // its arrival sets the text tab's lists anew
  if (!typed) fillText(JSON.parse(before.text)); // what the visitor types meanwhile is newer
}
