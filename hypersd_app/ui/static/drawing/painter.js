// Draws elements onto a canvas of PAPER units, one at a time or piece by piece while the pen moves.
import { documentOf, inkLayers } from "./document.js";
import { isEraser } from "./elements.js";
import { mirrors, PAPER } from "./geometry.js";
import { strokeWidth } from "./pressure.js";

const [WIDTH_STEP, MOST_STEPS] = [1, 24]; // units of the paper by which a line's width changes at once, and pieces of a curve
const images = new Map(); // sketches imported as images, decoded once

// Where a stroke begins; a tap is nothing else. A line of no length would not be drawn, its round caps included.
function dot(context, stroke) {
  const [x, y, pressure] = stroke.points;
  context.fillStyle = context.strokeStyle;
  context.beginPath();
  context.arc(x, y, strokeWidth(stroke, pressure) / 2, 0, 2 * Math.PI);
  context.fill();
}

// The curve of a stroke ends half way to its last point, so that the next one can bend it; see `tail`.
function piece(context, stroke, i) {
  if (i === 0) return dot(context, stroke);
  const p = stroke.points;
  const before = Math.max(0, i - 3);
  const from = Math.max(0, before - 3);
  // A curve through the midpoints, steered by the point between: smooth without lagging behind the pen.
  const start = [(p[from] + p[before]) / 2, (p[from + 1] + p[before + 1]) / 2];
  const end = [(p[before] + p[i]) / 2, (p[before + 1] + p[i + 1]) / 2];
  const widths = [strokeWidth(stroke, (p[from + 2] + p[before + 2]) / 2), strokeWidth(stroke, (p[before + 2] + p[i + 2]) / 2)];
  curve(context, [...start, p[before], p[before + 1], ...end], widths);
}

// A quadratic curve whose width goes from one to another in steps too small to be seen.
export function curve(context, [x0, y0, cx, cy, x1, y1], [first, last]) {
  const steps = Math.min(MOST_STEPS, Math.max(1, Math.ceil(Math.abs(last - first) / WIDTH_STEP)));
  let [fromX, fromY] = [x0, y0];
  for (let k = 1; k <= steps; k += 1) {
    const [t, s] = [k / steps, (k - 1) / steps];
    const at = (a, c, b) => (1 - t) * (1 - t) * a + 2 * t * (1 - t) * c + t * t * b;
    const control = (a, c, b) => (1 - s) * (1 - t) * a + (s + t - 2 * s * t) * c + s * t * b;
    const [toX, toY] = [at(x0, cx, x1), at(y0, cy, y1)];
    context.lineWidth = first + (last - first) * t;
    context.beginPath();
    context.moveTo(fromX, fromY);
    context.quadraticCurveTo(control(x0, cx, x1), control(y0, cy, y1), toX, toY);
    context.stroke();
    [fromX, fromY] = [toX, toY];
  }
}

// The straight rest of a stroke, from where its curve ends to its last point. It stays only once the stroke is finished:
// drawn after every point it would stick out of a curve that was drawn fast.
function tail(context, stroke) {
  const p = stroke.points;
  const [last, before] = [p.length - 3, Math.max(0, p.length - 6)];
  if (last <= 0) return;
  context.lineWidth = strokeWidth(stroke, p[last + 2]);
  context.beginPath();
  context.moveTo((p[before] + p[last]) / 2, (p[before + 1] + p[last + 1]) / 2);
  context.lineTo(p[last], p[last + 1]);
  context.stroke();
}

// A straight-sided outline.
function trace(context, path, closed) {
  context.moveTo(path[0], path[1]);
  for (let i = 2; i < path.length; i += 2) context.lineTo(path[i], path[i + 1]);
  if (closed) context.closePath();
}

function paintShape(context, shape) {
  context.beginPath();
  trace(context, shape.points.filter((_, i) => i % 3 !== 2), shape.closed);
  if (shape.fill) context.fill();
  context.lineWidth = strokeWidth(shape, shape.points[2]);
  context.stroke();
}

// What a stroke encloses: its own colour, with the straight way back to where it began.
function paintInside(context, stroke) {
  context.beginPath();
  trace(context, stroke.points.filter((_, i) => i % 3 !== 2), true);
  context.fill();
}

