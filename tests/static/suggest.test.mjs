import assert from "node:assert/strict";
import test from "node:test";
import { completed } from "../../hypersd_app/ui/static/text/suggest.js";

test("what is typed gives way to the whole word, what is before it stays", () => {
  assert.equal(completed("a red ap", 6, "apple"), "a red apple");
  assert.equal(completed("🦊", 0, "fox"), "fox");
});
