// A faint image under the ink, sketches brought in from files, and turning an image into lines.
import { inkOf, paperColor } from "./sketch_ink.js";
import { edges, strokesOf } from "./vectorize.js";
import { callServer, texts } from "../core/bridge.js";
import { restoreFile } from "../core/navigation.js";
import { say } from "../core/notify.js";
import { forgetValue, keepValue, keptValue, readText, writeText } from "../core/storage.js";
import { fromBase64 } from "../core/wire.js";

const SIDE = 512;
const RIM = 4; // px inside of an image's border in which edges are the border's
const LINE = 0.3; // grey value from which a detector's line is one
const DRAWN_KINDS = ["canny", "lineart"]; // control kinds that read lines; the others read tones

async function loaded(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

async function copied(source) {
  const image = await loaded(source);
  const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}
async function pngBytes(source) { return fromBase64((await copied(source)).toDataURL("image/png").split(",")[1]); }

// An image fitted into a square of its own paper: {data: RGBA, paper: [r, g, b], box: [left, top, right, bottom] of the image}.
function fitted(image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const scale = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
  const [w, h] = [image.naturalWidth, image.naturalHeight].map((side) => Math.max(1, Math.round(side * scale)));
  const [left, top] = [(SIDE - w) >> 1, (SIDE - h) >> 1];
  context.drawImage(image, left, top, w, h);
  const paper = paperColor(context.getImageData(left, top, w, h).data, w, h);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = `rgb(${paper})`;
  context.fillRect(0, 0, SIDE, SIDE);
  return { data: context.getImageData(0, 0, SIDE, SIDE).data, paper, box: [left, top, left + w, top + h] };
}

// Grey values 0..1 of fitted pixels.
function greys({ data }) {
  return Float32Array.from({ length: SIDE * SIDE }, (_, i) => (0.3 * data[4 * i] + 0.59 * data[4 * i + 1] + 0.11 * data[4 * i + 2]) / 255);
}

// An operation with ink where `alpha` (0..1 a pixel) says, of the colour `colorOf(i)` of each pixel.
function inkOperation(alpha, colorOf = () => [34, 37, 43]) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(SIDE, SIDE);
  alpha.forEach((value, i) => pixels.data.set([...colorOf(i), 255 * value], 4 * i));
  context.putImageData(pixels, 0, 0);
  return { tool: "image", source: canvas.toDataURL("image/png") };
}

// A drawing's lines: what differs from its paper, in its colours.
export async function sketchToInk(source) {
  const { data, paper } = fitted(await loaded(source));
  const inks = inkOf(data, paper);
  return inkOperation(Float32Array.from(inks, ([, alpha]) => alpha), (i) => inks[i][0]);
}

// An image's edges as strokes; where the image ends is none.
export async function edgesToStrokes(source) {
  const found = fitted(await loaded(source));
  const [left, top, right, bottom] = found.box;
  const inside = (i) => {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE)];
    return x >= left + RIM && x < right - RIM && y >= top + RIM && y < bottom - RIM;
  };
  return strokesOf(edges(greys(found), SIDE).map((value, i) => (inside(i) ? value : 0)), SIDE);
}

// What a detector made of an image, bright on black: its lines as strokes, or its tones as ink.
export const linesToStrokes = async (source) => strokesOf(greys(fitted(await loaded(source))).map((value) => (value > LINE ? value : 0)), SIDE);
export const greysToInk = async (source) => inkOperation(greys(fitted(await loaded(source))));

const KEPT = "hypersd.traces"; // the keys of images that the browser's database holds, the newest last
const MOST_KEPT = 12;

