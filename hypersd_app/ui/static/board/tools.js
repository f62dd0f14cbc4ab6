// The toolbar and its keys: what is drawn with, and the buttons that act on the board.
import { texts } from "../core/bridge.js";

const INKS = { black: "#22252b", red: "#d6342c", orange: "#ee8a1d", yellow: "#f2c521", green: "#3d8f52", blue: "#2d6cc0", purple: "#8450ad", brown: "#7a4a2b" };
const KEYS = { b: "brush", e: "eraser", h: "hand", m: "symmetry", d: "dice", s: "save", o: "layout", l: "live", 0: "fit",
  "[": "smaller", "]": "larger", "+": "zoomin", "=": "zoomin", "-": "zoomout", Delete: "clear", Backspace: "clear" };
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
  }
  get hand() { return this.tool === "hand" || this.space; }
  brush() {
    const tool = this.tool === "eraser" ? "eraser" : "brush";
    const wide = tool === "eraser" ? 2.2 : 1;
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
      return;
    }
    if (name === "smaller" || name === "larger") {
      this.size.value = Number(this.size.value) * (name === "larger" ? 1.25 : 0.8);
      return;
    }
    if (["brush", "eraser", "hand"].includes(name)) return this.pick(name);
    if (this.actions[name]) this.actions[name]();
  }
  // Keys work while the board is on screen and nobody is typing.
  key(event) {
    const typing = event.target.closest && event.target.closest("input:not([type=range]), textarea, select, [contenteditable=true]");
    if (typing || !this.element.offsetParent) return;
    if (event.ctrlKey || event.metaKey) {
      const undo = event.key.toLowerCase() === "z";
      const redo = event.key.toLowerCase() === "y" || (undo && event.shiftKey);
      if (!undo && !redo) return;
      event.preventDefault();
      return this.act(redo ? "redo" : "undo");
    }
    if (event.altKey) return;
    const ink = Object.values(INKS)[Number(event.key) - 1];
    if (ink) return this.ink(ink);
    if (event.code === "Space" && !event.target.closest("button, summary, a")) { event.preventDefault(); this.space = true; return; }
    const name = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    if (!name) return;
    event.preventDefault();
    this.act(name);
  }
}
