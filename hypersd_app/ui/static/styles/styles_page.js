// The styles tab: which model, its styles as cards, and where to go with the chosen ones.
import { callServer, catalogueCame, config, texts } from "../core/bridge.js";
import { toText } from "../core/navigation.js";
import { part, provide, ready } from "../core/parts.js";
import { openTab } from "../core/tabs.js";
import { StyleStrip } from "./style_strip.js";

const MORE = 48; // cards with every click
const TYPED = 200; // ms without a change
const SCAN_EVERY = 1500; // ms

export class StylesPage {
  constructor(element, board) {
    Object.assign(this, { element, board });
    this.model = element.querySelector(".hs-s-model");
    this.model.addEventListener("change", () => board.settings.set("model", this.model.value));
    this.prompt = element.querySelector(".hs-s-prompt");
    this.prompt.addEventListener("input", () => board.settings.set("prompt", this.prompt.value));
    for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
    this.cards = new StyleStrip(element.querySelector(".hs-strip"), board, true);
    this.find = element.querySelector(".hs-s-find");
    this.find.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => { this.cards.look(this.find.value); this.tell(); }, TYPED); });
    board.strips.push(this.cards, this); // both are told of every change
    this.watchScan();
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
    this.tell();
    this.element.querySelector(".hs-s-go").hidden = !Object.keys(values.styles).length;
  }
  // How many there are, where not all have cards.
  tell() {
    const { cards, board } = this;
    const [shown, all] = [cards.cards.size, board.settings.model.styles.length];
    const number = (value) => value.toLocaleString(config.language);
    this.element.querySelector(".hs-s-many").hidden = all <= MORE / 2;
    const words = texts["styles.shown"].replace("{shown}", number(Math.min(shown, cards.count))).replace("{count}", number(cards.count));
    const told = this.element.querySelector(".hs-s-count");
    if (told.textContent !== words) told.textContent = words;
    this.element.querySelector(".hs-s-all").hidden = shown >= cards.count;
  }
  more() {
    this.cards.look(this.find.value, this.cards.most + MORE);
    this.tell();
  }
  // While the server still reads style files: how far it is; then what it found.
  async watchScan() {
    const box = this.element.querySelector(".hs-s-scan");
    const { scan: [done, all] = [0, 0] } = await callServer("scan", {});
    box.hidden = done >= all;
    if (done < all) {
      this.reading = true;
      box.querySelector("progress").value = done / all;
      box.querySelector("span").textContent = texts["styles.read"].replace("{done}", done.toLocaleString(config.language)).replace("{count}", all.toLocaleString(config.language));
      setTimeout(() => this.watchScan(), SCAN_EVERY);
    } else if (this.reading) {
      this.reading = false;
      renew(await callServer("renewed", {}));
    }
  }
  draw() { openTab("board"); }
  write() { toText({ ...this.board.settings.head(false), decoder: "" }); }
  off() { this.board.settings.set("styles", {}); }
}

export async function mountStyles(element) { provide("styles", new StylesPage(element, await ready("board"))); }

// The catalogue as it is now: models and styles may have come or gone since the page was built.
let own = []; // this page's files, which the server tells nobody else of
export async function newCatalogue(text) {
  if (text) await renew(JSON.parse(text));
}
async function renew(told) {
  if (!told.models) return;
  const board = await ready("board");
  own = told.own || own;
  for (const { models, style } of own) for (const row of told.models) if (models.includes(row.name)) row.styles.push(style);
  config.models = told.models;
  board.settings.update({});
  const compare = part("compare");
  if (compare) compare.renew();
  catalogueCame();
}