// A faint image is a step of the drawing, {tool: "reference", key}: undo brings back the one of before. The images themselves
// lie in the browser's database.
export class ReferenceImage {
  constructor(element, board) {
    Object.assign(this, { board, image: element.querySelector(".hs-reference"), tools: element.querySelector(".hs-reference-tools"), sources: new Map() });
    for (const input of element.querySelectorAll(".hs-file")) {
      input.addEventListener("change", () => { if (input.files[0]) this.take(input.files[0], input.dataset.file); input.value = ""; });
    }
    window.addEventListener("paste", (event) => this.paste(event, element));
  }
  paste(event, element) {
    const item = [...(event.clipboardData ? event.clipboardData.files : [])].find((file) => file.type.startsWith("image/"));
    if (item && element.offsetParent) this.pasted(item);
  }
  async pasted(file) { if (!await restoreFile(file)) await this.take(file, "trace"); }
  // An image, whether it has a recipe or not: who traces or imports it wants what is seen in it.
  async take(file, role) {
    const url = URL.createObjectURL(file);
    try {
      if (role === "sketch") this.board.drawing.add(await sketchToInk(url));
      else await this.use(url);
    } catch (error) {
      this.board.setNotice(`${file.name}: ${error.message}`);
    } finally {
      URL.revokeObjectURL(url);
    }
  }
  // Keeps its own copy, over a reload too: a file's address is gone when this is done.
  async use(url) {
    const source = (await copied(url)).toDataURL("image/png");
    this.board.drawing.add({ tool: "reference", key: this.keep(source) });
  }
  keep(source) {
    const key = `${Date.now().toString(36)}-${source.length.toString(36)}`;
    this.sources.set(key, source);
    keepValue(`trace:${key}`, source);
    const keys = [...JSON.parse(readText("localStorage", KEPT) || "[]"), key];
    for (const old of keys.splice(0, Math.max(0, keys.length - MOST_KEPT))) forgetValue(`trace:${old}`);
    writeText("localStorage", KEPT, JSON.stringify(keys));
    return key;
  }
  // The image that the drawing's steps say.
  async sync() {
    const { reference } = this.board.drawing.document;
    if (reference === this.key) return;
    this.key = reference;
    const source = this.sources.get(reference) || (reference && await keptValue(`trace:${reference}`)) || "";
    if (this.key !== reference) return; // another one meanwhile
    if (source) { this.sources.set(reference, source); this.image.src = source; } else this.image.removeAttribute("src");
    this.tools.hidden = !source;
    this.board.paper.layers.show(this.board.drawing.document);
  }
  // Earlier pages kept one image beside the drawing.
  async load() {
    const source = await keptValue("trace");
    if (!source) return;
    forgetValue("trace");
    const { drawing } = this.board;
    if (drawing.document.reference) return;
    drawing.operations.unshift({ tool: "reference", key: this.keep(source) });
    drawing.forgetState();
  }
  // One step of undo takes the lines away and brings the image back.
  async toLines() { if (this.image.src) await this.draw(this.image.src, [{ tool: "reference", key: "" }]); }
  // An image's lines as strokes of the drawing, and then other steps; an error is told.
  async draw(source, then = []) {
    try {
      const drawn = await this.lines(source);
      const { drawing } = this.board;
      if (drawing.endsWith(drawn)) { if (then.length) drawing.addTogether(then); return; } // asked twice
      if (drawn.length) drawing.addTogether([...drawn, ...then]);
      else say(texts["board.nolines"]);
    } catch (error) {
      this.board.setNotice(error.message);
    }
  }
  // Edges are found here; what the other control kinds read of an image (depth, line art), the server's detectors find.
  async lines(source) {
    const { control, model } = this.board.settings;
    if (!control.name || control.name.startsWith("scribble")) return edgesToStrokes(source);
    const answer = await callServer("annotate", { kind: control.name, model: model.name }, await pngBytes(source));
    if (!answer.png) throw new Error(answer.message);
    const found = `data:image/png;base64,${answer.png}`;
    return DRAWN_KINDS.includes(control.name) ? linesToStrokes(found) : [await greysToInk(found)];
  }
  remove() { if (this.board.drawing.document.reference) this.board.drawing.add({ tool: "reference", key: "" }); }
}
