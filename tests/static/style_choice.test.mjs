import assert from "node:assert/strict";
import test from "node:test";
import { mixed, switched } from "../../hypersd_app/ui/static/styles/choice.js";

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
