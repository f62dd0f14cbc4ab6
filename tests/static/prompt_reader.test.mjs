import assert from "node:assert/strict";
import test from "node:test";
import { replaced } from "../../hypersd_app/ui/static/text/prompt_reader.js";

test("only the words of the thing are replaced", () => {
  assert.equal(replaced("an aple and a cat", "aple", "apple"), "an apple and a cat");
  assert.equal(replaced("a (wolf)  pup+", "(wolf) pup+", "wolf"), "a wolf");
  assert.equal(replaced("a wolf big pup", "wolf pup", "wolf"), "a wolf", "what was said of it goes too");
  assert.equal(replaced("a cat", "dog", "$&"), "a cat");
});
