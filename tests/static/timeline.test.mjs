import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import { followed, Timeline } from "../../hypersd_app/ui/static/timeline/timeline.js";
import { Clock, openPage } from "./support/page.mjs";

let timeline;
beforeEach(async (context) => {
  openPage();
  new Clock().install(context);
  timeline = new Timeline();
});
const add = (many, rest) => {
  for (let i = 0; i < many; i += 1) timeline.add(new Blob([]), { prompt: `${rest} ${i}`, seed: i, rest }, null);
};
const moving = () => timeline.frames.filter((frame) => frame.head.rest === false);

test("frames keep the order they came in, each with an id of its own", () => {
  add(50, false);
  const ids = timeline.frames.map((frame) => frame.id);
  assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b));
});

test("of a moving pen's older frames every second goes", () => {
  add(1001, false);
  assert.equal(moving().length, 751);
  assert.deepEqual(moving().slice(0, 4).map((frame) => frame.head.seed), [0, 2, 4, 6]);
  assert.equal(moving().at(-1).head.seed, 1000);
});

test("what was meant stays while moving frames go, and pinned ones longest", () => {
  add(2, true);
  add(4000, false);
  assert.ok(timeline.frames.length < 1100);
  assert.deepEqual(timeline.frames.slice(0, 2).map((frame) => frame.head.prompt), ["true 0", "true 1"]);
  timeline.pin(timeline.frames[0].id, true);
  add(1600, true);
  const meant = timeline.frames.filter((frame) => frame.head.rest);
  assert.equal(meant.length, 1500);
  assert.equal(meant[0].pinned, true);
});

test("forgetting leaves what is pinned", () => {
  add(3, true);
  timeline.pin(timeline.frames[1].id, true);
  timeline.forget();
  assert.deepEqual(timeline.frames.map((frame) => frame.head.seed), [1]);
});

test("who looks at the newest frame goes on to newer ones, others stay", () => {
  const [a, b, c] = [{}, {}, {}];
  assert.equal(followed(null, null, [a, b]), b);
  assert.equal(followed(b, b, [a, b, c]), c);
  assert.equal(followed(a, b, [a, b, c]), a);
  assert.equal(followed(a, b, [b, c]), c, "the one that was looked at is gone");
  assert.equal(followed(a, a, []), null);
});

test("a frame that is there already is known by its recipe and its strokes", () => {
  const stroke = { tool: "brush", color: "#000", size: 9, points: [1, 2, 0.5] };
  timeline.add(new Blob([]), { prompt: "a", seed: 1 }, null);
  timeline.add(new Blob([]), { prompt: "b", seed: 1 }, [stroke]);
  assert.equal(timeline.has({ prompt: "a", seed: 1 }, null), true);
  assert.equal(timeline.has({ prompt: "a", seed: 2 }, null), false);
  assert.equal(timeline.has({ prompt: "b", seed: 1 }, [{ ...stroke, group: "x" }]), true);
  assert.equal(timeline.has({ prompt: "b", seed: 1 }, []), false);
});

test("what was removed comes back to its place, once", () => {
  add(4, true);
  const [, second, third] = timeline.frames;
  timeline.remove([second, third]);
  assert.equal(timeline.bring([third, second]), 2);
  assert.equal(timeline.bring([second]), 0);
  assert.deepEqual(timeline.frames.map((frame) => frame.head.seed), [0, 1, 2, 3]);
  assert.deepEqual(timeline.gone, []);
});
