// Which of the page's tabs is open. Kept for this tab of the browser, so that a reload opens it again.
import { texts } from "./bridge.js";
import { readText, writeText } from "./storage.js";

const KEY = "hypersd.tab";
const TABS = ["text", "board", "styles", "compare", "timeline"];
const [TRIES, EVERY] = [100, 50]; // ms between two tries
let choices = 0; // tabs that the visitor chose

const name = (tab) => TABS.find((each) => texts[`tab.${each}`] === tab.textContent.trim());

export const savedTab = () => readText("sessionStorage", KEY);

export function watchTabs() {
  document.addEventListener("click", (event) => {
    const tab = event.target.closest && event.target.closest('[role="tab"]');
    if (!tab) return;
    if (event.isTrusted) choices += 1;
    if (name(tab)) writeText("sessionStorage", KEY, name(tab));
  });
}

// A recipe may ask for a tab before Gradio has built the bar: wait until the tab is open, or the visitor wants another.
export async function openTab(wanted) {
  const chosen = choices;
  for (let tries = 0; tries < TRIES && chosen === choices; tries += 1) {
    const tab = [...document.querySelectorAll('[role="tab"]')].find((each) => name(each) === wanted);
    if (tab && tab.getAttribute("aria-selected") === "true") return;
    if (tab) tab.click();
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
