// The page's scripts: each mount... takes over one of the page's components once Gradio has built it (ui/shell/scripts.py).
import { mountBoard, openBoard } from "./board/board.js";
import { mountCompare } from "./compare/compare_page.js";
import { openBridge } from "./core/bridge.js";
import { openFile, watchDrops } from "./core/files.js";
import { readLink } from "./core/navigation.js";
import { resumeSession } from "./core/session.js";
import { watchTabs } from "./core/tabs.js";
import { applyTheme, toggleTheme } from "./core/theme.js";
import { mountStyles } from "./styles/styles_page.js";
import { mountIdeas, watchPrompt } from "./text/ideas.js";
import { mountTimeline } from "./timeline/timeline_page.js";

export { visitorKey } from "./core/visitor_key.js";
export { filled, isFilling } from "./core/navigation.js";
export { remembered } from "./core/session.js";
export { newCatalogue } from "./styles/styles_page.js";
export { collectImages } from "./text/images.js";
export { mountBoard, mountCompare, mountIdeas, mountStyles, mountTimeline };

resumeSession();
watchTabs();
watchDrops();
watchPrompt();
window.addEventListener("hashchange", readLink);

export function mountBridge(element, props, trigger, server) {
  document.documentElement.lang = props.config.language;
  openBridge(element, props, trigger, server);
  applyTheme();
  openBoard();
  readLink();
}

export function mountHeader(element) {
  const input = element.querySelector(".hs-file");
  input.addEventListener("change", () => {
    if (input.files[0]) openFile(input.files[0]);
    input.value = "";
  });
  element.querySelector(".hs-theme").addEventListener("click", toggleTheme);
}
