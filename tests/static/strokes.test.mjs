import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import { Drawing } from "../../hypersd_app/ui/static/drawing/strokes.js";
import { Clock, openPage } from "./support/page.mjs";

const KEY = "hypersd.drawing";
const brush = (...points) => ({ tool: "brush", color: "#000", size: 9, points });
const line = (length = 2) => brush(...Array(3 * length).fill(1));
const tools = (drawing) => drawing.visible.map((operation) => operation.tool);

beforeEach((context) => {
  openPage();
  new Clock().install(context);
});

function drawn(...strokes) {
  const drawing = new Drawing(KEY, () => {});
  for (const stroke of strokes) drawing.add(stroke);
  return drawing;
}

test("undo and redo go one step back and forth", () => {
  const [a, b] = [line(), line()];
  const drawing = drawn(a, b);
  assert.equal(drawing.undo(), true);
  assert.deepEqual(drawing.visible, [a]);
  assert.equal(drawing.redo(), true);
  assert.deepEqual(drawing.visible, [a, b]);
  assert.equal(drawing.redo(), false);
});

test("a new stroke forgets what was undone", () => {
  const drawing = drawn(line(), line());
  drawing.undo();
  drawing.add(line());
  assert.equal(drawing.redo(), false);
});

test("clearing and replacing are steps that undo takes back", () => {
  const a = line();
  const drawing = drawn(a);
  drawing.clear();
  assert.deepEqual(drawing.visible, []);
  drawing.clear();
  drawing.undo();
  assert.deepEqual(drawing.visible, [a], "an empty paper is not cleared again");
  drawing.replace([brush(8, 8, 1), brush(9, 9, 1)]);
  assert.deepEqual(drawing.visible.map((stroke) => stroke.points[0]), [8, 9]);
  drawing.undo();
  assert.deepEqual(drawing.visible, [a], "in one step");
  drawing.redo();
  assert.equal(drawing.visible.length, 2);
});

test("two tabs of a browser keep a drawing each, and a new one begins with the newest", () => {
  const tab = () => ({ sessionStorage: new sessionStorage.constructor(), drawing: null });
  const [first, second, third] = [tab(), tab(), tab()];
  const inside = (each, work) => { window.sessionStorage = each.sessionStorage; return work(each); };
  const open = (each) => inside(each, () => { each.drawing = new Drawing(KEY, () => {}); each.drawing.load(); return each.drawing; });
  for (const each of [first, second]) open(each);
  inside(first, ({ drawing }) => { drawing.add(brush(1, 1, 1)); drawing.saveNow(); });
  inside(second, ({ drawing }) => { drawing.add(brush(2, 2, 1)); drawing.saveNow(); });
  inside(first, ({ drawing }) => drawing.saveNow()); // it closes without a change
  assert.equal(open(first).visible[0].points[0], 1);
  assert.equal(open(second).visible[0].points[0], 2);
  assert.equal(open(third).visible[0].points[0], 2, "the one that was drawn last");
});

test("what the drawing ends with is known, so that it is not added twice", () => {
  const drawing = drawn(line());
  const lines = [brush(1, 2, 0.5), brush(3, 4, 0.5)];
  assert.equal(drawing.endsWith(lines), false);
  drawing.addTogether(lines);
  assert.equal(drawing.endsWith(lines), true);
  assert.equal(drawing.endsWith([]), false);
  drawing.add(line());
  assert.equal(drawing.endsWith(lines), false);
});

test("strokes that came together are undone and redone together", () => {
  const drawing = drawn(line());
  drawing.addTogether([line(), line(), line()]);
  drawing.undo();
  assert.equal(drawing.visible.length, 1);
  drawing.redo();
  assert.equal(drawing.visible.length, 4);
});

test("points are rounded to what can be seen", () => {
  const drawing = drawn();
  drawing.begin(brush());
  drawing.extend(10.13, 20.37, 0.517);
  assert.deepEqual(drawing.growing.points, [10.25, 20.25, 0.52]);
});

