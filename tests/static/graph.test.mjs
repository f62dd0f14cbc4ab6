// The modules as a whole: every import is there, none runs in a circle, and nothing is shared by a global.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const STATIC = fileURLToPath(new URL("../../hypersd_app/ui/static/", import.meta.url));
const files = readdirSync(STATIC, { recursive: true }).filter((name) => name.endsWith(".js")).map((name) => join(STATIC, name));
const sources = new Map(files.map((file) => [file, readFileSync(file, "utf-8")]));
const importsOf = (file) => [...sources.get(file).matchAll(/^(?:import|export) (?:\{([^}]*)\} )?from "([^"]+)";/gm)]
  .map(([, names, from]) => ({ names: (names || "").split(",").map((name) => name.trim().split(" as ")[0]), from: resolve(dirname(file), from) }));
const exported = (source) => new Set([...source.matchAll(/^export (?:async )?(?:function|class|const|let) (\w+)/gm)].map((found) => found[1]));

test("there are modules", () => assert.ok(files.length > 25));

for (const file of files) {
  test(`${relative(STATIC, file)} imports what others export, and uses it`, () => {
    const body = sources.get(file).replace(/^import .*$/gm, "");
    for (const { names, from } of importsOf(file)) {
      assert.ok(sources.has(from), `${from} is no module`);
      for (const name of names) {
        assert.ok(exported(sources.get(from)).has(name), `${relative(STATIC, from)} exports no ${name}`);
        assert.match(body, new RegExp(`\\b${name}\\b`), `${name} is imported for nothing`);
      }
    }
    assert.doesNotMatch(sources.get(file), /window\.hypersd|globalThis\.\w+ =/);
  });
}

test("imports run one way", () => {
  const done = new Set();
  const visit = (file, way) => {
    assert.ok(!way.includes(file), [...way, file].map((each) => relative(STATIC, each)).join(" → "));
    if (done.has(file)) return;
    for (const { from } of importsOf(file)) visit(from, [...way, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});
