import assert from "node:assert/strict";
import test from "node:test";
import { inkOf, paperColor } from "../../hypersd_app/ui/static/board/sketch_ink.js";

const SIDE = 16;
// A square of `paper` with a bar of `ink` in its middle, RGBA.
const sketch = (paper, ink) => Uint8ClampedArray.from({ length: 4 * SIDE * SIDE }, (_, k) => {
  const [x, y] = [(k >> 2) % SIDE, (k >> 2) / SIDE | 0];
  return (x > 3 && x < 12 && y > 6 && y < 9 ? ink : paper)[k % 4];
});
const opaque = (data, paper) => data.map((value, k) => (data[k | 3] ? value : k % 4 === 3 ? 255 : paper[k % 4]));
function read(paper, ink) {
  const data = sketch(paper, ink);
  const found = paperColor(data, SIDE, SIDE);
  const inks = inkOf(opaque(data, found), found);
  return { found, paper: inks[0], ink: inks[7 * SIDE + 8] };
}
const WHITE = [255, 255, 255, 255];
const BLACK = [0, 0, 0, 255];

test("black on white, and white on black", () => {
  for (const [paper, line] of [[WHITE, BLACK], [BLACK, WHITE]]) {
    const seen = read(paper, line);
    assert.deepEqual(seen.found, paper.slice(0, 3));
    assert.deepEqual([seen.paper[1], seen.ink[1], seen.ink[0]], [0, 1, [0, 0, 0]]);
  }
});

test("grey paper is no ink, and its lines are", () => {
  for (const grey of [210, 180, 150]) {
    const seen = read([grey, grey, grey, 255], [20, 20, 20, 255]);
    assert.deepEqual([seen.paper[1], seen.ink[1]], [0, 1]);
  }
});

test("yellowish paper is no ink", () => assert.equal(read([240, 225, 180, 255], BLACK).paper[1], 0));

test("on nothing, both dark and light things are ink", () => {
  const nothing = [0, 0, 0, 0];
  for (const line of [WHITE, BLACK]) {
    const seen = read(nothing, line);
    assert.deepEqual([seen.paper[1], seen.ink[1]], [0, 1]);
  }
});

test("colours stay, on light and on dark paper", () => {
  const red = [214, 52, 44, 255];
  for (const paper of [WHITE, BLACK]) {
    const [[r, g, b]] = read(paper, red).ink;
    assert.ok(r > 150 && g < 110 && b < 110, `${[r, g, b]}`);
  }
});