function paintFill(context, { paths }) {
  context.beginPath();
  for (const path of paths) trace(context, path, true);
  context.fill("evenodd");
}

function paintLine(context, stroke, fromPoint, finished) {
  if (stroke.tool === "shape") return paintShape(context, stroke);
  if (finished && stroke.fill) paintInside(context, stroke);
  for (let i = (fromPoint || 0) * 3; i < stroke.points.length; i += 3) piece(context, stroke, i);
  if (finished) tail(context, stroke);
}

// Draw points `fromPoint` (an index of points, not numbers) and later of a stroke, and its tail if that is `finished`.
export function paintStroke(context, stroke, fromPoint, finished) {
  inks(context, stroke, () => paintLine(context, stroke, fromPoint, finished));
}

// Runs `paint` for every copy of an element, in its colour and where it was moved to.
function inks(context, element, paint) {
  context.save();
  context.lineCap = context.lineJoin = "round";
  context.globalCompositeOperation = isEraser(element) ? "destination-out" : "source-over";
  context.strokeStyle = context.fillStyle = element.color || "#000";
  if (element.matrix) context.transform(...element.matrix);
  for (const mirror of mirrors(element.symmetry)) {
    context.save();
    context.transform(...mirror);
    paint();
    context.restore();
  }
  context.restore();
}

export function paintElement(context, element, finished = true) {
  if (element.points) return paintStroke(context, element, 0, finished);
  if (element.paths) return inks(context, element, () => paintFill(context, element));
  const image = images.get(element.source);
  if (image) inks(context, element, () => context.drawImage(image, 0, 0, PAPER, PAPER));
  return undefined;
}

// [left, top, right, bottom] in whole units: the part of the paper that `points` of a stroke and their mirrors can touch.
export function strokeBounds(stroke, points) {
  const margin = stroke.size / 2 + 2;
  const [xs, ys] = [0, 1].map((axis) => points.filter((_, i) => i % 3 === axis));
  if (stroke.symmetry) xs.push(...xs.map((x) => PAPER - x));
  if (stroke.symmetry === 2) ys.push(...ys.map((y) => PAPER - y));
  const inside = (units) => Math.min(PAPER, Math.max(0, units));
  const low = (values) => inside(Math.floor(Math.min(...values) - margin));
  const high = (values) => inside(Math.ceil(Math.max(...values) + margin));
  return [low(xs), low(ys), high(xs), high(ys)];
}

// Make every image among the operations ready to be drawn at once.
export function prepareImages(operations) {
  const missing = operations.filter((operation) => operation.tool === "image" && !images.has(operation.source));
  return Promise.all(missing.map(async ({ source }) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    images.set(source, image);
  }));
}

// Elements of one layer; the `growing` one has no tail yet.
export function paintLayer(context, elements, growing) {
  context.clearRect(0, 0, PAPER, PAPER);
  for (const element of elements) paintElement(context, element, element !== growing);
}

// One layer over what is there.
export function stack(context, canvas, opacity) {
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(canvas, 0, 0);
  context.restore();
}

// A whole drawing from the steps that made it.
export function paintAll(context, steps) {
  const layers = inkLayers(documentOf(steps));
  if (layers.length === 1 && layers[0].opacity === 1) return paintLayer(context, layers[0].elements);
  context.clearRect(0, 0, PAPER, PAPER);
  for (const { elements, opacity } of layers) {
    const sheet = controlSheet();
    sheet.resize(context.canvas.width);
    paintLayer(sheet.context, elements);
    stack(context, sheet.canvas, opacity);
  }
  return undefined;
}

// A square canvas of any number of pixels, drawn on in units of the paper.
export class Sheet {
  constructor(canvas, options) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", options);
  }
  // Whether it has another number of pixels now; it is empty then.
  resize(side) {
    if (this.canvas.width === side) return false;
    this.canvas.width = this.canvas.height = side;
    this.context.setTransform(side / PAPER, 0, 0, side / PAPER, 0, 0);
    this.context.imageSmoothingQuality = "high";
    return true;
  }
}

// What is sent of a drawing: its ink in its colours on transparent paper, as many pixels as the model's image. How the
// model sees it, the server decides (scribble_control): with the alpha channel it knows every pixel's ink and how much.
export const controlSheet = () => new Sheet(document.createElement("canvas"), { willReadFrequently: true });
