import assert from "node:assert/strict";
import test from "node:test";
import { decodeRecipe, encodeRecipe, parseRecipe, recipeLink, recipeName } from "../../hypersd_app/ui/static/core/recipes.js";
import { openPage } from "./support/page.mjs";

const RECIPE = { head: { prompt: "ein Käfer 🐞?", seed: 7 }, operations: [{ tool: "brush", points: [1, 2, 0.5] }] };

test("a recipe survives the address", () => {
  assert.match(encodeRecipe(RECIPE), /^#recipe=[\w-]+$/, "nothing that an address would change");
  assert.deepEqual(decodeRecipe(encodeRecipe(RECIPE)), RECIPE);
  openPage();
  assert.equal(recipeLink(RECIPE), `http://studio/app/${encodeRecipe(RECIPE)}`);
});

test("an address that was cut or is another's holds no recipe", () => {
  const whole = encodeRecipe(RECIPE);
  for (const fragment of [whole.slice(0, 40), "#recipe=", "#recipe=!!!", "#other", ""]) assert.equal(decodeRecipe(fragment), null);
});

test("a recipe has a head with a prompt", () => {
  assert.deepEqual(parseRecipe(JSON.stringify(RECIPE)), RECIPE);
  for (const text of ["", "[]", "{}", "null", '{"head": {}}', '{"head": {"prompt": 3}}', "{"]) assert.equal(parseRecipe(text), null);
});

test("a file is named after its words", () => {
  assert.equal(recipeName({ head: { prompt: "A red  Apple, on a table!", seed: 3 } }), "a-red-apple-on-a-table-3");
  assert.equal(recipeName({ head: { prompt: "猫", seed: 3 } }), "recipe-3");
});
