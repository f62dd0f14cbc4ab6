// A vote between images without labels: which two are shown, on which sides, and what the votes say. No page is needed here.

const NORMAL = 1.959964; // 95 % of a normal distribution lie within so many standard deviations
const COLUMNS = ["at", "model", "prompt", "seed", "left", "right", "choice", "winner", "seconds"];

export function chanceBelow(count) { return crypto.getRandomValues(new Uint32Array(1))[0] % count; }

// Every two of a list.
const twos = (list) => list.flatMap((a, i) => list.slice(i + 1).map((b) => [a, b]));

// What a grid gives to vote on, [[side, side]], a side being {label, head, blob}: the columns of each row against each other, or the
// rows where there is one column. Two cells that were picked are what it is about: their columns in all rows, or their rows in all
// columns, and where they have neither in common the two alone.
export function pairsOf({ cells, columns, rows, picked = [] }) {
  const made = cells.filter((cell) => cell.blob);
  const side = (cell, label) => ({ label, head: cell.head, blob: cell.blob });
  const [one, other] = picked;
  if (other && one.row !== other.row && one.column !== other.column) return [[side(one, one.name), side(other, other.name)]];
  const across = other ? one.row === other.row : columns.length > 1;
  const [line, place, labels] = across ? ["row", "column", columns] : ["column", "row", rows];
  const chosen = (cell) => !other || [one[place], other[place]].includes(cell[place]);
  return [...new Set(made.map((cell) => cell[line]))].flatMap((number) => {
    const all = made.filter((cell) => cell[line] === number && chosen(cell)).sort((a, b) => a[place] - b[place]);
    return twos(all.map((cell) => side(cell, labels[cell[place]])));
  });
}

// Pairs in an order and on sides that nobody knows: [{left, right}].
export function shuffled(pairs, chance = chanceBelow) {
  const rounds = pairs.map(([a, b]) => (chance(2) ? { left: a, right: b } : { left: b, right: a }));
  for (let i = rounds.length - 1; i > 0; i -= 1) {
    const j = chance(i + 1);
    [rounds[i], rounds[j]] = [rounds[j], rounds[i]];
  }
  return rounds;
}

// A setting is all of a request but what it is drawn from.
export function settingOf({ label, head }) {
  const { prompt, seed, ...rest } = head;
  return JSON.stringify([label, rest]);
}

// The same settings with other prompts and seeds: [[side, side]], still without images. What the two differ in stays theirs.
export function furtherPairs(pairs, prompts, seeds) {
  const settings = new Map(pairs.map((pair) => [pair.map(settingOf).sort().join(), pair]));
  return prompts.flatMap((prompt) => seeds.flatMap((seed) => [...settings.values()].map(([a, b]) => {
    const own = { ...(a.head.prompt === b.head.prompt && { prompt }), ...(a.head.seed === b.head.seed && { seed }) };
    return [a, b].map(({ label, head }) => ({ label, head: { ...head, ...own } }));
  })));
}

// A vote as it is kept. `choice` is left, right or tie.
export function voteOf({ left, right }, choice, milliseconds, at = new Date()) {
  const shared = (name) => (left.head[name] === right.head[name] ? left.head[name] : "");
  const sides = { left: { label: left.label, head: left.head }, right: { label: right.label, head: right.head } };
  return { at: at.toISOString(), model: shared("model"), prompt: shared("prompt"), seed: shared("seed"), ...sides, choice,
    winner: choice === "tie" ? "" : sides[choice].label, seconds: Math.round(milliseconds / 100) / 10 };
}

// Wilson's interval of a share of `count` trials at 95 %: [low, high].
export function wilson(share, count) {
  if (!count) return [0, 1];
  const square = NORMAL ** 2 / count;
  const half = NORMAL * Math.sqrt((share * (1 - share)) / count + square / (4 * count));
  return [-half, half].map((away) => Math.min(1, Math.max(0, (share + square / 2 + away) / (1 + square))));
}

// The votes on each two settings: [{a, b, wins, ties, losses, rate, interval}], `rate` being the share that a won, ties half.
export function tally(votes) {
  const found = new Map();
  for (const { left, right, choice, model } of votes) {
    const [a, b] = [left, right].sort((x, y) => x.label.localeCompare(y.label, "en", { numeric: true }) || (settingOf(x) < settingOf(y) ? -1 : 1));
    const key = `${settingOf(a)} ${settingOf(b)}`;
    if (!found.has(key)) found.set(key, { a: a.label, b: b.label, model, wins: 0, ties: 0, losses: 0 });
    const winner = { left, right }[choice];
    found.get(key)[winner ? (winner === a ? "wins" : "losses") : "ties"] += 1;
  }
  return [...found.values()].map((row) => {
    const count = row.wins + row.ties + row.losses;
    const rate = (row.wins + row.ties / 2) / count;
    return { ...row, rate, interval: wilson(rate, count) };
  });
}

// The votes as a table for other programs; the JSON has the whole settings too.
export function votesAsCsv(votes) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replace(/"/g, '""')}"` : String(value));
  const rows = votes.map((vote) => ({ ...vote, left: vote.left.label, right: vote.right.label }));
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
