// Style cards: the visitor's own image in every style, rendered while nothing else is asked for. The board shows them as
// a strip, the styles tab as large cards that also tell the words a style adds to the prompt.
import { callFrame, callServer, config, texts } from "../core/bridge.js";
import { say } from "../core/notify.js";
import { mixed, switched, within } from "./choice.js";

const IDLE = 1500; // ms without a change
const AFTER_FAILURE = 10000; // ms
const AT_ONCE = 24; // cards of the board's strip, and of the tab until more are asked for
const images = new Map(); // model and style -> {key, source}: shared by all places that show cards

export class StyleStrip {
  constructor(element, board, large) {
    Object.assign(this, { element, board, large, cards: new Map(), timer: 0, working: false, words: "", most: AT_ONCE });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.plan(); });
    this.fill();
    this.plan();
  }
  // Of thousands of styles a few have cards: those that are chosen, and the first of those that were looked for.
  fill() {
    const { styles } = this.board.settings.model;
    const { rows, count } = within(styles, { words: this.words, most: this.most, chosen: this.board.settings.values.styles });
    Object.assign(this, { filled: styles, marked: null, count });
    this.cards = new Map(rows.map((style) => [style.name, this.card(style)]));
    this.element.replaceChildren(...this.cards.values());
    this.element.hidden = !styles.length;
    this.detail(rows);
  }
  // Other words, or more cards.
  look(words, most = AT_ONCE) {
    Object.assign(this, { words, most });
    this.fill();
    this.plan();
  }
  // Previews and frequent words that did not come with the page.
  async detail(rows) {
    const missing = rows.filter((style) => style.tags === undefined);
    if (missing.length) {
      const { styles = {} } = await callServer("style_details", { model: this.board.settings.model.name, names: missing.map((style) => style.name) });
      for (const style of missing) Object.assign(style, { preview: "", tags: [], ...styles[style.name] });
    }
    for (const style of rows) {
      const card = this.cards.get(style.name);
      if (!card) continue;
      const image = card.querySelector("img");
      if (style.preview && !image.src) image.src = style.preview;
      if (this.large) this.offerWords(card, style);
    }
  }
  // The words that a style was trained with, each a click away from the prompt.
  offerWords(card, style) {
    const words = [...new Set([style.trigger, ...style.tags].filter(Boolean))];
    if (!words.length || card.querySelector(".hs-style-words")) return;
    const list = Object.assign(document.createElement("div"), { className: "hs-style-words" });
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", texts["styles.words"].replace("{name}", style.title));
    list.append(...words.map((word) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "hs-chip", textContent: word, title: texts["styles.addword"].replace("{words}", word) });
      button.addEventListener("click", () => this.addWord(word));
      return button;
    }));
    card.append(list);
  }
  addWord(word) {
    const prompt = this.board.settings.values.prompt.trim();
    if (!prompt.toLowerCase().includes(word.toLowerCase())) this.board.settings.set("prompt", prompt ? `${prompt}, ${word}` : word);
  }
  card(style) {
    const card = document.createElement("div");
    card.className = "hs-style";
    card.innerHTML = '<button type="button"><img alt=""><span></span></button><button type="button" class="hs-mix">+</button><label><output></output>'
      + '<input type="range" min="-1" max="2" step="0.05"></label>';
    const [button, weight] = [card.firstChild, card.querySelector("input")];
    button.querySelector("span").textContent = style.title;
    if (style.preview) button.querySelector("img").src = style.preview;
    if (style.trigger) button.title = this.adds(style);
    if (this.large) button.append(Object.assign(document.createElement("small"), { textContent: style.trigger ? this.adds(style) : texts["styles.notrigger"] }));
    weight.setAttribute("aria-label", `${style.title}: ${texts["styles.weight"]}`);
    const mix = card.querySelector(".hs-mix");
    mix.title = texts["styles.mix"].replace("{name}", style.title);
    mix.setAttribute("aria-label", mix.title);
    button.addEventListener("click", (event) => this.choose(event.ctrlKey || event.metaKey ? mixed : switched, style.name));
    mix.addEventListener("click", () => this.choose(mixed, style.name));
    weight.addEventListener("input", () => this.weigh(style.name, Number(weight.value)));
    return card;
  }
  adds(style) { return texts["styles.adds"].replace("{words}", style.trigger); }
  // A click takes this style in place of others, + or Ctrl and a click takes it with them.
  choose(way, name) {
    const styles = way(this.board.settings.values.styles, name);
    if (Object.keys(styles).length > config.maxStyles) say(texts["styles.most"].replace("{count}", config.maxStyles));
    else this.board.settings.set("styles", styles);
  }
  weigh(name, weight) { this.board.settings.set("styles", { ...this.board.settings.values.styles, [name]: weight }); }
  // Called often: marks what is chosen and starts the clock of the next rendering.
  plan(after = IDLE) {
    if (this.filled !== this.board.settings.model.styles) this.fill();
    this.mark();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.render(), after);
  }
  // Every movement of the pen comes by here: the page is touched only where the choice is another.
  mark() {
    const chosen = this.board.settings.values.styles;
    const key = JSON.stringify(chosen);
    if (this.marked === key) return;
    if (Object.keys(chosen).some((name) => !this.cards.has(name))) this.fill();
    this.marked = key;
    for (const [name, card] of this.cards) {
      card.classList.toggle("hs-chosen", name in chosen);
      card.firstChild.setAttribute("aria-pressed", String(name in chosen));
      card.querySelector(".hs-mix").hidden = name in chosen || !Object.keys(chosen).length;
      card.querySelector("input").value = chosen[name] ?? 1;
      card.querySelector("output").textContent = Number(chosen[name] ?? 1).toFixed(2);
    }
  }
  // The board has nothing to do, and the cards are seen.
  free() {
    const { link } = this.board;
    return !document.hidden && (!link || (link.idle && link.running)) && Boolean(this.element.offsetParent);
  }
  // What all cards show but for their style.
  key() { return JSON.stringify([this.board.drawing.revision, { ...this.board.head(false), styles: [] }]); }
  known(name) {
    const known = images.get(`${this.board.settings.model.name}/${name}`);
    return known && known.key === this.key() ? known : null;
  }
  complete() { return [...this.cards.keys()].every((name) => this.known(name)); }

  // One style at a time. Drawing and settings may change while a card is made: each asks for what they are by then, and those
  // that were made before are made again.
  async render() {
    if (this.working || document.hidden || !this.cards.size || !this.board.settings.values.prompt.trim()) return;
    if (!this.free()) return this.plan();
    this.working = true;
    let failed = false;
    try {
      for (const [name, card] of this.cards) {
        if (failed || !this.free() || this.cards.get(name) !== card) break; // another model has other cards
        failed = !await this.draw(name, card);
      }
    } finally {
      this.working = false;
    }
    if (!this.complete()) this.plan(failed ? AFTER_FAILURE : IDLE);
  }
  // Whether the card has an image afterwards.
  async draw(name, card) {
    const known = this.known(name);
    if (known) { card.querySelector("img").src = known.source; return true; }
    const key = this.key();
    const { head, picture } = await this.board.frame({ ...this.board.head(false), styles: [{ name, weight: 1 }] });
    const answer = await callFrame(head, picture, "strip");
    if (!answer.picture) return false;
    const source = `data:image/jpeg;base64,${answer.picture}`;
    images.set(`${head.model}/${name}`, { key, source });
    card.querySelector("img").src = source;
    return true;
  }
}
