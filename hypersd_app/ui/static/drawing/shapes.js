// Points of shapes that are drawn by dragging from one place to another: flat [x, y, pressure, ...].
const USUAL_PRESSURE = 0.5;
const CORNERS = 72; // of an ellipse
const ANGLE = Math.PI / 12; // between the lines that Shift allows

const flat = (places) => places.flatMap(([x, y]) => [Math.round(x * 4) / 4, Math.round(y * 4) / 4, USUAL_PRESSURE]);

// Where a line from one place towards another ends that may only have some angles.
export function straightened([x0, y0], [x1, y1]) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  const angle = Math.round(Math.atan2(y1 - y0, x1 - x0) / ANGLE) * ANGLE;
  return [x0 + length * Math.cos(angle), y0 + length * Math.sin(angle)];
}

// The opposite corner of a square from one place towards another.
function squared([x0, y0], [x1, y1]) {
  const side = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0));
  return [x0 + side * Math.sign(x1 - x0 || 1), y0 + side * Math.sign(y1 - y0 || 1)];
}

export const SHAPES = {
  line: { closed: false, points: (from, to, even) => flat([from, even ? straightened(from, to) : to]) },
  rectangle: { closed: true, points(from, to, even) {
    const [x, y] = even ? squared(from, to) : to;
    return flat([from, [x, from[1]], [x, y], [from[0], y]]);
  } },
  ellipse: { closed: true, points(from, to, even) {
    const [x, y] = even ? squared(from, to) : to;
    const [centerX, centerY, radiusX, radiusY] = [(from[0] + x) / 2, (from[1] + y) / 2, (x - from[0]) / 2, (y - from[1]) / 2];
    return flat(Array.from({ length: CORNERS }, (_, i) => (2 * Math.PI * i) / CORNERS)
      .map((angle) => [centerX + radiusX * Math.cos(angle), centerY + radiusY * Math.sin(angle)]));
  } },
};

export const polygonPoints = (corners) => flat(corners);
