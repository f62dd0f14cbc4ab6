// The toolbar and its keys: what is drawn with, and the buttons that act on the board.
import { texts } from "../core/bridge.js";
import { readOwn, writeOwn } from "../core/storage.js";
import { MASK, MASK_COLOR } from "./canvas.js";
import { isTyping, shortcut, withPrinted } from "./shortcuts.js";

const MASK_WIDTH = 3; // of a brush: who masks covers areas
const KEY = "hypersd.tools";

const INKS = { black: "#22252b", red: "#d6342c", orange: "#ee8a1d", yellow: "#f2c521", green: "#3d8f52", blue: "#2d6cc0", purple: "#8450ad", brown: "#7a4a2b", white: "#ffffff" };
const MOST_OWN = 4; // colours of one's own
const COLOR = /^#[0-9a-f]{6}$/i;
const TOOLS = ["brush", "eraser", "fill", "shape", "pick", "select", "hand", MASK];
const SHAPES = ["line", "rectangle", "ellipse", "polygon"];
const INKED = ["brush", "fill", "shape", "select"]; // tools that an ink means something to
const LAYERS = ["lines", "color"];
// What a tool does; `steady` and `filled` of strokes, `gap` (units of the paper) and `tolerance` of the bucket.
const OPTIONS = { shape: "rectangle", filled: false, steady: 0, soft: 0, gap: 12, tolerance: 48, one: false };
// The texts that name a key, as "Brush (B)", in the order the list of keys shows them.
const KEYED = ["brush", "eraser", "fill", "shape", "filled", "pick", "select", "hand", "size", "color", "symmetry", "undo", "redo", "duplicate", "clear", "zoomin", "zoomout",
  "zoom", "wheel", "straight", "layout", "dice", "save", "live.hint", "fullscreen", "fingers"];

