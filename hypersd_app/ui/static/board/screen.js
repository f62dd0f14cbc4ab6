// How the board takes the screen: fullscreen, and mirrored for the left hand.
import { readText, writeText } from "../core/storage.js";

const LEFT = "hypersd.lefthanded";

export function toggleFullscreen() {
  if (document.fullscreenElement) return document.exitFullscreen();
  // The whole page: what the board opens lies outside of it.
  return document.documentElement.requestFullscreen?.().catch((error) => console.warn("no fullscreen here", error));
}

export function watchScreen({ element, board, tools }) {
  const left = element.querySelector(".hs-lefthanded");
  const show = () => { board.dataset.hand = left.checked ? "left" : "right"; };
  left.checked = readText("localStorage", LEFT) === "yes";
  left.addEventListener("change", () => { writeText("localStorage", LEFT, left.checked ? "yes" : "no"); show(); });
  show();
  document.addEventListener("fullscreenchange", () => {
    const on = Boolean(document.fullscreenElement);
    document.documentElement.classList.toggle("hs-fullscreen", on);
    tools.press("fullscreen", on);
  });
}
