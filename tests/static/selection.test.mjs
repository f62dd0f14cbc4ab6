import assert from "node:assert/strict";
import test from "node:test";
import { matching, Selection } from "../../hypersd_app/ui/static/timeline/selection.js";

const IDS = [1, 2, 3, 4, 5];
const selected = (selection) => [...selection.ids].sort();

test("a click means one, Shift a range in either direction, Ctrl one more or less", () => {
  const selection = new Selection();
  selection.click(2, {}, IDS);
  selection.click(4, { shiftKey: true }, IDS);
  assert.deepEqual(selected(selection), [2, 3, 4]);
  selection.click(1, { shiftKey: true }, IDS);
  assert.deepEqual(selected(selection), [1, 2], "from where it began");
  selection.click(5, { ctrlKey: true }, IDS);
  selection.click(1, { metaKey: true }, IDS);
  assert.deepEqual(selected(selection), [2, 5]);
  selection.click(3, {}, IDS);
  assert.deepEqual(selected(selection), [3]);
});

test("what is gone is not meant", () => {
  const selection = new Selection();
  selection.click(1, {}, IDS);
  selection.click(5, { shiftKey: true }, IDS);
  selection.keep([2, 4]);
  assert.deepEqual(selected(selection), [2, 4]);
});

test("frames are found by the words of their prompt", () => {
  const frames = ["a red apple", "An apple tree", "a cat"].map((prompt) => ({ head: { prompt } }));
  assert.deepEqual(matching(frames, "APPLE a").map(({ head }) => head.prompt), ["a red apple", "An apple tree"]);
  assert.equal(matching(frames, " ").length, 3);
});