test("an undo while a stroke grows ends that stroke", () => {
  const drawing = drawn(line());
  drawing.begin(brush());
  drawing.extend(1, 1, 0.5);
  drawing.undo();
  drawing.extend(2, 2, 0.5);
  assert.equal(drawing.growing, null);
  assert.equal(drawing.visible.length, 1);
  assert.equal(drawing.visible[0].points.length, 6, "the rest of the movement belongs to no stroke");
});

test("a stroke that was none leaves nothing", () => {
  const drawing = drawn();
  drawing.begin(brush());
  drawing.drop();
  assert.deepEqual(tools(drawing), []);
});

test("a stroke that was none leaves what was undone to be redone", () => {
  const drawing = drawn(line());
  drawing.undo();
  drawing.begin(brush());
  drawing.drop();
  assert.equal(drawing.redo(), true);
});

test("what is shared of a growing stroke does not grow", () => {
  const drawing = drawn();
  drawing.begin(brush());
  drawing.extend(1, 1, 0.5);
  const [shared] = drawing.shared();
  drawing.extend(2, 2, 0.5);
  assert.equal(shared.points.length, 3);
});

test("an eraser alone leaves an empty paper", () => {
  assert.equal(drawn({ ...line(), tool: "eraser" }).empty, true);
  assert.equal(drawn(line()).empty, false);
});

test("the drawing, its undo and its redo survive a reload", () => {
  const drawing = drawn(line(1), line(2), line(3));
  drawing.clear();
  drawing.add(line(4));
  drawing.add(line(5));
  drawing.undo();
  drawing.saveNow();
  const again = new Drawing(KEY, () => {});
  again.load();
  assert.deepEqual(again.visible, [line(4)]);
  again.redo();
  assert.deepEqual(again.visible, [line(4), line(5)]);
  again.undo();
  again.undo();
  again.undo();
  assert.deepEqual(again.visible, [line(1), line(2), line(3)]);
});

test("the history that is kept is bounded, and of whole drawings", () => {
  const drawing = drawn();
  const stroke = () => brush(...Array(9000).fill(1));
  for (let i = 0; i < 20; i += 1) { drawing.add(stroke()); drawing.add(stroke()); drawing.clear(); }
  for (let i = 0; i < 20; i += 1) drawing.add(stroke());
  for (let i = 0; i < 10; i += 1) drawing.undo();
  const { operations, undone } = drawing.kept();
  const whole = ["brush", "brush", "clear"];
  assert.deepEqual(operations.map((each) => each.tool), [...whole, ...whole, ...whole, ...Array(10).fill("brush")]);
  assert.equal(undone.length, 6);
});

test("drawings that earlier versions kept are read, and unreadable ones are not", () => {
  for (const [saved, count] of [[JSON.stringify([line()]), 1], ['{"operations": [null, {"tool": "brush"}], "undone": 3}', 1], ["{", 0]]) {
    localStorage.setItem(KEY, saved);
    const drawing = new Drawing(KEY, () => {});
    drawing.load();
    assert.equal(drawing.visible.length, count, saved);
  }
});

test("a drawing is saved a moment after its last change, and while a long stroke grows", async (context) => {
  const clock = new Clock().install(context);
  const drawing = drawn();
  drawing.begin(brush());
  for (let i = 0; i < 20; i += 1) { drawing.extend(i, i, 0.5); await clock.run(60); }
  assert.ok(localStorage.getItem(KEY), "in the middle of the stroke");
  drawing.finish();
  await clock.run(200);
  assert.equal(JSON.parse(localStorage.getItem(KEY)).operations[0].points.length, 60);
});

test("full storage does not stop the drawing", () => {
  const drawing = drawn(line());
  localStorage.full = sessionStorage.full = true;
  drawing.saveNow();
  drawing.add(line());
  assert.equal(drawing.visible.length, 2);
});
