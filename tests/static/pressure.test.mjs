import assert from "node:assert/strict";
import test from "node:test";
import { curve, paintStroke } from "../../hypersd_app/ui/static/drawing/painter.js";
import { pressureOf, strokeWidth } from "../../hypersd_app/ui/static/drawing/pressure.js";

test("a pen that leaves the paper presses no more", () => {
  assert.equal(pressureOf({ pointerType: "pen", pressure: 0 }), 0);
  assert.equal(pressureOf({ pointerType: "pen", pressure: 0.3 }), 0.3);
  assert.equal(pressureOf({ pointerType: "mouse", pressure: 0 }), 0.5);
  assert.equal(pressureOf({ pointerType: "touch", pressure: 0 }), 0.5);
});

test("lines go from thin to the whole brush, and without pressure are as they were", () => {
  const widths = Array.from({ length: 101 }, (_, i) => strokeWidth({ size: 100 }, i / 100));
  assert.ok(widths.every((width, i) => !i || width > widths[i - 1]), "never thinner for more");
  assert.ok(Math.abs(widths[0] - 10) < 1e-9 && Math.abs(widths[100] - 100) < 1e-9);
  assert.ok(Math.abs(widths[50] - 67.5) < 1e-9);
});

// A canvas that writes down what is stroked: [width, from, control, to].
function recorder() {
  const strokes = [];
  let [from, rest] = [null, null];
  return { strokes, lineWidth: 0, save() {}, restore() {}, transform() {}, beginPath() {}, arc() {}, fill() {},
    moveTo(x, y) { from = [x, y]; }, quadraticCurveTo(...to) { rest = to; }, lineTo(...to) { rest = to; },
    stroke() { strokes.push([this.lineWidth, ...from, ...rest]); } };
}

test("a line's width changes in steps too small to be seen", () => {
  const context = recorder();
  paintStroke(context, { tool: "brush", size: 40, points: [0, 0, 0.1, 50, 0, 0.5, 100, 20, 1, 150, 20, 0.2] }, 0, true);
  const widths = context.strokes.map(([width]) => width);
  for (let i = 1; i < widths.length - 1; i += 1) assert.ok(Math.abs(widths[i] - widths[i - 1]) <= 1.5, `${widths[i - 1]} → ${widths[i]}`);
});

test("the pieces of a curve lie on the curve and follow each other", () => {
  const context = recorder();
  curve(context, [0, 0, 40, 80, 100, 0], [2, 12]);
  assert.equal(context.strokes.length, 10);
  context.strokes.forEach(([, x, y], i) => {
    const t = i / 10;
    assert.ok(Math.abs(x - (2 * t * (1 - t) * 40 + t * t * 100)) < 1e-9 && Math.abs(y - 2 * t * (1 - t) * 80) < 1e-9);
  });
  const [, x0, y0, cx, cy, x1, y1] = context.strokes[3]; // its middle lies on the whole curve
  const middle = [0.25 * x0 + 0.5 * cx + 0.25 * x1, 0.25 * y0 + 0.5 * cy + 0.25 * y1];
  assert.ok(Math.abs(middle[0] - (2 * 0.35 * 0.65 * 40 + 0.35 * 0.35 * 100)) < 1e-9);
  assert.ok(Math.abs(middle[1] - 2 * 0.35 * 0.65 * 80) < 1e-9);
});
