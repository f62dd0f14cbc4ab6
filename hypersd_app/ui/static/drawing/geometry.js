// Plane geometry of the paper. Matrices are [a, b, c, d, e, f] as canvases take them; outlines are flat [x, y, x, y, ...].
// Coordinates of a drawing go from 0 to this across the paper and down it.
export const PAPER = 1024;

export const IDENTITY = [1, 0, 0, 1, 0, 0];

// What `first` and then `second` do.
export function combined(second, first) {
  const [a, b, c, d, e, f] = second;
  const [g, h, i, j, k, l] = first;
  return [a * g + c * h, b * g + d * h, a * i + c * j, b * i + d * j, a * k + c * l + e, b * k + d * l + f];
}

export const moved = (x, y) => [1, 0, 0, 1, x, y];

// Scaled and turned (radians) about a place that stays where it is.
export function turned(scale, angle, [x, y]) {
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  return [cos, sin, -sin, cos, x - cos * x + sin * y, y - sin * x - cos * y];
}

export const applied = ([a, b, c, d, e, f], x, y) => [a * x + c * y + e, b * x + d * y + f];

export function inverse([a, b, c, d, e, f]) {
  const det = a * d - b * c;
  return [d / det, -b / det, -c / det, a / det, (c * f - d * e) / det, (b * e - a * f) / det];
}

// The copies a symmetry makes: 0 none, 1 left-right, 2 both axes.
export function mirrors(symmetry) {
  const flips = [[1, 1], [-1, 1], [1, -1], [-1, -1]].slice(0, symmetry === 2 ? 4 : symmetry === 1 ? 2 : 1);
  return flips.map(([sx, sy]) => [sx, 0, 0, sy, sx < 0 ? PAPER : 0, sy < 0 ? PAPER : 0]);
}

export function distanceToSegment(x, y, [x0, y0, x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const along = dx || dy ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy))) : 0;
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}

// Whether a place lies inside of outlines, by the even-odd rule.
export function inside(x, y, outlines) {
  let within = false;
  for (const path of outlines) {
    for (let i = 0, j = path.length - 2; i < path.length; j = i, i += 2) {
      const crosses = path[i + 1] > y !== path[j + 1] > y;
      if (crosses && x < ((path[j] - path[i]) * (y - path[i + 1])) / (path[j + 1] - path[i + 1]) + path[i]) within = !within;
    }
  }
  return within;
}

// Fewer points of an open outline that stay within `tolerance` of all of them (Douglas and Peucker, 1973).
export function simplified(path, tolerance) {
  const count = path.length / 2;
  const keep = new Uint8Array(count);
  keep[0] = keep[count - 1] = 1;
  const spans = [[0, count - 1]];
  while (spans.length) {
    const [from, to] = spans.pop();
    const segment = [path[2 * from], path[2 * from + 1], path[2 * to], path[2 * to + 1]];
    let [farthest, far] = [-1, tolerance];
    for (let i = from + 1; i < to; i += 1) {
      const distance = distanceToSegment(path[2 * i], path[2 * i + 1], segment);
      if (distance > far) [farthest, far] = [i, distance];
    }
    if (farthest < 0) continue;
    keep[farthest] = 1;
    spans.push([from, farthest], [farthest, to]);
  }
  return path.filter((_, i) => keep[i >> 1]);
}
