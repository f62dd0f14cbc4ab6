// The bucket: which pixels belong to the area around a place, and their outline.
import { PAPER, simplified } from "./geometry.js";

const UNDER = 2; // px that an area goes on below the lines around it, whose edges are soft
const SMALLEST = 12; // square px of an outline that counts
const [LOOSE, ROUND] = [0.8, 2]; // px by which an outline may be off, and 1 / units of the paper that places are rounded to
const FAR = 60000;

// 1 where a pixel differs from the one at `seed` by more than `tolerance` (0..255, in any channel).
function barriers({ data }, seed, tolerance) {
  const [r, g, b] = data.subarray(4 * seed, 4 * seed + 3);
  const different = (i) => Math.max(Math.abs(data[i] - r), Math.abs(data[i + 1] - g), Math.abs(data[i + 2] - b)) > tolerance;
  return Uint8Array.from({ length: data.length / 4 }, (_, i) => (different(4 * i) ? 1 : 0));
}

// How far each pixel is from the next one that is set, in px: exact along rows and columns, a little long across.
function distances(mask, width, height) {
  const far = Float32Array.from(mask, (set) => (set ? 0 : FAR));
  const look = (i, x, y, dx, dy) => {
    const [nx, ny] = [x + dx, y + dy];
    if (nx < 0 || ny < 0 || nx >= width || ny >= height) return;
    far[i] = Math.min(far[i], far[i + dy * width + dx] + (dx && dy ? Math.SQRT2 : 1));
  };
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) if (far[i]) for (const [dx, dy] of [[-1, 0], [-1, -1], [0, -1], [1, -1]]) look(i, x, y, dx, dy);
  }
  for (let y = height - 1, i = width * height - 1; y >= 0; y -= 1) {
    for (let x = width - 1; x >= 0; x -= 1, i -= 1) if (far[i]) for (const [dx, dy] of [[1, 0], [1, 1], [0, 1], [-1, 1]]) look(i, x, y, dx, dy);
  }
  return far;
}

// Pixels that can be reached from `seed` over those that are free.
function reached(free, seed, width) {
  const found = new Uint8Array(free.length);
  const waiting = [seed];
  found[seed] = 1;
  while (waiting.length) {
    const i = waiting.pop();
    const x = i % width;
    const near = [i - width, i + width];
    if (x > 0) near.push(i - 1);
    if (x < width - 1) near.push(i + 1);
    for (const j of near) if (free[j] && !found[j]) { found[j] = 1; waiting.push(j); }
  }
  return found;
}

// `found` grown by `steps` px over pixels that are `free`.
function grown(found, free, steps, width) {
  let edge = [...found.keys()].filter((i) => found[i]);
  for (let step = 0; step < steps; step += 1) {
    const next = [];
    for (const i of edge) {
      const x = i % width;
      const near = [i - width, i + width];
      if (x > 0) near.push(i - 1);
      if (x < width - 1) near.push(i + 1);
      for (const j of near) if (j >= 0 && j < found.length && !found[j] && free[j]) { found[j] = 1; next.push(j); }
    }
    edge = next;
  }
  return found;
}

// 1 for each pixel of the area around (x, y) of an ImageData. Gaps of up to `gap` px in its border are closed, unless that leaves nothing.
export function area(pixels, x, y, { tolerance, gap }) {
  const { width, height } = pixels;
  const seed = Math.floor(y) * width + Math.floor(x);
  const barrier = barriers(pixels, seed, tolerance);
  const away = distances(barrier, width, height);
  const reach = Math.min(gap / 2, Math.max(0, away[seed] - 1));
  const found = reached(away.map((far) => (far > reach ? 1 : 0)), seed, width);
  grown(found, barrier.map((set) => 1 - set), Math.ceil(reach), width);
  return grown(found, new Uint8Array(found.length).fill(1), UNDER, width);
}

// Right, down, left, up: the edge of a pixel that has the area at its right hand.
const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]];

// Closed outlines [x, y, ...] in px along the edges of pixels that are set; outer ones and those of holes turn in opposite ways.
export function outlinesOf(mask, width, height) {
  const row = width + 1;
  const at = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x];
  const leaving = new Uint8Array(row * (height + 1)); // bits of the ways that lead on from a corner
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (!mask[y * width + x]) continue;
      if (!at(x, y - 1)) leaving[y * row + x] |= 1;
      if (!at(x + 1, y)) leaving[y * row + x + 1] |= 2;
      if (!at(x, y + 1)) leaving[(y + 1) * row + x + 1] |= 4;
      if (!at(x - 1, y)) leaving[(y + 1) * row + x] |= 8;
    }
  }
  const found = [];
  for (let start = 0; start < leaving.length; start += 1) while (leaving[start]) found.push(walked(leaving, start, row));
  return found;
}
function walked(leaving, start, row) {
  const path = [];
  let [corner, way] = [start, 3];
  do {
    way = [1, 0, 3, 2].map((turn) => (way + turn) % 4).find((each) => leaving[corner] & (1 << each)); // right, on, left
    leaving[corner] &= ~(1 << way);
    path.push(corner % row, Math.floor(corner / row));
    corner += STEPS[way][0] + STEPS[way][1] * row;
  } while (corner !== start || leaving[corner]);
  return path;
}

function size(path) {
  let sum = 0;
  for (let i = 0, j = path.length - 2; i < path.length; j = i, i += 2) sum += path[j] * path[i + 1] - path[i] * path[j + 1];
  return Math.abs(sum) / 2;
}

// Outlines of the area around a place of the paper, in its units; none where nothing is to be filled.
export function filledPaths(pixels, x, y, options) {
  const scale = pixels.width / PAPER;
  const mask = area(pixels, x * scale, y * scale, { ...options, gap: options.gap * scale });
  return outlinesOf(mask, pixels.width, pixels.height).filter((path) => size(path) >= SMALLEST).map((path) => {
    const closed = simplified([...path, path[0], path[1]], LOOSE).slice(0, -2);
    return closed.map((value) => Math.round((value / scale) * ROUND) / ROUND);
  });
}
