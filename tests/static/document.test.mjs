import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import { documentOf, elementsOn, flattened, inkLayers, isBlank, usualLayers } from "../../hypersd_app/ui/static/drawing/document.js";
import { bounds, isClosed, touches } from "../../hypersd_app/ui/static/drawing/elements.js";
import { applied, combined, inverse, moved, simplified, turned } from "../../hypersd_app/ui/static/drawing/geometry.js";
import { Drawing } from "../../hypersd_app/ui/static/drawing/strokes.js";
import { Clock, openPage } from "./support/page.mjs";

const line = (...points) => ({ tool: "brush", color: "#000", size: 10, symmetry: 0, points });
const fill = { tool: "fill", layer: "color", color: "#f00", paths: [[0, 0, 100, 0, 100, 100, 0, 100], [40, 40, 60, 40, 60, 60, 40, 60]] };
const near = (a, b) => a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-6, `${a} and ${b}`));
const layers = (change) => { const own = usualLayers(); change(own); return { tool: "layers", layers: own }; };

beforeEach((context) => { openPage(); new Clock().install(context); });

test("elements lie on layers, from the bottom, and old drawings are lines", () => {
  const image = { tool: "image", source: "x" };
  const drawing = documentOf([line(1, 1, 1), fill, image]);
  assert.deepEqual(elementsOn(drawing, "color"), [fill]);
  assert.deepEqual(elementsOn(drawing, "lines"), [line(1, 1, 1), image]);
  assert.deepEqual(inkLayers(drawing).map(({ name }) => name), ["color", "lines"]);
});

test("an eraser takes all layers, or the one it was told", () => {
  const all = { ...line(1, 1, 1), tool: "eraser" };
  const one = { ...all, layer: "color" };
  const drawing = documentOf([fill, all, one]);
  assert.deepEqual(elementsOn(drawing, "color"), [fill, all, one]);
  assert.deepEqual(elementsOn(drawing, "lines"), [all]);
  assert.deepEqual(inkLayers(drawing).map(({ name }) => name), ["color"], "rubbing alone makes no layer");
});

test("what is hidden or has no opacity is not given to the model", () => {
  const steps = [line(1, 1, 1), fill];
  const names = (step) => inkLayers(documentOf([...steps, step])).map(({ name, opacity }) => [name, opacity]);
  assert.deepEqual(names(layers((own) => { own.shown.color = false; })), [["lines", 1]]);
  assert.deepEqual(names(layers((own) => { own.opacity.lines = 0; })), [["color", 1]]);
  assert.deepEqual(names(layers((own) => { own.opacity.color = 0.5; own.order = ["lines", "color", "reference"]; })), [["lines", 1], ["color", 0.5]]);
  assert.equal(isBlank(documentOf([line(1, 1, 1), layers((own) => { own.shown.lines = false; })])), true);
});

test("layers of another version are read as far as they mean something", () => {
  for (const broken of [null, 3, { order: ["lines"] }, { shown: { lines: "no" }, opacity: { color: 7 } }]) {
    assert.deepEqual(documentOf([{ tool: "layers", layers: broken }]).layers, usualLayers());
  }
});

test("things are moved, coloured and removed by how manieth they are since the drawing was cleared", () => {
  const drawing = documentOf([line(9, 9, 9), { tool: "clear" }, line(1, 1, 1), line(2, 2, 1), line(3, 3, 1),
    { tool: "change", ids: [1], matrix: moved(5, 0) }, { tool: "change", ids: [1], matrix: moved(5, 0), values: { color: "#f00" } }, { tool: "remove", ids: [0] }]);
  assert.deepEqual(drawing.entries.map(({ id }) => id), [1, 2]);
  assert.deepEqual(drawing.entries[0].element, { ...line(2, 2, 1), color: "#f00", matrix: moved(10, 0) });
});

test("what changed stays the same object, so that the timeline keeps it once", () => {
  const steps = [line(1, 1, 1), { tool: "change", ids: [0], matrix: moved(5, 0) }];
  assert.equal(documentOf(steps).entries[0].element, documentOf(steps).entries[0].element);
});

test("a recipe has elements as they are by now, and their layers where these are not as usual", () => {
  const change = { tool: "change", ids: [0], matrix: moved(5, 0) };
  const reference = { tool: "reference", key: "x" };
  assert.deepEqual(flattened(documentOf([line(1, 1, 1), change, reference])), [{ ...line(1, 1, 1), matrix: moved(5, 0) }]);
  const faint = layers((own) => { own.opacity.color = 0.5; own.opacity.reference = 1; });
  const flat = flattened(documentOf([fill, faint]));
  assert.equal(flat.length, 2);
  assert.equal(flat[1].layers.opacity.color, 0.5);
  assert.equal(flat[1].layers.opacity.reference, 0.3, "the trace is the visitor's own");
  assert.deepEqual(documentOf(flat).layers.opacity, flat[1].layers.opacity);
});

