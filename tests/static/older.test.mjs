// What the first page kept opens in this one. The files are in tests/support/older.
import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import { openPage } from "./support/page.mjs";

const OLDER = JSON.parse(fs.readFileSync(new URL("../support/older/page.json", import.meta.url), "utf8"));

test("its drawing comes back, without what was cleared", async () => {
  openPage({ localStorage: OLDER.storage });
  const { Drawing } = await import("../../hypersd_app/ui/static/drawing/strokes.js");
  const drawing = new Drawing("hypersd.drawing", () => {});
  drawing.load();
  assert.deepEqual(drawing.visible, OLDER.operations);
  assert.equal(drawing.undo() !== false, true);
});

test("its recipes and links are read", async () => {
  openPage();
  const { decodeRecipe, parseRecipe } = await import("../../hypersd_app/ui/static/core/recipes.js");
  assert.deepEqual(decodeRecipe(OLDER.link), OLDER.recipe);
  assert.deepEqual(parseRecipe(JSON.stringify(OLDER.recipe)), OLDER.recipe);
});

test("its earlier prompts are offered", async () => {
  openPage({ localStorage: OLDER.storage });
  const { usedPrompts } = await import("../../hypersd_app/ui/static/text/prompts.js");
  assert.deepEqual(usedPrompts(), ["an old boat", "a cat"]);
});
