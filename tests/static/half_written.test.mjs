import assert from "node:assert/strict";
import test from "node:test";
import { Settings } from "../../hypersd_app/ui/static/board/settings.js";
import { Drawing } from "../../hypersd_app/ui/static/drawing/strokes.js";
import { Tools } from "../../hypersd_app/ui/static/board/tools.js";
import { usedPrompts } from "../../hypersd_app/ui/static/text/prompts.js";
import { openPage } from "./support/page.mjs";

// What a browser kept may be half of it, or another version's: the page opens all the same.
const model = { name: "pocket", recipes: [{ name: "unified" }], sizes: [256], controls: [{ name: "scribble" }], styles: [{ name: "ink" }] };
const WHOLE = {
  "hypersd.settings": JSON.stringify({ prompt: "an owl", steps: 4, styles: { ink: 0.5, gone: 1 }, model: "pocket" }),
  "hypersd.drawing": JSON.stringify({ operations: [{ tool: "brush", color: "#000", size: 9, points: [1, 1, 1] }], undone: [] }),
  "hypersd.tools": JSON.stringify({ color: "#ff0000", symmetry: 1, any: "#00ff00", size: 12 }),
  "hypersd.prompts": JSON.stringify(["an owl", "a mole"]),
};
const ODD = ["null", "3", '"text"', "[]", "[null]", "{}", '{"styles":null}', '{"styles":"ink"}', '{"operations":3}', "\u0000"];

function loaded(key, text) {
  openPage({ localStorage: { [key]: text } });
  const settings = Object.assign(Object.create(Settings.prototype), { config: { models: [model] }, values: { styles: {} } });
  settings.load();
  const tools = Object.assign(Object.create(Tools.prototype), { any: {}, size: {}, own: [], options: {}, ink() {}, act() {}, showInks() {}, showOptions() {} });
  tools.load();
  const drawing = new Drawing("hypersd.drawing", () => {});
  drawing.load();
  return { settings, drawing, prompts: usedPrompts() };
}

for (const [key, whole] of Object.entries(WHOLE)) {
  test(`half of ${key} is as good as none`, (context) => {
    context.mock.method(console, "warn", () => {});
    for (let end = 1; end < whole.length; end += 1) assert.deepEqual(loaded(key, whole.slice(0, end)).drawing.operations, []);
    for (const text of ODD) {
      const { settings, drawing, prompts } = loaded(key, text);
      assert.equal(typeof settings.values.styles, "object");
      assert.ok(settings.values.styles !== null && Array.isArray(drawing.operations) && Array.isArray(prompts), `${key}: ${text}`);
    }
  });
}

test("all of it is there again", () => {
  assert.deepEqual(loaded("hypersd.settings", WHOLE["hypersd.settings"]).settings.values.styles, { ink: 0.5 });
  assert.equal(loaded("hypersd.drawing", WHOLE["hypersd.drawing"]).drawing.operations.length, 1);
  assert.deepEqual(loaded("hypersd.prompts", WHOLE["hypersd.prompts"]).prompts, ["an owl", "a mole"]);
});