test("one history runs across strokes, fills, layers, changes and imports", () => {
  const drawing = new Drawing("hypersd.drawing", () => {});
  const steps = [line(1, 1, 1), fill, layers((own) => { own.shown.color = false; }), { tool: "change", ids: [0], matrix: moved(5, 5) }, { tool: "reference", key: "a" }, { tool: "remove", ids: [1] }];
  const states = steps.map((step) => { drawing.add(step); return structuredClone(drawing.document); });
  for (let i = steps.length - 2; i >= 0; i -= 1) { drawing.undo(); assert.deepEqual(drawing.document, states[i]); }
  for (let i = 1; i < steps.length; i += 1) { drawing.redo(); assert.deepEqual(drawing.document, states[i]); }
  drawing.saveNow();
  const again = new Drawing("hypersd.drawing", () => {});
  again.load();
  assert.deepEqual(again.document, states.at(-1));
  again.undo();
  assert.deepEqual(again.document, states.at(-2));
});

test("another drawing comes with layers as usual and without the trace, in one step", () => {
  const drawing = new Drawing("hypersd.drawing", () => {});
  drawing.add(line(1, 1, 1));
  drawing.setLayers(layers((own) => { own.shown.lines = false; }).layers);
  drawing.add({ tool: "reference", key: "a" });
  drawing.replace([line(2, 2, 1)]);
  assert.deepEqual(drawing.document.layers, usualLayers());
  assert.equal(drawing.document.reference, "");
  drawing.undo();
  assert.equal(drawing.document.layers.shown.lines, false);
  assert.equal(drawing.document.reference, "a");
});

test("how layers are shown outlives clearing, also over a reload", () => {
  const drawing = new Drawing("hypersd.drawing", () => {});
  drawing.setLayers(layers((own) => { own.opacity.color = 0.25; }).layers);
  drawing.add({ ...line(...Array(70000).fill(1)) });
  drawing.clear();
  drawing.add(line(1, 1, 1));
  drawing.saveNow();
  const again = new Drawing("hypersd.drawing", () => {});
  again.load();
  assert.ok(again.operations.length < drawing.operations.length, "the long one is not kept");
  assert.equal(again.document.layers.opacity.color, 0.25);
});

test("what is tried out is seen and not kept", () => {
  const drawing = new Drawing("hypersd.drawing", () => {});
  drawing.add(line(1, 1, 1));
  const { revision } = drawing;
  drawing.try({ tool: "change", ids: [0], matrix: moved(9, 0) });
  assert.deepEqual(drawing.visible[0].matrix, moved(9, 0));
  assert.ok(drawing.revision > revision, "the picture follows");
  drawing.try(null);
  assert.equal(drawing.visible[0].matrix, undefined);
  assert.equal(drawing.operations.length, 1);
});

test("matrices: one after another, back, and about a place that stays", () => {
  const both = combined(turned(2, Math.PI / 3, [100, 50]), moved(7, -3));
  near(applied(both, 10, 20), applied(turned(2, Math.PI / 3, [100, 50]), 17, 17));
  near(applied(inverse(both), ...applied(both, 10, 20)), [10, 20]);
  near(applied(turned(3, 1, [100, 50]), 100, 50), [100, 50]);
});

test("bounds and touch count width, mirrors and where a thing was moved to", () => {
  const stroke = { ...line(100, 100, 1, 200, 100, 1), symmetry: 1 };
  assert.deepEqual(bounds(stroke), [95, 95, 929, 105]);
  assert.ok(touches(stroke, 150, 104, 0) && touches(stroke, 1024 - 150, 100, 0) && !touches(stroke, 500, 100, 0));
  const there = { ...stroke, symmetry: 0, matrix: moved(0, 300) };
  assert.ok(touches(there, 150, 400, 0) && !touches(there, 150, 100, 0));
  assert.ok(touches(fill, 20, 20, 0) && !touches(fill, 50, 50, 0), "a hole is none of it");
  const shape = { ...line(0, 0, 0.5, 100, 0, 0.5, 100, 100, 0.5), tool: "shape", closed: true };
  assert.ok(touches(shape, 50, 50, 0), "the side that closes it");
  assert.ok(!touches(shape, 80, 30, 0) && touches({ ...shape, fill: true }, 80, 30, 0));
});

test("a stroke that comes back encloses something", () => {
  const round = Array.from({ length: 40 }, (_, i) => [100 + 50 * Math.cos(i / 6.5), 100 + 50 * Math.sin(i / 6.5), 0.5]).flat();
  assert.equal(isClosed(line(...round)), true);
  assert.equal(isClosed(line(...round.slice(0, 75))), false);
  assert.equal(isClosed(line(1, 1, 0.5)), false);
});

test("a simplified outline stays within its tolerance and keeps its ends", () => {
  const wave = Array.from({ length: 200 }, (_, i) => [i, 10 * Math.sin(i / 20)]).flat();
  const few = simplified(wave, 0.5);
  assert.ok(few.length < wave.length / 5);
  assert.deepEqual([few.slice(0, 2), few.slice(-2)], [wave.slice(0, 2), wave.slice(-2)]);
});
