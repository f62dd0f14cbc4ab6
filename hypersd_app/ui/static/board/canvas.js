// Painting on an image: what strokes go on, how far the model may go from it, and where. Both are steps of the drawing:
//   {tool: "canvas", layer: "canvas", source}   the image, a data URL; the last one counts
//   strokes with layer "mask"                   where it may change; without any it may everywhere
import { paintAll, paintLayer, Sheet, controlSheet } from "../drawing/painter.js";
import { pngOf } from "./png.js";
import { config, texts } from "../core/bridge.js";
import { readOwn, writeOwn } from "../core/storage.js";
import { joined } from "../core/wire.js";

const KEY = "hypersd.strength";
const USUAL = 0.4;
export const CANVAS = "canvas";
export const MASK = "mask";
export const MASK_COLOR = "#e01f8b";

export const isInk = ({ tool, layer }) => tool !== "eraser" && tool !== "layers" && layer !== CANVAS && layer !== MASK;
const isMask = ({ layer }) => layer === MASK;
export const canvasOf = (operations) => operations.findLast(({ tool }) => tool === CANVAS) || null;
export const inkOf = (operations) => operations.filter(({ layer }) => layer !== CANVAS && layer !== MASK);
export const maskOf = (operations) => operations.filter(isMask);

// The strengths of a recipe: null for any, [] for none; and the nearest of them.
export const strengthsOf = (model, name) => (model.recipes.find((recipe) => recipe.name === name) || model.recipes[0]).strengths;
export function nearest(strengths, value) {
  if (!strengths || !strengths.length) return value;
  return strengths.reduce((best, each) => (Math.abs(each - value) < Math.abs(best - value) ? each : best));
}

// Bytes of the file in a data URL, decoded once: it goes along with every frame.
const known = new Map();
function bytesOf(source) {
  if (!known.has(source)) {
    known.clear();
    const text = atob(source.split(",")[1]);
    known.set(source, Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  }
  return known.get(source);
}

// A frame for `operations` that are painted on something: {head, picture}. `ink` and `mask` are canvases, null for none.
export async function paintedFrame(head, operations, { ink, mask }) {
  const parts = { init: bytesOf(canvasOf(operations).source) };
  if (ink) parts.ink = new Uint8Array(await pngOf(ink));
  if (mask) parts.mask = new Uint8Array(await pngOf(mask));
  const lengths = Object.fromEntries(Object.entries(parts).map(([name, bytes]) => [name, bytes.length]));
  return { head: { ...head, parts: lengths }, picture: joined(Object.values(parts)).buffer };
}

// Some operations on a canvas of their own, null without any to be seen.
function drawn(operations, side, paint) {
  if (!operations.some(({ tool }) => !["eraser", "layers"].includes(tool))) return null;
  const sheet = controlSheet();
  sheet.resize(side);
  paint(sheet.context, operations);
  return sheet.canvas;
}

// The same of a recipe, whose images are ready.
export function frameOfRecipe({ head, operations }) {
  const model = config.models.find((row) => row.name === head.model) || config.models[0];
  const side = head.width || model.width;
  return paintedFrame(head, operations, { ink: drawn(inkOf(operations), side, paintAll), mask: drawn(maskOf(operations), side, paintLayer) });
}

export class Canvas {
  constructor(element, board) {
    Object.assign(this, { element, board, shown: null, found: null, length: 0, strength: Number(readOwn(KEY) ?? USUAL) });
    const one = (selector) => element.querySelector(selector);
    [this.image, this.tools, this.slider, this.output] = [".hs-canvas", ".hs-paint-tools", ".hs-strength", ".hs-strength-value"].map(one);
    this.sheets = [new Sheet(one(".hs-mask")), controlSheet()];
    this.slider.addEventListener("input", () => this.choose(Number(this.slider.value)));
  }
  get operations() { return this.board.drawing.visible; }
  // Looked for only when a step came or went: every movement of the pen asks.
  get ground() {
    const { operations } = this.board.drawing;
    const last = operations[operations.length - 1];
    if (this.last !== last || this.length !== operations.length) {
      Object.assign(this, { last, length: operations.length, found: canvasOf(this.operations) });
    }
    return this.found;
  }
  get masked() { return maskOf(this.operations).some(({ tool }) => tool !== "eraser"); }
  get strengths() { return strengthsOf(this.board.settings.model, this.board.settings.values.recipe); }
  // Whether the model starts from an image.
  get active() { return Boolean(this.ground) && (this.strengths === null || this.strengths.length > 0); }
  // What a request says besides the settings.
  head() {
    if (!this.active) return {};
    return { strength: nearest(this.strengths, this.strength), follow_ink: Boolean(this.board.settings.model.sketch) };
  }
  frame(head) {
    const { paper } = this.board;
    const operations = this.operations;
    const ink = operations.some(isInk) ? paper.control.canvas : null;
    return paintedFrame({ ...head, ...this.head() }, operations, { ink, mask: this.masked ? this.sheets[1].canvas : null });
  }

  // The shown image as what is painted on, its drawing with it; one undo brings back what was before.
  start(source) { if (source) this.board.drawing.replace([{ tool: CANVAS, layer: CANVAS, source }]); }
  // White paper again; the strokes stay.
  stop() {
    const rest = inkOf(this.operations);
    this.board.drawing.replace(rest);
    if (this.board.tools.tool === MASK) this.board.tools.pick("brush");
  }
  clearMask() { if (this.masked) this.board.drawing.replace(this.operations.filter((operation) => !isMask(operation))); }
  choose(value) {
    this.strength = nearest(this.strengths, value);
    writeOwn(KEY, String(this.strength));
    this.show();
    this.board.edited(true);
  }
  restore(head) {
    if (typeof head.strength === "number") this.strength = Math.min(1, Math.max(0, head.strength));
  }
  // What the drawing or the settings have become.
  show() {
    const ground = this.ground;
    if (ground !== this.shown) {
      this.shown = ground;
      if (ground) this.image.src = ground.source; else this.image.removeAttribute("src");
      this.image.hidden = this.tools.hidden = !ground;
    }
    this.element.classList.toggle("hs-painting", this.active);
    if (!ground) return;
    const strengths = this.strengths;
    this.slider.disabled = Boolean(strengths) && !strengths.length;
    this.slider.step = strengths ? "any" : "0.05";
    const value = nearest(strengths, this.strength);
    if (this.slider !== document.activeElement || strengths) this.slider.value = value;
    this.output.textContent = strengths && !strengths.length ? texts["board.nopaint"] : `${Math.round(100 * value)} %`;
  }
  // Canvases of the mask, as many pixels as those of the ink; none while there is nothing to mask.
  fit(inkSide, controlSide) {
    const there = Boolean(this.ground);
    return this.sheets.map((sheet, i) => sheet.resize(there ? [inkSide, controlSide][i] : 0)).includes(true);
  }
  repaint() {
    if (this.ground) for (const { context } of this.sheets) paintLayer(context, maskOf(this.operations), this.board.drawing.growing);
  }
}