export class Tools {
  // `act(name)` is asked first: the tool in hand may want a key for itself
  constructor(element, actions, hand) {
    Object.assign(this, { element, actions, hands: hand, tool: "brush", color: INKS.black, symmetry: 0, space: false, own: [], layer: "lines", before: "brush" });
    this.options = { ...OPTIONS };
    this.size = element.querySelector(".hs-brush-size");
    this.makeInks();
    this.bindOptions();
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
      if (event.detail && event.target.closest(".hs-tools button:not([data-opens])")) element.querySelector(".hs-paper").focus({ preventScroll: true });
    });
    this.size.addEventListener("change", () => this.save());
    this.load();
    this.namePrinted();
  }
  get hand() { return this.tool === "hand" || this.space; }
  brush() {
    const tool = this.tool === "eraser" ? "eraser" : "brush";
    const wide = tool === "eraser" ? 2.2 : 1;
    if (this.tool === MASK) return { tool, layer: MASK, color: MASK_COLOR, size: Number(this.size.value) * MASK_WIDTH, symmetry: this.symmetry };
    const layer = tool === "eraser" && !this.options.one ? {} : this.layer === "lines" && tool !== "eraser" ? {} : { layer: this.layer };
    return { tool, color: this.color, size: Number(this.size.value) * wide, symmetry: this.symmetry, ...layer };
  }
  listKeys() {
    const lines = KEYED.map((name) => texts[`board.${name}`].match(/^(.*) \((.*)\)$/)).filter(Boolean);
    this.element.querySelector(".hs-keys").replaceChildren(...lines.map(([whole, what, keys]) => {
      const line = document.createElement("li");
      line.append(Object.assign(document.createElement("kbd"), { textContent: keys }), what);
      line.dataset.keyed = whole;
      return line;
    }));
  }
  // Tips name the letter that is printed at a tool's place, where the browser tells.
  async namePrinted() {
    const printed = await navigator.keyboard?.getLayoutMap?.().catch(() => null);
    if (!printed) return;
    for (const each of this.element.querySelectorAll("[title]")) each.title = withPrinted(each.title, printed);
    for (const line of this.element.querySelectorAll("[data-keyed]")) line.firstChild.textContent = withPrinted(line.dataset.keyed, printed).match(/\((.*)\)$/)[1];
  }
  makeInks() {
    this.inks = this.element.querySelector(".hs-ink-buttons");
    this.any = this.element.querySelector(".hs-any-ink");
    this.any.addEventListener("input", () => this.ink(this.any.value));
    this.any.addEventListener("click", () => this.ink(this.any.value));
    this.any.addEventListener("change", () => this.keepOwn(this.any.value));
    this.showInks();
  }
  showInks() {
    const given = Object.entries(INKS).map(([name, color]) => this.inkButton(color, texts[`ink.${name}`]));
    this.inks.replaceChildren(...given, ...this.own.map((color) => this.inkButton(color, texts["ink.own"].replace("{color}", color))));
  }
  inkButton(color, name) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "hs-ink-button", title: name });
    button.style.setProperty("--ink", color);
    button.setAttribute("aria-label", name);
    button.setAttribute("aria-pressed", String(color === this.color));
    button.addEventListener("click", () => this.ink(color));
    button.dataset.color = color;
    return button;
  }
  keepOwn(color) {
    if (Object.values(INKS).includes(color) || this.own.includes(color)) return;
    this.own = [...this.own, color].slice(-MOST_OWN);
    this.showInks();
    this.save();
  }
  ink(color) {
    this.color = color;
    if (!INKED.includes(this.tool) && this.tool !== "pick") this.pick("brush");
    if (this.tool === "select") this.hands()?.select.recolor(color);
    for (const button of this.inks.children) button.setAttribute("aria-pressed", String(button.dataset.color === color));
    this.any.classList.toggle("hs-chosen-ink", color === this.any.value && ![...this.inks.children].some((button) => button.dataset.color === color));
    this.save();
  }
  // The eyedropper has its colour: what one drew with before goes on.
  picked() {
    this.keepOwn(this.color);
    this.ink(this.color);
    if (this.tool === "pick") this.pick(INKED.includes(this.before) && this.before !== "select" ? this.before : "brush");
  }
  pick(tool) {
    if (tool === "shape" && this.tool === "shape") this.option("shape", SHAPES[(SHAPES.indexOf(this.options.shape) + 1) % SHAPES.length]);
    if (tool !== this.tool) this.before = this.tool;
    this.tool = tool;
    this.element.dataset.tool = tool;
    for (const button of this.element.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    this.hands()?.switched();
  }
  drawOn(layer) {
    this.layer = layer;
    this.save();
    this.actions.layered();
  }
  bindOptions() {
    for (const field of this.element.querySelectorAll("[data-brush]")) {
      const name = field.dataset.brush;
      field.addEventListener(field.type === "button" ? "click" : "input", () => {
        this.option(name, field.type === "checkbox" ? field.checked : field.type === "button" ? field.value : Number(field.value));
        if (name === "shape" && this.tool !== "shape") this.pick("shape");
      });
    }
    this.showOptions();
  }
  option(name, value) {
    this.options[name] = value;
    this.showOptions();
    this.save();
  }
  showOptions() {
    for (const field of this.element.querySelectorAll("[data-brush]")) {
      const value = this.options[field.dataset.brush];
      if (field.type === "checkbox") field.checked = value;
      else if (field.type === "button") field.setAttribute("aria-pressed", String(field.value === value));
      else field.value = value;
    }
    this.element.dataset.shape = this.options.shape;
  }
  press(act, on) {
    for (const button of this.element.querySelectorAll(`[data-act="${act}"]`)) button.setAttribute("aria-pressed", String(on));
  }
  // Buttons that would do nothing. Called often: the page is touched only where something is another.
  able(act, on) {
    for (const button of this.element.querySelectorAll(`[data-act="${act}"]`)) {
      if (button.getAttribute("aria-disabled") !== String(!on)) button.setAttribute("aria-disabled", String(!on));
    }
  }
  act(name) {
    if (this.hands()?.act(name)) return true;
    if (name === "symmetry") {
      this.symmetry = (this.symmetry + 1) % 3;
      this.press("symmetry", this.symmetry > 0);
      this.element.dataset.symmetry = this.symmetry;
      this.save();
    } else if (name === "smaller" || name === "larger") {
      this.size.value = Number(this.size.value) * (name === "larger" ? 1.25 : 0.8);
      this.save();
    } else if (name === "filled") this.option("filled", !this.options.filled);
    else if (TOOLS.includes(name)) this.pick(name);
    else if (this.actions[name]) this.actions[name]();
    else return false;
    return true;
  }
  // Keys work while the board is on screen and nobody is typing.
  key(event) {
    if (isTyping(event) || !this.element.offsetParent) return;
    const pressing = event.target.closest && event.target.closest("button, summary, a, input");
    if (event.code === "Space" && !pressing) { event.preventDefault(); this.space = true; return; }
    const asked = shortcut(event);
    if (!asked || (pressing && ["accept", "left", "right", "up", "down"].includes(asked.action))) return;
    if (asked.action && !this.act(asked.action)) return;
    event.preventDefault();
    const own = [...Object.values(INKS)];
    if (!asked.action) this.ink(own[asked.ink]);
  }
  // What a reload must not lose.
  save() {
    const { color, symmetry, own, options, layer } = this;
    writeOwn(KEY, JSON.stringify({ color, symmetry, own, options, layer, any: this.any.value, size: this.size.value }));
  }
  load() {
    let kept = {};
    try { kept = JSON.parse(readOwn(KEY) || "{}") || {}; } catch (error) { console.warn("the saved tools are unreadable", error); }
    if (COLOR.test(kept.any)) this.any.value = kept.any;
    if (kept.size) this.size.value = kept.size;
    if (LAYERS.includes(kept.layer)) this.layer = kept.layer;
    if (Array.isArray(kept.own)) this.own = kept.own.filter((color) => COLOR.test(color)).slice(-MOST_OWN);
    for (const [name, usual] of Object.entries(OPTIONS)) if (kept.options && typeof kept.options[name] === typeof usual) this.options[name] = kept.options[name];
    if (!SHAPES.includes(this.options.shape)) this.options.shape = OPTIONS.shape;
    this.showInks();
    this.showOptions();
    if (COLOR.test(kept.color)) this.ink(kept.color);
    for (let turns = 0; turns < (kept.symmetry || 0) % 3; turns += 1) this.act("symmetry");
  }
}
