// Lines found in an image, as strokes of the pen: they can be erased, undone and drawn over like the visitor's own.
import { PAPER } from "../drawing/geometry.js";

const [WEAK, STRONG] = [0.12, 0.3]; // of an edge, in Sobel's units of grey values 0..1
const SHORTEST = 10; // px: what is shorter is grain
const EVERY = 4; // px between two points of a stroke
const PEN = { tool: "brush", color: "#22252b", size: 9, symmetry: 0 };
const USUAL_PRESSURE = 0.5;

// Along rows, then along columns; beyond the border the image goes on as it is there, and never with the row's other end.
function blur(values, side) {
  const pass = (input, step) => input.map((value, i) => {
    const place = step === 1 ? i % side : Math.floor(i / side);
    const at = (k) => (place + k >= 0 && place + k < side ? input[i + k * step] : value);
    return (at(-2) + 4 * at(-1) + 6 * value + 4 * at(1) + at(2)) / 16;
  });
  return pass(pass(values, 1), side);
}

// Strength of an image's edges on the crest of every slope, 0 elsewhere: Canny's first three steps.
export function edges(greys, side) {
  const v = blur(blur(greys, side), side);
  const strength = new Float32Array(v.length);
  const flat = new Uint8Array(v.length);
  for (let y = 1; y < side - 1; y += 1) {
    for (let x = 1; x < side - 1; x += 1) {
      const i = y * side + x;
      const gx = v[i + 1 - side] + 2 * v[i + 1] + v[i + 1 + side] - v[i - 1 - side] - 2 * v[i - 1] - v[i - 1 + side];
      const gy = v[i + side - 1] + 2 * v[i + side] + v[i + side + 1] - v[i - side - 1] - 2 * v[i - side] - v[i - side + 1];
      strength[i] = Math.hypot(gx, gy);
      flat[i] = Math.abs(gx) > Math.abs(gy) ? 1 : 0;
    }
  }
  const crest = (s, i) => s >= strength[i + (flat[i] ? 1 : side)] && s >= strength[i - (flat[i] ? 1 : side)];
  return strength.map((s, i) => (s > WEAK && crest(s, i) ? s : 0));
}

// The neighbours of a pixel, clockwise from above.
const around = (side) => [-side, 1 - side, 1, 1 + side, side, side - 1, -1, -1 - side];

// Lines of any width worn down to one pixel (Zhang and Suen, 1984); the image's border stays empty.
function thinned(mask, side) {
  const steps = around(side);
  const removable = (i, first) => {
    const p = steps.map((step) => mask[i + step]);
    const count = p.reduce((sum, value) => sum + value, 0);
    const turns = p.filter((value, k) => !value && p[(k + 1) % 8]).length;
    const [up, right, down, left] = [p[0], p[2], p[4], p[6]];
    const open = first ? !(up && right && down) && !(right && down && left) : !(up && right && left) && !(up && down && left);
    return count >= 2 && count <= 6 && turns === 1 && open;
  };
  let alive = [...mask.keys()].filter((i) => mask[i]);
  for (let changed = true; changed;) {
    changed = false;
    for (const first of [true, false]) {
      const gone = alive.filter((i) => removable(i, first));
      for (const i of gone) mask[i] = 0;
      changed = changed || gone.length > 0;
      alive = alive.filter((i) => mask[i]);
    }
  }
  return alive;
}

// Pixels of thin lines in the order a pen would take them: from end to end, then round what has no end.
function chains(mask, pixels, side) {
  const steps = around(side);
  const near = (i) => steps.filter((step) => mask[i + step]);
  const ends = pixels.filter((i) => near(i).length === 1);
  const found = [];
  for (const start of [...ends, ...pixels]) {
    if (!mask[start]) continue;
    const chain = [start];
    mask[start] = 0;
    for (let at = start, way = 0, next = near(at); next.length; next = near(at)) {
      way = next.includes(way) ? way : next[0]; // straight on where that is possible
      at += way;
      mask[at] = 0;
      chain.push(at);
    }
    found.push(chain);
  }
  return found;
}

// Lines (0 none, the more the stronger; `side` pixels across) as strokes. Faint ones count where they go on from strong ones.
export function strokesOf(strengths, side, strong = STRONG) {
  const inside = (i) => i > side && i < strengths.length - side && i % side > 0 && i % side < side - 1;
  const mask = Uint8Array.from(strengths, (value, i) => (value > 0 && inside(i) ? 1 : 0));
  const kept = chains(mask, thinned(mask, side), side)
    .filter((chain) => chain.length >= SHORTEST && chain.some((i) => strengths[i] >= strong));
  const unit = PAPER / side;
  return kept.map((chain) => {
    const places = chain.filter((_, k) => k % EVERY === 0 || k === chain.length - 1);
    return { ...PEN, points: places.flatMap((i) => [((i % side) + 0.5) * unit, (Math.floor(i / side) + 0.5) * unit, USUAL_PRESSURE]) };
  });
}
