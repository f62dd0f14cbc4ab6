// What lies on a layer: strokes, shapes, areas of colour and images, as data. `matrix` says where an element was moved to,
// `symmetry` which copies of it there are.
//   brush, eraser  {points: [x, y, pressure, ...], color, size, symmetry, fill?}
//   shape          the same with straight sides, `closed` or not; `fill`: its inside has its colour too
//   fill           {paths: [[x, y, ...], ...], color}, by the even-odd rule
//   image          {source}, as large as the paper
import { applied, combined, distanceToSegment, IDENTITY, inside, inverse, mirrors, PAPER } from "./geometry.js";
import { strokeWidth } from "./pressure.js";

const NEAR_ENDS = 0.12; // of a stroke's length: its ends are so close that it encloses something
const LEAST_LENGTH = 60; // units of the paper of a stroke that can

export const isEraser = ({ tool }) => tool === "eraser";
// Of drawings made before there were layers all is lines; an eraser without a layer works on all of them.
export const layerOf = ({ layer, tool }) => layer || (tool === "eraser" ? "" : "lines");
export const isOn = (element, layer) => ["", layer].includes(layerOf(element));

// The places of a stroke or shape without their pressures, as one outline.
export const outline = ({ points }) => points.filter((_, i) => i % 3 !== 2);
export const outlines = (element) => element.paths || (element.points ? [outline(element)] : [[0, 0, PAPER, 0, PAPER, PAPER, 0, PAPER]]);

// From the element's own coordinates to those of the paper, one matrix for each copy.
const placements = ({ matrix = IDENTITY, symmetry }) => mirrors(symmetry).map((mirror) => combined(matrix, mirror));

// [left, top, right, bottom] of all that an element covers, its copies and the width of its line included.
export function bounds(element) {
  const margin = element.size ? element.size / 2 : 0;
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const place of placements(element)) {
    const spread = margin * Math.hypot(place[0], place[1]);
    for (const path of outlines(element)) {
      for (let i = 0; i < path.length; i += 2) {
        const [x, y] = applied(place, path[i], path[i + 1]);
        box[0] = Math.min(box[0], x - spread); box[1] = Math.min(box[1], y - spread);
        box[2] = Math.max(box[2], x + spread); box[3] = Math.max(box[3], y + spread);
      }
    }
  }
  return box;
}
export const union = (boxes) => [0, 1, 2, 3].map((side) => Math[side < 2 ? "min" : "max"](...boxes.map((box) => box[side])));
export const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// Whether an element has ink within `reach` of a place.
export function touches(element, x, y, reach) {
  return placements(element).some((place) => {
    const [ownX, ownY] = applied(inverse(place), x, y);
    const near = reach / Math.hypot(place[0], place[1]);
    if (!element.points) return inside(ownX, ownY, outlines(element));
    if (element.fill && inside(ownX, ownY, outlines(element))) return true;
    return nearLine(element, ownX, ownY, near);
  });
}
function nearLine({ points, size, closed }, x, y, near) {
  for (let i = 0; i < points.length; i += 3) {
    const j = i + 3 < points.length ? i + 3 : closed ? 0 : i;
    const width = strokeWidth({ size }, Math.max(points[i + 2], points[j + 2]));
    if (distanceToSegment(x, y, [points[i], points[i + 1], points[j], points[j + 1]]) <= width / 2 + near) return true;
  }
  return false;
}

// Whether a stroke comes back to where it began.
export function isClosed({ points }) {
  let length = 0;
  for (let i = 3; i < points.length; i += 3) length += Math.hypot(points[i] - points[i - 3], points[i + 1] - points[i - 2]);
  const gap = Math.hypot(points[0] - points[points.length - 3], points[1] - points[points.length - 2]);
  return length >= LEAST_LENGTH && gap <= NEAR_ENDS * length;
}
