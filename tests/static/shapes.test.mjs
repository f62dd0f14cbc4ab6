import assert from "node:assert/strict";
import test from "node:test";
import { SHAPES, straightened } from "../../hypersd_app/ui/static/drawing/shapes.js";
import { felt, Stabiliser } from "../../hypersd_app/ui/static/drawing/stabiliser.js";

const places = (points) => Array.from({ length: points.length / 3 }, (_, i) => points.slice(3 * i, 3 * i + 2));
const box = (points) => [0, 1].map((axis) => places(points).map((place) => place[axis])).map((values) => [Math.min(...values), Math.max(...values)]);

test("shapes reach from one corner to the other, in any direction", () => {
  for (const kind of ["rectangle", "ellipse"]) assert.deepEqual(box(SHAPES[kind].points([300, 200], [100, 400], false)), [[100, 300], [200, 400]], kind);
  assert.deepEqual(places(SHAPES.line.points([1, 2], [30, 40], false)), [[1, 2], [30, 40]]);
});

test("Shift makes squares, circles and straight lines", () => {
  for (const kind of ["rectangle", "ellipse"]) assert.deepEqual(box(SHAPES[kind].points([100, 100], [50, 300], true)), [[-100, 100], [100, 300]], kind);
  assert.deepEqual(straightened([0, 0], [100, 8]).map(Math.round), [100, 0]);
  const [x, y] = straightened([0, 0], [90, 100]);
  assert.ok(Math.abs(x - y) < 1e-9);
});

test("a steadier hand shakes less and arrives nevertheless", () => {
  const shaking = Array.from({ length: 60 }, (_, i) => [10 * i, i % 2 ? 6 : -6, 0.5]);
  const height = (strength) => {
    const steady = new Stabiliser(strength);
    const points = [...shaking.map((point) => steady.follow(...point)), ...steady.rest()];
    return [Math.max(...points.slice(20, 60).map(([, y]) => Math.abs(y))), Math.abs(points.at(-1)[0] - 590)];
  };
  assert.deepEqual(height(0), [6, 0], "switched off it changes nothing");
  const [less, away] = height(0.6);
  assert.ok(less < 4 && away === 0, `${less} ${away}`);
  assert.ok(height(0.9)[0] < less);
});

test("a soft hand presses less for the same line", () => {
  assert.equal(felt(0.4, 0), 0.4);
  assert.ok(felt(0.4, 1) > 0.6 && felt(0.4, -1) < 0.2);
  for (const softness of [-1, 0, 1]) assert.deepEqual([felt(0, softness), felt(1, softness)], [0, 1]);
});
