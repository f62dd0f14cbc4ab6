import assert from "node:assert/strict";
import test from "node:test";
import { anySeed, MAX_SEED, validSeed } from "../../hypersd_app/ui/static/board/seed.js";

test("whatever is typed, a seed fits into 32 bits", () => {
  const typed = [7, "7", "", "x", null, undefined, -3, 2.9, 4294967295, 4294967296, 1e20, Infinity, NaN];
  assert.deepEqual(typed.map(validSeed), [7, 7, 0, 0, 0, 0, 0, 2, MAX_SEED, MAX_SEED, MAX_SEED, MAX_SEED, 0]);
  for (let i = 0; i < 100; i += 1) { const seed = anySeed(); assert.equal(validSeed(seed), seed); }
});
