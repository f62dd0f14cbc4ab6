// A drawing as SVG, as it is painted (painter.js): areas, shapes and images as they are, a stroke as curves of one width each.
import { documentOf, inkLayers } from "./document.js";
import { isEraser } from "./elements.js";
import { combined, IDENTITY, mirrors, PAPER } from "./geometry.js";
import { strokeWidth } from "./pressure.js";

const WIDTH_STEP = 1.5; // units of the paper by which a line's width changes at once
const MOST_STEPS = 16; // pieces of a curve

const number = (value) => String(Math.round(value * 10) / 10);
const pair = (x, y) => `${number(x)} ${number(y)}`;
const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");
const middle = (points, i, j) => [(points[i] + points[j]) / 2, (points[i + 1] + points[j + 1]) / 2];

function straight(path, closed) {
  const corners = Array.from({ length: path.length / 2 }, (_, i) => pair(path[2 * i], path[2 * i + 1]));
  return `M${corners.join("L")}${closed ? "Z" : ""}`;
}
const flat = (points) => points.filter((_, i) => i % 3 !== 2);

// The pieces of a stroke's curve, [from, control, to, first width, last width] each: what the painter draws, its tail included.
function pieces(stroke) {
  const p = stroke.points;
  const made = [];
  for (let i = 3; i < p.length; i += 3) {
    const before = i - 3;
    const from = Math.max(0, before - 3);
    made.push([middle(p, from, before), [p[before], p[before + 1]], middle(p, before, i),
      strokeWidth(stroke, (p[from + 2] + p[before + 2]) / 2), strokeWidth(stroke, (p[before + 2] + p[i + 2]) / 2)]);
  }
  const last = p.length - 3;
  if (last > 0) {
    const width = strokeWidth(stroke, p[last + 2]);
    made.push([middle(p, last - 3, last), [p[last], p[last + 1]], [p[last], p[last + 1]], width, width]);
  }
  return made;
}

// A curve in parts whose widths are so alike that each has one.
function split([a, c, b, first, last]) {
  const count = Math.min(MOST_STEPS, Math.max(1, Math.ceil(Math.abs(last - first) / WIDTH_STEP)));
  const at = (t, i) => (1 - t) * (1 - t) * a[i] + 2 * t * (1 - t) * c[i] + t * t * b[i];
  const control = (s, t, i) => (1 - s) * (1 - t) * a[i] + (s + t - 2 * s * t) * c[i] + s * t * b[i];
  return Array.from({ length: count }, (_, k) => {
    const [s, t] = [k / count, (k + 1) / count];
    return { from: [at(s, 0), at(s, 1)], control: [control(s, t, 0), control(s, t, 1)], to: [at(t, 0), at(t, 1)], width: first + (last - first) * t };
  });
}

function strokePaths(stroke) {
  const [x, y, pressure] = stroke.points;
  const parts = pieces(stroke).flatMap(split);
  const whole = [`<circle cx="${number(x)}" cy="${number(y)}" r="${number(strokeWidth(stroke, pressure) / 2)}" stroke="none"/>`];
  for (let i = 0; i < parts.length;) {
    const { width, from } = parts[i];
    let curve = `M${pair(...from)}`;
    for (; i < parts.length && Math.abs(parts[i].width - width) < WIDTH_STEP; i += 1) curve += `Q${pair(...parts[i].control)} ${pair(...parts[i].to)}`;
    whole.push(`<path d="${curve}" stroke-width="${number(width)}" fill="none"/>`);
  }
  if (stroke.fill) whole.unshift(`<path d="${straight(flat(stroke.points), true)}" stroke="none"/>`);
  return whole.join("");
}

function shapePath(shape) {
  const width = number(strokeWidth(shape, shape.points[2]));
  return `<path d="${straight(flat(shape.points), shape.closed)}" stroke-width="${width}"${shape.fill ? "" : ' fill="none"'}/>`;
}

function inside(element) {
  if (element.tool === "shape") return shapePath(element);
  if (element.points) return strokePaths(element);
  if (element.paths) return `<path d="${element.paths.map((path) => straight(path, true)).join("")}" fill-rule="evenodd" stroke="none"/>`;
  return `<image href="${escaped(element.source)}" width="${PAPER}" height="${PAPER}"/>`;
}

// An element with its copies, where it was moved to; an eraser is what it hides.
function drawn(element, color) {
  const body = inside(element);
  const copies = mirrors(element.symmetry).map((mirror) => {
    const matrix = combined(element.matrix || IDENTITY, mirror);
    const moved = matrix.every((value, i) => value === IDENTITY[i]) ? "" : ` transform="matrix(${matrix.map((value) => Math.round(value * 1e4) / 1e4).join(" ")})"`;
    return `<g${moved}>${body}</g>`;
  });
  return `<g fill="${escaped(color)}" stroke="${escaped(color)}" stroke-linecap="round" stroke-linejoin="round">${copies.join("")}</g>`;
}

// One layer: every eraser masks what was drawn before it.
function layerOf({ name, opacity, elements }) {
  let [made, masks] = ["", 0];
  for (const element of elements) {
    if (!isEraser(element)) { made += drawn(element, element.color || "#000"); continue; }
    masks += 1;
    const id = `${name}-${masks}`;
    const mask = `<mask id="${id}" maskUnits="userSpaceOnUse" width="${PAPER}" height="${PAPER}"><rect width="${PAPER}" height="${PAPER}" fill="#fff"/>${drawn(element, "#000")}</mask>`;
    made = `${mask}<g mask="url(#${id})">${made}</g>`;
  }
  return `<g id="${name}"${opacity < 1 ? ` opacity="${opacity}"` : ""}>${made}</g>`;
}

// The ink of `steps` on transparent ground.
export function svgOf(steps) {
  const layers = inkLayers(documentOf(steps)).map(layerOf).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PAPER} ${PAPER}" width="${PAPER}" height="${PAPER}">${layers}</svg>\n`;
}
