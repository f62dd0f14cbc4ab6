import assert from "node:assert/strict";
import test from "node:test";
import { area, filledPaths, outlinesOf } from "../../hypersd_app/ui/static/drawing/flood.js";
import { inside } from "../../hypersd_app/ui/static/drawing/geometry.js";

const SIDE = 128;

// White paper with black pixels where `ink(x, y)` holds; a number is a grey value.
function paper(ink) {
  const data = new Uint8ClampedArray(4 * SIDE * SIDE);
  for (let i = 0; i < SIDE * SIDE; i += 1) {
    const found = ink(i % SIDE, Math.floor(i / SIDE));
    const grey = found === true ? 0 : found || 255;
    data.set([grey, grey, grey, 255], 4 * i);
  }
  return { data, width: SIDE, height: SIDE };
}
const ring = (gap) => paper((x, y) => Math.abs(Math.hypot(x - 64, y - 64) - 40) < 2 && !(x > 64 && Math.abs(y - 64) < gap / 2));
const size = (mask) => mask.reduce((sum, value) => sum + value, 0);
const usual = { tolerance: 48, gap: 0 };

test("a fill ends at the line around it, and goes on a little below it", () => {
  const mask = area(ring(0), 64, 64, usual);
  assert.ok(size(mask) > Math.PI * 38 * 38 && size(mask) < Math.PI * 42 * 42, size(mask));
  assert.equal(size(area(ring(0), 2, 2, usual)) > 9000, true, "outside");
});

test("gaps are closed as far as one wants", () => {
  assert.ok(size(area(ring(6), 64, 64, usual)) > 12000, "it runs out");
  assert.ok(size(area(ring(6), 64, 64, { ...usual, gap: 12 })) < 6000, "it does not");
  assert.ok(size(area(ring(6), 64, 64, { ...usual, gap: 4 })) > 12000, "a gap wider than that");
});

test("a narrow place is filled though gaps are closed", () => {
  const slit = paper((x) => x === 50 || x === 56);
  const mask = area(slit, 53, 60, { ...usual, gap: 30 });
  assert.ok(size(mask) > 4 * SIDE && size(mask) < 12 * SIDE, size(mask));
});

test("tolerance says what is one colour", () => {
  const steps = paper((x) => (x < 40 ? 250 : x < 80 ? 220 : 100));
  assert.ok(size(area(steps, 10, 10, { ...usual, tolerance: 10 })) < 44 * SIDE);
  assert.ok(size(area(steps, 10, 10, { ...usual, tolerance: 48 })) > 78 * SIDE);
});

test("outlines go round what is set and round its holes", () => {
  const mask = Uint8Array.from({ length: 100 }, (_, i) => (i % 10 > 1 && i % 10 < 8 && i > 19 && i < 80 && !(i % 10 === 5 && i > 40 && i < 60) ? 1 : 0));
  const paths = outlinesOf(mask, 10, 10);
  assert.equal(paths.length, 2);
  for (let i = 0; i < 100; i += 1) assert.equal(inside((i % 10) + 0.5, Math.floor(i / 10) + 0.5, paths), Boolean(mask[i]), i);
});

test("outlines of any pixels say exactly which they are", () => {
  let seed = 3;
  for (let turn = 0; turn < 30; turn += 1) {
    const mask = Uint8Array.from({ length: 64 }, () => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return (seed >> 12) & 1; });
    const paths = outlinesOf(mask, 8, 8);
    for (let i = 0; i < 64; i += 1) assert.equal(inside((i % 8) + 0.5, Math.floor(i / 8) + 0.5, paths), Boolean(mask[i]));
  }
});

test("a filled ring comes back as one short outline in units of the paper", () => {
  const paths = filledPaths(ring(0), 512, 512, usual);
  assert.equal(paths.length, 1);
  assert.ok(paths[0].length < 200);
  assert.ok(inside(512, 512, paths) && inside(512 + 300, 512, paths) && !inside(512 + 350, 512, paths));
});
