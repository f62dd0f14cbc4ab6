import assert from "node:assert/strict";
import test from "node:test";
import { openPage } from "./support/page.mjs";

// What a page does at its start depends on how it was opened: each test loads the module anew.
async function session(page) {
  openPage(page);
  globalThis.setTimeout.mock?.restore();
  const module = await import(`../../hypersd_app/ui/static/core/session.js?${Math.random()}`);
  module.resumeSession();
  return module;
}
const TEXT = JSON.stringify({ prompt: "an owl", seed: 4 });

test("a reload remembers the text tab's recipe", async () => {
  const { remembered } = await session({ sessionStorage: { "hypersd.text": TEXT } });
  assert.equal(remembered(), TEXT);
});

test("a new session and a link to a recipe remember nothing", async () => {
  assert.equal((await session({})).remembered(), "");
  assert.equal((await session({ hash: "#recipe=x", sessionStorage: { "hypersd.text": TEXT } })).remembered(), "");
});

test("words that nothing was drawn with yet are remembered", async () => {
  const { remember, rememberPrompt } = await session({});
  rememberPrompt("a mole");
  assert.equal(sessionStorage.getItem("hypersd.text"), null, "without a picture there is no recipe to change");
  remember({ prompt: "an owl", seed: 4 });
  rememberPrompt("a mole");
  assert.deepEqual(JSON.parse(sessionStorage.getItem("hypersd.text")), { prompt: "a mole", seed: 4 });
  rememberPrompt("  ");
  assert.equal(JSON.parse(sessionStorage.getItem("hypersd.text")).prompt, "a mole");
});

test("a browser that keeps nothing does not stop the page", async () => {
  const { readText, writeText } = await import("../../hypersd_app/ui/static/core/storage.js");
  const window = openPage();
  Object.defineProperty(window, "localStorage", { get() { throw new Error("SecurityError"); } });
  writeText("localStorage", "key", "value");
  assert.equal(readText("localStorage", "key"), null);
});

test("prompts are kept newest first, each once, and not for ever", async (context) => {
  openPage();
  const { addPrompt, clearPrompts, usedPrompts } = await import("../../hypersd_app/ui/static/text/prompts.js");
  for (let i = 0; i < 20; i += 1) addPrompt(`prompt ${i}`);
  addPrompt("prompt 10");
  addPrompt("  ");
  assert.deepEqual([usedPrompts().length, usedPrompts()[0], usedPrompts()[1]], [16, "prompt 10", "prompt 19"]);
  clearPrompts();
  assert.deepEqual(usedPrompts(), []);
  localStorage.setItem("hypersd.prompts", "{");
  assert.deepEqual(usedPrompts(), []);
});

test("others wait for a part of the page, or do without it", async () => {
  const { part, provide, ready } = await import("../../hypersd_app/ui/static/core/parts.js");
  const waiting = ready("board");
  assert.equal(part("board"), null);
  const board = {};
  provide("board", board);
  assert.equal(await waiting, board);
  assert.equal(part("board"), board);
});
