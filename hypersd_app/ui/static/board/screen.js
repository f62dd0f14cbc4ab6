// How the board takes the screen: fullscreen, mirrored for the left hand, and with the picture's tools in a menu where it is small.
import { closePopover } from "../core/popover.js";
import { readText, writeText } from "../core/storage.js";

const LEFT = "hypersd.lefthanded";
const SMALL = "(max-width: 760px)"; // as in studio.css

export function toggleFullscreen() {
  if (document.fullscreenElement) return document.exitFullscreen();
  // The whole page: what the board opens lies outside of it.
  return document.documentElement.requestFullscreen?.().catch((error) => console.warn("no fullscreen here", error));
}

// A phone shows paper and picture and has no room for a row of tools below them.
function watchSmall(element) {
  const [tools, menu, bench] = [".hs-picture-tools", "#hs-picture-menu", ".hs-bench"].map((selector) => element.querySelector(selector));
  const small = matchMedia(SMALL);
  const move = () => (small.matches ? menu : bench).append(tools);
  small.addEventListener("change", () => { closePopover(); move(); });
  move();
}

export function watchScreen({ element, board, tools }) {
  const left = element.querySelector(".hs-lefthanded");
  const show = () => { board.dataset.hand = left.checked ? "left" : "right"; };
  left.checked = readText("localStorage", LEFT) === "yes";
  left.addEventListener("change", () => { writeText("localStorage", LEFT, left.checked ? "yes" : "no"); show(); });
  show();
  watchSmall(element);
  document.addEventListener("fullscreenchange", () => {
    const on = Boolean(document.fullscreenElement);
    document.documentElement.classList.toggle("hs-fullscreen", on);
    tools.press("fullscreen", on);
  });
}
