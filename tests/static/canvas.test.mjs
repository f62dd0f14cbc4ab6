import assert from "node:assert/strict";
import test from "node:test";
import { canvasOf, inkOf, isInk, maskOf, nearest, strengthsOf } from "../../hypersd_app/ui/static/board/canvas.js";
import { variantsOf } from "../../hypersd_app/ui/static/board/variants.js";

const steps = [
  { tool: "canvas", layer: "canvas", source: "a" },
  { tool: "brush", points: [] },
  { tool: "brush", layer: "mask", points: [] },
  { tool: "canvas", layer: "canvas", source: "b" },
  { tool: "eraser", points: [] },
];

test("the last image is what is painted on, and neither it nor the mask is ink", () => {
  assert.equal(canvasOf(steps).source, "b");
  assert.equal(canvasOf([steps[1]]), null);
  assert.deepEqual(inkOf(steps), [steps[1], steps[4]]);
  assert.deepEqual(maskOf(steps), [steps[2]]);
  assert.deepEqual(steps.map(isInk), [false, true, false, false, false]);
});

test("a recipe offers the strengths it can do", () => {
  const model = { recipes: [{ name: "any", strengths: null }, { name: "four", strengths: [0, 0.25, 0.5, 0.75, 1] }, { name: "none", strengths: [] }] };
  assert.equal(nearest(strengthsOf(model, "any"), 0.63), 0.63);
  assert.equal(nearest(strengthsOf(model, "four"), 0.63), 0.75);
  assert.equal(nearest(strengthsOf(model, "four"), 0.1), 0);
  assert.equal(nearest(strengthsOf(model, "none"), 0.4), 0.4);
  assert.equal(strengthsOf(model, ""), null); // the model's own choice
});

test("variants are the next seeds, round the largest", () => {
  const found = variantsOf("seeds", 4, { prompt: "a cat", seed: 2 ** 32 - 2, styles: [] }, []);
  assert.deepEqual(found.map(({ head }) => head.seed), [2 ** 32 - 1, 0, 1]);
  assert.ok(found.every(({ head }) => head.prompt === "a cat"));
  assert.deepEqual(variantsOf("seeds", 1, { seed: 3 }, []), []);
});

test("variants of styles are those that are not chosen, each alone", () => {
  const styles = ["ink", "clay", "neon"].map((name) => ({ name, title: name.toUpperCase() }));
  const found = variantsOf("styles", 6, { seed: 3, styles: [{ name: "clay", weight: 0.5 }] }, styles);
  assert.deepEqual(found.map(({ label }) => label), ["INK", "NEON"]);
  assert.deepEqual(found[1].head, { seed: 3, styles: [{ name: "neon", weight: 1 }] });
});
