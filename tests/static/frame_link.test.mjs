// When the board sends which state, in the time of a clock that the test turns.
import assert from "node:assert/strict";
import test from "node:test";
import { FrameLink } from "../../hypersd_app/ui/static/link/frame_link.js";
import { Clock } from "./support/page.mjs";

function connected(context, answer = (seq, on) => setTimeout(() => on.answer({ type: "picture", seq, ms: { rendered: 38, waited: 0 } }), 42)) {
  const clock = new Clock().install(context);
  const found = { clock, sent: [], shown: [], problems: [], revision: 0, movedAt: 0 };
  const choose = (_connection, on) => {
    found.on = on;
    return { current: { ready: true, name: "socket", check() {}, send(seq) {
      found.sent.push({ seq, revision: found.revision, at: clock.now, age: clock.now - found.movedAt });
      answer(seq, on);
      return true;
    } } };
  };
  const board = { key: () => String(found.revision), snapshot: async () => ({ head: {}, picture: null }), state() {},
    show: (picture) => found.shown.push(picture.seq), problem: (told) => found.problems.push(told) };
  found.link = new FrameLink(null, board, { dropped() {}, late() {} }, choose);
  found.move = async (times, every) => {
    const before = found.sent.length;
    for (let i = 0; i < times; i += 1) {
      found.revision += 1;
      found.movedAt = clock.now;
      found.link.request(false);
      await clock.run(every);
    }
    return found.sent.slice(before);
  };
  return found;
}

test("a state is sent with a movement and not just before one", async (context) => {
  const page = connected(context);
  await page.move(20, 17);
  const sent = await page.move(60, 17);
  assert.ok(sent.length >= 15, "one every third or fourth movement");
  assert.ok(Math.max(...sent.map((state) => state.age)) < 0.45 * 17, "or the next movement would have been waited for");
  assert.ok(sent.filter((state) => state.age === 0).length >= sent.length / 2);
});

test("a pen that stands still is not waited for", async (context) => {
  const page = connected(context);
  await page.move(37, 17);
  await page.clock.run(60);
  assert.equal(page.sent.at(-1).revision, 37);
  assert.ok(page.sent.at(-1).age < 60);
});

test("every slow movement is sent at once", async (context) => {
  const page = connected(context);
  await page.move(3, 120);
  for (const state of await page.move(6, 120)) assert.ok(state.age <= 1);
});

test("never more than two states are on their way, and the newest is sent at last", async (context) => {
  const page = connected(context, () => {});
  await page.move(30, 40);
  assert.equal(page.sent.length, 2);
  page.on.answer({ type: "picture", seq: 1, ms: { rendered: 500 } });
  await page.clock.run(1000);
  assert.equal(page.sent.at(-1).revision, 30);
});

test("an older image is never shown over a newer one", async (context) => {
  const page = connected(context, () => {});
  await page.move(2, 200);
  page.on.answer({ type: "picture", seq: 2 });
  page.on.answer({ type: "picture", seq: 1 });
  assert.deepEqual(page.shown, [2]);
});

test("after a lost connection the newest state is sent again", async (context) => {
  const page = connected(context);
  await page.move(1, 200);
  page.on.lost();
  page.on.ready();
  await page.clock.run(100);
  assert.deepEqual(page.sent.map((state) => state.revision), [1, 1]);
});

test("a busy server is asked again when it said", async (context) => {
  const page = connected(context, (seq, on) => { if (seq === 1) setTimeout(() => on.answer({ type: "error", seq, message: "busy", retry_after: 2 }), 5); });
  await page.move(1, 0);
  await page.clock.run(1900);
  assert.equal(page.sent.length, 1);
  await page.clock.run(300);
  assert.equal(page.sent.length, 2);
  assert.equal(page.problems.length, 1);
});
