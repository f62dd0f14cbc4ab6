// The toolbar and its keys: what is drawn with, and the buttons that act on the board.
import { texts } from "../core/bridge.js";
import { readOwn, writeOwn } from "../core/storage.js";
import { MASK, MASK_COLOR } from "./canvas.js";
import { isTyping, shortcut } from "./shortcuts.js";

const MASK_WIDTH = 3; // of a brush: who masks covers areas
const KEY = "hypersd.tools";

const INKS = { black: "#22252b", red: "#d6342c", orange: "#ee8a1d", yellow: "#f2c521", green: "#3d8f52", blue: "#2d6cc0", purple: "#8450ad", brown: "#7a4a2b" };
// The texts that name a key, as "Brush (B)", in the order the list of keys shows them.
const KEYED = ["brush", "eraser", "hand", "size", "color", "symmetry", "undo", "redo", "clear", "zoomin", "zoomout", "zoom", "wheel", "layout", "dice", "save", "live.hint"];

export class Tools {
  constructor(element, actions) {
    Object.assign(this, { element, actions, tool: "brush", color: INKS.black, symmetry: 0, space: false });
    this.size = element.querySelector(".hs-brush-size");
    this.makeInks();
    this.listKeys();
    for (const button of element.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.pick(button.dataset.tool));
    }
    for (const button of element.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => this.act(button.dataset.act));
    }
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keyup", (event) => { if (event.code === "Space") this.space = false; });
    window.addEventListener("blur", () => { this.space = false; }); // another window hears the key go up
    // A click with a pointer leaves the keys to the paper: Space would press the button again.
    element.addEventListener("click", (event) => {
      if (event.detail && event.target.closest(".hs-tools button")) element.querySelector(".hs-paper").focus({ preventScroll: true });
    });
    this.size.addEventListener("change", () => this.save());
    this.load();
  }
  get hand() { return this.tool === "hand" || this.space; }
  brush() {
    const tool = this.tool === "eraser" ? "eraser" : "brush";
    const wide = tool === "eraser" ? 2.2 : 1;
    if (this.tool === MASK) return { tool, layer: MASK, color: MASK_COLOR, size: Number(this.size.value) * MASK_WIDTH, symmetry: this.symmetry };
    return { tool, color: this.color, size: Number(this.size.value) * wide, symmetry: this.symmetry };
  }
  listKeys() {
    const lines = KEYED.map((name) => texts[`board.${name}`].match(/^(.*) \((.*)\)$/)).filter(Boolean);
    this.element.querySelector(".hs-keys").replaceChildren(...lines.map(([, what, keys]) => {
      const line = document.createElement("li");
      line.append(Object.assign(document.createElement("kbd"), { textContent: keys }), what);
      return line;
    }));
  }
  makeInks() {
    const group = this.element.querySelector(".hs-ink-buttons");
    group.replaceChildren(...Object.entries(INKS).map(([name, color]) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "hs-ink-button" });
      button.style.setProperty("--ink", color);
      button.setAttribute("aria-label", texts[`ink.${name}`]);
      button.title = texts[`ink.${name}`];
      button.setAttribute("aria-pressed", String(color === this.color));
      button.addEventListener("click", () => this.ink(color));
      button.dataset.color = color;
      return button;
    }));
    this.any = this.element.querySelector(".hs-any-ink");
    this.any.addEventListener("input", () => this.ink(this.any.value));
    this.any.addEventListener("click", () => this.ink(this.any.value));
  }
  ink(color) {
    this.color = color;
    if (this.tool !== "brush") this.pick("brush");
    for (const button of this.element.querySelectorAll(".hs-ink-button")) {
      button.setAttribute("aria-pressed", String(button.dataset.color === color));
    }
    this.any.classList.toggle("hs-chosen-ink", color === this.any.value);
    this.save();
  }
  pick(tool) {
    this.tool = tool;
    this.element.dataset.tool = tool;
    for (const button of this.element.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
  }
  press(act, on) {
    const button = this.element.querySelector(`[data-act="${act}"]`);
    if (button) button.setAttribute("aria-pressed", String(on));
  }
  act(name) {
    if (name === "symmetry") {
      this.symmetry = (this.symmetry + 1) % 3;
      this.press("symmetry", this.symmetry > 0);
      this.element.dataset.symmetry = this.symmetry;
      return this.save();
    }
    if (name === "smaller" || name === "larger") {
      this.size.value = Number(this.size.value) * (name === "larger" ? 1.25 : 0.8);
      return this.save();
    }
    if (["brush", "eraser", "hand", MASK].includes(name)) return this.pick(name);
    if (this.actions[name]) this.actions[name]();
  }
  // Keys work while the board is on screen and nobody is typing.
  key(event) {
    if (isTyping(event) || !this.element.offsetParent) return;
    if (event.code === "Space" && !event.target.closest("button, summary, a")) { event.preventDefault(); this.space = true; return; }
    const asked = shortcut(event);
    if (!asked) return;
    event.preventDefault();
    if (asked.action) this.act(asked.action);
    else this.ink(Object.values(INKS)[asked.ink]);
  }
  // What a reload must not lose.
  save() {
    const { color, symmetry } = this;
    writeOwn(KEY, JSON.stringify({ color, symmetry, any: this.any.value, size: this.size.value }));
  }
  load() {
    let kept = {};
    try { kept = JSON.parse(readOwn(KEY) || "{}"); } catch (error) { console.warn("the saved tools are unreadable", error); }
    if (/^#[0-9a-f]{6}$/i.test(kept.any)) this.any.value = kept.any;
    if (kept.size) this.size.value = kept.size;
    if (/^#[0-9a-f]{6}$/i.test(kept.color)) this.ink(kept.color);
    for (let turns = 0; turns < (kept.symmetry || 0) % 3; turns += 1) this.act("symmetry");
  }
}
