import assert from "node:assert/strict";
import test from "node:test";
import { PAPER } from "../../hypersd_app/ui/static/drawing/geometry.js";
import { edges, strokesOf } from "../../hypersd_app/ui/static/board/vectorize.js";

const SIDE = 64;
const UNIT = PAPER / SIDE;
const grid = (value) => Float32Array.from({ length: SIDE * SIDE }, (_, i) => value(i % SIDE, Math.floor(i / SIDE)));
const places = (stroke) => Array.from({ length: stroke.points.length / 3 }, (_, i) => stroke.points.slice(3 * i, 3 * i + 2).map((at) => at / UNIT));

test("edges stand on the slope and nowhere else", () => {
  const found = edges(grid((x) => (x < 30 ? 0 : 1)), SIDE);
  const columns = new Set([...found.keys()].filter((i) => found[i]).map((i) => i % SIDE));
  assert.ok(columns.size >= 1 && [...columns].every((x) => x === 29 || x === 30), [...columns].join());
});

test("a plain image and a faint slope have no edges", () => {
  assert.ok(edges(grid(() => 0.7), SIDE).every((value) => !value));
  assert.ok(edges(grid((x) => x / 1000), SIDE).every((value) => !value));
});

test("a thick line becomes one thin stroke along its middle", () => {
  const [stroke, ...others] = strokesOf(grid((x, y) => (Math.abs(y - 32) <= 2 && x > 9 && x < 54 ? 1 : 0)), SIDE);
  assert.equal(others.length, 0);
  assert.deepEqual([stroke.tool, stroke.symmetry], ["brush", 0]);
  for (const [, y] of places(stroke)) assert.ok(Math.abs(y - 32.5) <= 1, y);
  const xs = places(stroke).map(([x]) => x);
  assert.ok(Math.min(...xs) < 16 && Math.max(...xs) > 48);
});

test("a ring becomes few strokes, which go all the way round", () => {
  const strokes = strokesOf(grid((x, y) => (Math.abs(Math.hypot(x - 32, y - 32) - 20) < 1.5 ? 1 : 0)), SIDE);
  assert.ok(strokes.length <= 2);
  const seen = new Set();
  for (const [x, y] of strokes.flatMap(places)) {
    assert.ok(Math.abs(Math.hypot(x - 32.5, y - 32.5) - 20) < 2.5);
    seen.add(Math.floor(8 * (0.5 + Math.atan2(y - 32.5, x - 32.5) / (2 * Math.PI))) % 8);
  }
  assert.equal(seen.size, 8, "every eighth of it");
});

test("grain and lines that are faint all along are left out", () => {
  assert.deepEqual(strokesOf(grid((x, y) => (x % 16 === 8 && y % 16 === 8 ? 1 : 0)), SIDE), []);
  assert.deepEqual(strokesOf(grid((x, y) => (y === 32 ? 0.2 : 0)), SIDE), []);
  assert.equal(strokesOf(grid((x, y) => (y === 32 ? (x > 40 ? 0.5 : 0.2) : 0)), SIDE).length, 1, "faint where a strong one goes on");
});

test("lines at the image's border don't wrap to the other side", () => {
  for (const stroke of strokesOf(grid((x, y) => (x < 2 || y < 2 || x > SIDE - 3 || y > SIDE - 3 ? 1 : 0)), SIDE)) {
    const at = places(stroke);
    for (let i = 1; i < at.length; i += 1) assert.ok(Math.hypot(at[i][0] - at[i - 1][0], at[i][1] - at[i - 1][1]) < 8);
  }
});
