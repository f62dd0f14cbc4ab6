// The text tab's ideas and the prompts used before, as buttons; and what typing there does elsewhere on the page.
import { bridgeReady, config } from "../core/bridge.js";
import { part } from "../core/parts.js";
import { rememberPrompt } from "../core/session.js";
import { Suggest } from "./suggest.js";
import { clearPrompts, onPromptsChanged, usedPrompts } from "./prompts.js";

const field = () => document.querySelector("#hs-text-prompt textarea, #hs-text-prompt input");

// Typed, as far as Gradio can tell.
function type(words) {
  field().value = words;
  field().dispatchEvent(new Event("input", { bubbles: true }));
  field().focus();
}

function chip(words) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "hs-chip", textContent: words });
  button.addEventListener("click", () => type(words));
  return button;
}

export async function mountIdeas(element) {
  await bridgeReady;
  const list = (selector, all) => element.querySelector(selector).replaceChildren(...all.map(chip));
  const earlier = () => {
    const all = usedPrompts().filter((words) => !config.ideas.includes(words));
    list(".hs-earlier", all);
    element.querySelector(".hs-earlier-row").hidden = !all.length;
  };
  list(".hs-ideas", config.ideas);
  element.querySelector(".hs-earlier-clear").addEventListener("click", clearPrompts);
  onPromptsChanged(earlier);
  earlier();
}

// The text tab offers what its model knows once somebody types there.
let offered = null;
function offer() {
  const board = part("board");
  if (!board || offered === field()) return;
  offered = field();
  offered.suggest = new Suggest(offered, {
    model: () => board.settings.model.name, head: () => board.settings.head(false), take: type, free: () => board.link === undefined || board.link.idle,
  });
}

export function watchPrompt() {
  document.addEventListener("focusin", (event) => { if (event.target === field()) offer(); });
  // The prompt is one line. With Shift, Enter would add another to it, of which the live image is one, and the button's a second.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.shiftKey || event.isComposing || event.target !== field()) return;
    event.preventDefault();
    event.stopPropagation();
    document.querySelector("#hs-text-make").click();
  }, true);
  document.addEventListener("input", (event) => {
    if (event.target !== field()) return;
    const { value } = event.target;
    rememberPrompt(value); // words that nothing was drawn with yet are meant nevertheless
    // Until something is drawn the board is about what is typed here, so that style cards and grids show it too.
    const board = part("board");
    if (board && board.drawing.empty) board.settings.set("prompt", value);
  });
}
