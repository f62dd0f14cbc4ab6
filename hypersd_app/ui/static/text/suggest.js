// What the model knows, offered under a prompt as it is typed: a list that arrows and Enter choose from. Each thing has its
// pictogram, and while nothing else is asked for the model draws it itself.
import { callFrame, callServer, texts } from "../core/bridge.js";

const TYPED = 160; // ms without a change
const [SEED, SIDE] = [7, 256];
const drawn = new Map(); // model and word -> data URL: what the model makes of it
let lists = 0;

// A prompt with `word` in place of what begins at `start`.
export const completed = (prompt, start, word) => `${prompt.slice(0, start)}${word}`;

export class Suggest {
  // `model()` names the model, `head()` is a request to draw the things with, `take(words)` puts them into the prompt,
  // `free()` says whether the model has nothing else to do.
  constructor(field, { model, head, take, free }) {
    Object.assign(this, { field, model, head, take, free, turn: 0, timer: 0, things: [], at: -1, start: 0 });
    lists += 1;
    this.list = Object.assign(document.createElement("ul"), { className: "hs-suggest", id: `hs-suggest-${lists}`, hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", field.getAttribute("aria-label") || "");
    document.body.append(this.list);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id })) field.setAttribute(name, value);
    field.addEventListener("input", (event) => { if (event.isTrusted) this.plan(); });
    field.addEventListener("keydown", (event) => this.key(event), true);
    field.addEventListener("blur", () => this.close());
    window.addEventListener("resize", () => this.close());
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const item = event.target.closest("[data-word]");
      if (item) this.choose([...this.list.children].indexOf(item));
    });
  }
  // The end of the prompt is what is typed; in the middle of it nothing is offered.
  get typed() { return this.field.selectionStart === this.field.value.length ? this.field.value : ""; }
  plan() {
    this.turn += 1;
    clearTimeout(this.timer);
    if (!this.typed.trim()) { this.close(); return; }
    this.timer = setTimeout(() => this.ask(this.turn), TYPED);
  }
  async ask(turn) {
    const prompt = this.typed;
    const { things = [], start = 0, unknown = "" } = await callServer("suggest", { prompt, model: this.model() });
    if (turn !== this.turn || document.activeElement !== this.field) return;
    Object.assign(this, { things, start, prompt, at: -1 });
    if (things.length || unknown) this.open(turn, unknown); else this.close();
  }
  open(turn, unknown) {
    this.list.replaceChildren(...this.things.map((thing, i) => this.item(thing, i)), ...(unknown ? [this.note(unknown)] : []));
    const box = this.field.getBoundingClientRect();
    Object.assign(this.list.style, { left: `${box.left + scrollX}px`, top: `${box.bottom + scrollY + 4}px`, width: `${Math.min(box.width, 420)}px` });
    this.list.hidden = false;
    this.field.setAttribute("aria-expanded", "true");
    this.mark();
    this.draw(turn);
  }
  // That a word is not known; what stands above it is the nearest that is.
  note(unknown) {
    const note = Object.assign(document.createElement("li"), { className: "hs-suggest-note", textContent: texts["words.unknown"].replace("{words}", unknown) });
    note.setAttribute("role", "option");
    note.setAttribute("aria-disabled", "true");
    return note;
  }
  item({ word, emoji, said }, i) {
    const item = Object.assign(document.createElement("li"), { id: `${this.list.id}-${i}` });
    item.setAttribute("role", "option");
    item.dataset.word = word;
    const pictogram = Object.assign(document.createElement("span"), { className: "hs-suggest-picture", textContent: emoji });
    pictogram.setAttribute("aria-hidden", "true");
    item.append(pictogram, word);
    if (said) item.append(Object.assign(document.createElement("small"), { textContent: said }));
    const known = drawn.get(`${this.model()}/${word}`);
    if (known) this.show(item, known);
    return item;
  }
  show(item, source) { item.firstChild.replaceChildren(Object.assign(new Image(), { src: source, alt: "" })); }
  // One after another, as long as this list is open and the model has nothing better to do.
  async draw(turn) {
    for (const [i, { word, example }] of this.things.entries()) {
      const key = `${this.model()}/${word}`;
      if (drawn.has(key)) continue;
      if (turn !== this.turn || this.list.hidden || !this.free()) return;
      const head = { ...this.head(), prompt: example, seed: SEED, styles: [], width: SIDE, height: SIDE };
      const { picture } = await callFrame(head, null, "strip");
      if (!picture) return;
      drawn.set(key, `data:image/jpeg;base64,${picture}`);
      if (turn === this.turn && this.list.children[i]) this.show(this.list.children[i], drawn.get(key));
    }
  }
  close() {
    this.turn += 1;
    clearTimeout(this.timer);
    if (this.list.hidden) return false;
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.field.removeAttribute("aria-activedescendant");
    return true;
  }
  mark() {
    [...this.list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === this.at)));
    if (this.at >= 0) this.field.setAttribute("aria-activedescendant", this.list.children[this.at].id);
    else this.field.removeAttribute("aria-activedescendant");
  }
  key(event) {
    if (this.list.hidden || event.isComposing) return;
    const count = this.things.length;
    if (!count && event.key !== "Escape") return;
    if (event.key === "ArrowDown") this.at = (this.at + 1) % count;
    else if (event.key === "ArrowUp") this.at = ((this.at < 0 ? 0 : this.at) + count - 1) % count;
    else if ((event.key === "Enter" || event.key === "Tab") && this.at >= 0) this.choose(this.at);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
    if (!this.list.hidden) this.mark();
  }
  choose(i) {
    const words = completed(this.prompt, this.start, this.things[i].word);
    this.close();
    this.take(words);
  }
}
