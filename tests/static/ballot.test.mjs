import assert from "node:assert/strict";
import test from "node:test";
import { furtherPairs, pairsOf, shuffled, tally, voteOf, votesAsCsv, wilson } from "../../hypersd_app/ui/static/compare/ballot.js";

const [columns, rows] = [["Steps 1", "Steps 2", "Steps 10"], ["Seed 7", "Seed 8"]];
const cells = rows.flatMap((_, row) => columns.map((_, column) => (
  { row, column, name: `${columns[column]} · ${rows[row]}`, blob: {}, head: { prompt: "an apple", seed: 7 + row, steps: column, model: "pocket" } })));
const labels = (pairs) => pairs.map((pair) => pair.map((side) => side.label).join("/"));
const near = (found, expected) => found.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 5e-4, `${found} is not ${expected}`));

test("columns are voted on within their row, rows where there is one column", () => {
  const pairs = pairsOf({ cells, columns, rows });
  assert.equal(pairs.length, 6);
  assert.ok(pairs.every(([a, b]) => a.head.seed === b.head.seed && a.label !== b.label));
  const one = cells.filter((cell) => cell.column === 0);
  assert.deepEqual(labels(pairsOf({ cells: one, columns: ["Steps 1"], rows })), ["Seed 7/Seed 8"]);
  cells[1].blob = null;
  assert.equal(pairsOf({ cells, columns, rows }).length, 4, "what failed is not voted on");
  cells[1].blob = {};
});

test("two picked cells are what it is about", () => {
  const about = (a, b) => labels(pairsOf({ cells, columns, rows, picked: [cells[a], cells[b]] }));
  assert.deepEqual(about(0, 2), ["Steps 1/Steps 10", "Steps 1/Steps 10"]);
  assert.deepEqual(about(1, 4), ["Seed 7/Seed 8", "Seed 7/Seed 8", "Seed 7/Seed 8"]);
  assert.deepEqual(about(0, 4), ["Steps 1 · Seed 7/Steps 2 · Seed 8"]);
});

test("nobody knows the sides, and every pair comes once", () => {
  const pairs = pairsOf({ cells, columns, rows });
  const sides = new Set();
  for (let i = 0; i < 60; i += 1) {
    const rounds = shuffled(pairs);
    assert.equal(rounds.length, pairs.length);
    for (const [a, b] of pairs) assert.equal(rounds.filter(({ left, right }) => [a, b].includes(left) && [a, b].includes(right)).length, 1);
    sides.add(rounds.map(({ left }) => left.label).join());
  }
  assert.ok(sides.size > 20);
});

test("it goes on with other prompts and seeds, but for what the two differ in", () => {
  const pairs = pairsOf({ cells, columns, rows, picked: [cells[0], cells[1]] });
  const further = furtherPairs(pairs, ["a cat", "a dog"], [1, 2, 3]);
  assert.equal(further.length, 6, "the same two settings of both rows are one");
  assert.deepEqual(further[0].map(({ head }) => [head.prompt, head.seed, head.steps]), [["a cat", 1, 0], ["a cat", 1, 1]]);
  assert.ok(!further[0][0].blob);
  const seeds = pairsOf({ cells, columns, rows, picked: [cells[0], cells[3]] });
  assert.deepEqual(furtherPairs(seeds, ["a cat"], [1])[0].map(({ head }) => [head.prompt, head.seed]), [["a cat", 7], ["a cat", 8]]);
});

test("Wilson's interval", () => {
  near(wilson(0.8, 10), [0.4902, 0.9433]);
  near(wilson(1, 20), [0.8389, 1]);
  near(wilson(0, 20), [0, 0.1611]);
  near(wilson(0.5, 400), [0.4513, 0.5487]);
  assert.deepEqual(wilson(0, 0), [0, 1]);
});

test("votes are counted for the setting, whatever side it was on; ties half", () => {
  const [[a, b]] = pairsOf({ cells, columns, rows, picked: [cells[1], cells[2]] });
  const votes = [voteOf({ left: a, right: b }, "left", 1234), voteOf({ left: b, right: a }, "right", 900), voteOf({ left: b, right: a }, "tie", 1), voteOf({ left: a, right: b }, "right", 1)];
  const [row] = tally(votes);
  assert.deepEqual([row.a, row.b, row.wins, row.ties, row.losses, row.rate], ["Steps 2", "Steps 10", 2, 1, 1, 0.625]);
  near(row.interval, wilson(0.625, 4));
  assert.deepEqual([votes[0].winner, votes[0].seconds, votes[2].winner], ["Steps 2", 1.2, ""]);
  const other = voteOf({ left: { ...a, head: { ...a.head, model: "large" } }, right: b }, "left", 1);
  assert.equal(tally([...votes, other]).length, 2, "the same label of another setting is another");
});

test("a table for other programs", () => {
  const [[a, b]] = pairsOf({ cells, columns, rows, picked: [cells[0], cells[1]] });
  const quoted = { ...a, head: { ...a.head, prompt: 'a "red", old\napple' } };
  const vote = voteOf({ left: quoted, right: { ...b, head: { ...b.head, prompt: quoted.head.prompt } } }, "tie", 2000, new Date(0));
  assert.equal(votesAsCsv([vote]), 'at,model,prompt,seed,left,right,choice,winner,seconds\r\n1970-01-01T00:00:00.000Z,pocket,"a ""red"", old\napple",7,Steps 1,Steps 2,tie,,2\r\n');
});
