// The visitor's choice of light or dark.
import { readText, writeText } from "./storage.js";

const KEY = "hypersd.theme";

export function applyTheme() {
  const chosen = readText("localStorage", KEY);
  if (chosen) document.body.classList.toggle("dark", chosen === "dark");
}

export function toggleTheme() {
  writeText("localStorage", KEY, document.body.classList.contains("dark") ? "light" : "dark");
  applyTheme();
}
