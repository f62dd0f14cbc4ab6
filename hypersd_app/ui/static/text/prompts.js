// The prompts used before, kept in this browser.
import { readText, writeText } from "../core/storage.js";

const KEY = "hypersd.prompts";
const MOST = 16;
const SETTLED = 2500; // ms without a new prompt: this one was meant
let timer = 0;
let listener = () => {};

export function usedPrompts() {
  try {
    return JSON.parse(readText("localStorage", KEY) || "[]").filter((words) => typeof words === "string");
  } catch {
    return [];
  }
}

function set(all) {
  writeText("localStorage", KEY, JSON.stringify(all));
  listener();
}

export function addPrompt(words) {
  if (words.trim()) set([words, ...usedPrompts().filter((each) => each !== words)].slice(0, MOST));
}

// Called for every image of the text tab: a prompt counts once nothing newer comes.
export function promptSeen(words) {
  clearTimeout(timer);
  timer = setTimeout(() => addPrompt(words), SETTLED);
}

export function clearPrompts() { set([]); }

export function onPromptsChanged(called) { listener = called; }
