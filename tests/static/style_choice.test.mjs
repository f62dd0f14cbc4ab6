import assert from "node:assert/strict";
import test from "node:test";
import { mixed, switched, within } from "../../hypersd_app/ui/static/styles/choice.js";

test("a click switches, again takes it off", () => {
  assert.deepEqual(switched({}, "ink"), { ink: 1 });
  assert.deepEqual(switched({ ink: 0.5 }, "clay"), { clay: 1 });
  assert.deepEqual(switched({ ink: 0.5, clay: 1 }, "ink"), { ink: 0.5 });
  assert.deepEqual(switched({ ink: 0.5 }, "ink"), {});
});

test("+ mixes, again takes it out", () => {
  assert.deepEqual(mixed({ ink: 0.5 }, "clay"), { ink: 0.5, clay: 1 });
  assert.deepEqual(mixed({ ink: 0.5, clay: 1 }, "clay"), { ink: 0.5 });
});

test("of many styles some have cards, the chosen ones always", () => {
  const styles = Array.from({ length: 100 }, (_, i) => ({ name: `s${i}`, title: `Style ${i}`, trigger: i === 99 ? "neon" : "" }));
  const shown = (words, chosen = {}) => { const { rows, count } = within(styles, { words, most: 5, chosen }); return [rows.map(({ name }) => name), count]; };
  assert.deepEqual(shown(""), [["s0", "s1", "s2", "s3", "s4"], 100]);
  assert.deepEqual(shown("NEON style"), [["s99"], 1]);
  assert.deepEqual(shown("", { s50: 1, s1: 1 }), [["s50", "s0", "s1", "s2", "s3", "s4"], 100]);
  assert.deepEqual(shown("nothing like it", { s50: 1 }), [["s50"], 0]);
});
