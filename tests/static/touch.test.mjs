import assert from "node:assert/strict";
import test from "node:test";
import { Touch } from "../../hypersd_app/ui/static/board/touch.js";

const finger = (pointerId, clientX = 0, clientY = 0) => ({ pointerId, pointerType: "touch", button: 0, clientX, clientY });
const pen = (pointerId, button = 0) => ({ pointerId, pointerType: "pen", button, clientX: 0, clientY: 0 });
const mouse = (button) => ({ pointerId: 1, pointerType: "mouse", button, clientX: 0, clientY: 0 });

test("a third finger changes nothing, and the paper can be drawn on afterwards", () => {
  const touch = new Touch();
  assert.equal(touch.down(finger(1), 0).does, "draw");
  assert.equal(touch.down(finger(2), 50).does, "pinch");
  assert.equal(touch.down(finger(3), 60).does, "");
  for (const lifted of [2, 1, 3]) assert.equal(touch.up(finger(lifted)), "");
  assert.equal(touch.pointer, null);
  assert.equal(touch.down(finger(4), 500).does, "draw");
  assert.equal(touch.up(finger(4)), "draw");
});

test("any number of fingers in any order leave the paper as it was", () => {
  for (let seed = 1, turn = 0; turn < 2000; turn += 1) {
    const touch = new Touch();
    const down = new Set();
    for (let step = 0; step < 12; step += 1) {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      const id = (seed >> 8) % 5;
      if (down.has(id)) { down.delete(id); touch.up(finger(id)); } else { down.add(id); touch.down(finger(id, id * 9), step * 10); }
      touch.moved(finger([...down][0] ?? 0, step, step));
      if (touch.pinching) assert.ok(Number.isFinite(touch.span.gap));
    }
    for (const id of down) touch.up(finger(id));
    assert.deepEqual([touch.pointer, touch.mode, touch.fingers.size], [null, "", 0]);
  }
});

test("an early second finger takes a stroke back, a late one keeps it", () => {
  const early = new Touch();
  early.down(finger(1), 0);
  early.moved(finger(1, 100, 0));
  assert.deepEqual(early.down(finger(2), 100), { does: "pinch", drop: true });
  const late = new Touch();
  late.down(finger(1), 0);
  late.moved(finger(1, 100, 0));
  assert.deepEqual(late.down(finger(2), 900), { does: "pinch", keep: true });
  const still = new Touch();
  still.down(finger(1), 0);
  still.moved(finger(1, 3, 2));
  assert.deepEqual(still.down(finger(2), 900), { does: "pinch", drop: true }, "a finger that rests has drawn nothing");
});

test("the finger that is left of two draws nothing, and may pinch again", () => {
  const touch = new Touch();
  touch.down(finger(1), 0);
  touch.down(finger(2), 10);
  touch.up(finger(1));
  assert.equal(touch.moved(finger(2, 50, 50)), false);
  assert.equal(touch.pinching, false);
  assert.equal(touch.down(finger(3), 300).does, "pinch");
});

test("the right button draws nothing, the middle one moves the view, the pen's end erases", () => {
  assert.equal(new Touch().down(mouse(2), 0).does, "");
  assert.equal(new Touch().down(mouse(1), 0).does, "pan");
  assert.equal(new Touch().down(mouse(0), 0).does, "draw");
  assert.equal(new Touch().down(pen(1, 5), 0).does, "erase");
  assert.equal(new Touch().down(pen(1, 2), 0).does, "", "the barrel's button");
  assert.equal(new Touch().down(mouse(0), 0, true).does, "pan");
});

test("the hand that holds the pen is no finger", () => {
  const touch = new Touch();
  assert.equal(touch.down(pen(1), 1000).does, "draw");
  assert.equal(touch.down(finger(2), 1100).does, "");
  assert.equal(touch.up(pen(1)), "draw");
  assert.equal(touch.down(finger(3), 1500).does, "");
  assert.equal(touch.down(finger(4), 1800).does, "draw");
});

test("a hand that came before the pen was none", () => {
  const touch = new Touch();
  touch.down(finger(1), 0);
  const { does, drop } = touch.down(pen(2), 100);
  assert.deepEqual([does, drop], ["draw", true]);
  touch.up(finger(1));
  assert.equal(touch.pointer, 2);
});

test("two fingers that tap undo, three redo, and neither moves nor rests", () => {
  const tap = (count, { far = 0, late = 0 } = {}) => {
    const touch = new Touch();
    for (let id = 1; id <= count; id += 1) touch.down(finger(id, 100 * id), 10 * id);
    if (far) touch.moved(finger(2, 200 + far));
    return Array.from({ length: count }, (_, i) => touch.up(finger(i + 1), 100 + late)).filter(Boolean);
  };
  assert.deepEqual(tap(2), ["undo"]);
  assert.deepEqual(tap(3), ["redo"]);
  assert.deepEqual(tap(4), []);
  assert.deepEqual(tap(1), ["draw"]);
  assert.deepEqual(tap(2, { far: 60 }), [], "they pinch");
  assert.deepEqual(tap(2, { late: 900 }), [], "they rest");
});

test("a lost capture after a tap does nothing again", () => {
  const touch = new Touch();
  for (const id of [1, 2]) touch.down(finger(id, 50 * id), 0);
  assert.deepEqual([1, 2, 2, 1].map((id) => touch.up(finger(id), 90)), ["", "undo", "", ""]);
});

test("a finger that rests asks for the colour there, one that draws does not", () => {
  const touch = new Touch();
  touch.down(finger(1), 0);
  assert.equal(touch.rests(1), true);
  touch.moved(finger(1, 40, 0));
  assert.equal(touch.rests(1), false);
});
