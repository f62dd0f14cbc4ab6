// The styles tab: which model, its styles as cards, and where to go with the chosen ones.
import { catalogueCame, config } from "../core/bridge.js";
import { toText } from "../core/navigation.js";
import { part, provide, ready } from "../core/parts.js";
import { openTab } from "../core/tabs.js";
import { StyleStrip } from "./style_strip.js";

export class StylesPage {
  constructor(element, board) {
    Object.assign(this, { element, board });
    this.model = element.querySelector(".hs-s-model");
    this.model.addEventListener("change", () => board.settings.set("model", this.model.value));
    this.prompt = element.querySelector(".hs-s-prompt");
    this.prompt.addEventListener("input", () => board.settings.set("prompt", this.prompt.value));
    for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
    this.cards = new StyleStrip(element.querySelector(".hs-strip"), board, true);
    board.strips.push(this.cards, this); // both are told of every change
    this.plan();
  }
  plan() {
    const { models } = config;
    if (this.filled !== models) {
      this.filled = models;
      this.model.replaceChildren(...models.map((row) => new Option(row.title, row.name)));
    }
    const { model, values } = this.board.settings;
    this.model.value = model.name;
    if (this.prompt !== document.activeElement) this.prompt.value = values.prompt;
    this.element.querySelector(".hs-s-note").textContent = model.note;
    this.element.querySelector(".hs-empty").hidden = model.styles.length > 0;
    this.element.querySelector(".hs-s-go").hidden = !Object.keys(values.styles).length;
  }
  draw() { openTab("board"); }
  write() { toText({ ...this.board.settings.head(false), decoder: "" }); }
  off() { this.board.settings.set("styles", {}); }
}

export async function mountStyles(element) { provide("styles", new StylesPage(element, await ready("board"))); }

// The catalogue as it is now: models and styles may have come or gone since the page was built.
let own = []; // this page's files, which the server tells nobody else of
export async function newCatalogue(text) {
  if (!text) return;
  const board = await ready("board");
  const told = JSON.parse(text);
  own = told.own || own;
  for (const { models, style } of own) for (const row of told.models) if (models.includes(row.name)) row.styles.push(style);
  config.models = told.models;
  board.settings.update({});
  const compare = part("compare");
  if (compare) compare.renew();
  catalogueCame();
}
