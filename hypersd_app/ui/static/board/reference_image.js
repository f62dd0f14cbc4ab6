// A faint picture under the ink, sketches brought in from files, and turning a picture into lines.
import { edges, strokesOf } from "./vectorize.js";
import { callServer, texts } from "../core/bridge.js";
import { restoreFile } from "../core/navigation.js";
import { say } from "../core/notify.js";
import { forgetValue, keepValue, keptValue } from "../core/storage.js";
import { fromBase64 } from "../core/wire.js";

const SIDE = 512;
const LINE = 0.3; // grey value from which a detector's line is one
const DRAWN_KINDS = ["canny", "lineart"]; // control kinds that read lines; the others read tones

async function picture(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

async function copied(source) {
  const image = await picture(source);
  const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}
async function pngBytes(source) { return fromBase64((await copied(source)).toDataURL("image/png").split(",")[1]); }

// The pixels of a picture fitted into a white square, RGBA.
function fitted(image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, SIDE, SIDE);
  const scale = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  context.drawImage(image, (SIDE - w) / 2, (SIDE - h) / 2, w, h);
  return context.getImageData(0, 0, SIDE, SIDE).data;
}

// Grey values 0..1.
function greys(image) {
  const data = fitted(image);
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

// A drawing's lines: what differs from its paper, whichever of the two is dark, in their colours. On dark paper
// lightness is turned round and the hue kept: white chalk becomes black ink, red stays red.
export async function sketchToInk(source) {
  const data = fitted(await picture(source));
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
  const dark = sum / (0.75 * data.length) < 128;
  const inks = Array.from({ length: SIDE * SIDE }, (_, i) => {
    const color = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    const turn = dark ? 255 - Math.max(...color) - Math.min(...color) : 0;
    return color.map((value) => value + turn);
  });
  const lines = Float32Array.from(inks, (color) => 1 - Math.min(...color) / 255);
  return inkOperation(lines.map((value) => Math.min(1, Math.max(0, (value - 0.25) / 0.35))), (i) => inks[i]);
}

// A picture's edges as strokes.
export const edgesToStrokes = async (source) => strokesOf(edges(greys(await picture(source)), SIDE), SIDE);

// What a detector made of a picture, bright on black: its lines as strokes, or its tones as ink.
export const linesToStrokes = async (source) => strokesOf(greys(await picture(source)).map((value) => (value > LINE ? value : 0)), SIDE);
export const greysToInk = async (source) => inkOperation(greys(await picture(source)));

export class ReferenceImage {
  constructor(element, board) {
    Object.assign(this, { board, image: element.querySelector(".hs-reference"), tools: element.querySelector(".hs-reference-tools") });
    this.opacity = element.querySelector(".hs-reference-opacity");
    this.opacity.addEventListener("input", () => this.fade());
    for (const input of element.querySelectorAll(".hs-file")) {
      input.addEventListener("change", () => { if (input.files[0]) this.file(input.files[0], input.dataset.file); input.value = ""; });
    }
    window.addEventListener("paste", (event) => this.paste(event, element));
  }
  paste(event, element) {
    const item = [...(event.clipboardData ? event.clipboardData.files : [])].find((file) => file.type.startsWith("image/"));
    if (item && element.offsetParent) this.file(item, "trace");
  }
  async file(file, role) { if (!await restoreFile(file)) await this.take(file, role); }
  // A picture without a recipe.
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
    this.show((await copied(url)).toDataURL("image/png"));
    keepValue("trace", this.image.src);
  }
  show(source) {
    this.image.src = source;
    this.image.hidden = this.tools.hidden = false;
    this.fade();
  }
  // The picture of before a reload.
  async load() {
    const source = await keptValue("trace");
    if (source && !this.image.getAttribute("src")) this.show(source);
  }
  fade() { this.image.style.opacity = Number(this.opacity.value) / 100; }
  async toLines() {
    if (await this.draw(this.image.src)) this.remove();
  }
  // A picture's lines as strokes of the drawing; false if that failed, which is told.
  async draw(source) {
    try {
      const drawn = await this.lines(source);
      if (drawn.length) this.board.drawing.addTogether(drawn);
      else say(texts["board.nolines"]);
    } catch (error) {
      this.board.setNotice(error.message);
      return false;
    }
    return true;
  }
  // Edges are found here; what the other control kinds read of a picture (depth, line art), the server's detectors find.
  async lines(source) {
    const { control, model } = this.board.settings;
    if (!control.name || control.name.startsWith("scribble")) return edgesToStrokes(source);
    const answer = await callServer("annotate", { kind: control.name, model: model.name }, await pngBytes(source));
    if (!answer.png) throw new Error(answer.message);
    const found = `data:image/png;base64,${answer.png}`;
    return DRAWN_KINDS.includes(control.name) ? linesToStrokes(found) : [await greysToInk(found)];
  }
  remove() {
    this.image.hidden = this.tools.hidden = true;
    this.image.removeAttribute("src");
    forgetValue("trace");
  }
}
