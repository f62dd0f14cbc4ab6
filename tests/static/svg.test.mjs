import assert from "node:assert/strict";
import test from "node:test";
import { svgOf } from "../../hypersd_app/ui/static/drawing/svg.js";

const brush = (points, more = {}) => ({ tool: "brush", color: "#d6342c", size: 20, symmetry: 0, points, ...more });
const count = (text, pattern) => (text.match(pattern) || []).length;

test("a stroke of one pressure is one path of one width, and a dot where it begins", () => {
  const svg = svgOf([brush([100, 100, 0.5, 200, 100, 0.5, 300, 120, 0.5])]);
  assert.equal(count(svg, /<path /g), 1);
  assert.equal(count(svg, /<circle /g), 1);
  assert.match(svg, /stroke="#d6342c"/);
  assert.match(svg, /M100 100Q100 100 150 100Q200 100 250 110Q300 120 300 120"/);
});

test("a stroke of another pressure changes its width in small steps", () => {
  const widths = [...svgOf([brush([100, 100, 0.1, 200, 100, 1, 201, 100, 1])]).matchAll(/stroke-width="([\d.]+)"/g)].map((found) => Number(found[1]));
  assert.ok(widths.length > 4);
  for (let i = 1; i < widths.length - 1; i += 1) assert.ok(Math.abs(widths[i] - widths[i - 1]) < 5, widths.join());
});

test("shapes, areas, images and mirrors are what they were", () => {
  const svg = svgOf([
    { tool: "shape", color: "#000000", size: 10, points: [0, 0, 0.5, 10, 0, 0.5, 10, 10, 0.5], closed: true, fill: true, symmetry: 1 },
    { tool: "fill", color: "#ffffff", paths: [[0, 0, 10, 0, 10, 10], [2, 2, 4, 2, 4, 4]], matrix: [2, 0, 0, 2, 5, 6] },
    { tool: "image", source: 'data:image/png;base64,"<' },
  ]);
  assert.equal(count(svg, /M0 0L10 0L10 10Z" stroke-width/g), 2, "with its mirror");
  assert.match(svg, /matrix\(-1 0 0 1 1024 0\)/);
  assert.match(svg, /matrix\(2 0 0 2 5 6\)"><path d="M0 0L10 0L10 10ZM2 2L4 2L4 4Z" fill-rule="evenodd"/);
  assert.match(svg, /href="data:image\/png;base64,&quot;&lt;"/);
});

test("an eraser hides what was before it, on its layer, and nothing after", () => {
  const svg = svgOf([brush([0, 0, 0.5, 9, 9, 0.5]), { tool: "eraser", size: 30, points: [5, 5, 0.5] }, brush([1, 1, 0.5, 8, 8, 0.5], { color: "#00ff00" })]);
  const masked = svg.match(/<g mask="url\(#lines-1\)">(.*?)<\/g><g fill="#00ff00"/s);
  assert.ok(masked && masked[1].includes("#d6342c"));
});

test("hidden layers are left out", () => {
  const layers = { order: ["reference", "color", "lines"], shown: { lines: false }, opacity: { color: 0.5 } };
  const svg = svgOf([brush([0, 0, 0.5]), brush([5, 5, 0.5], { layer: "color", color: "#123456" }), { tool: "layers", layers }]);
  assert.ok(!svg.includes("#d6342c") && svg.includes("#123456") && svg.includes('opacity="0.5"'));
});
