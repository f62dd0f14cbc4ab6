// The votes that this browser keeps, and what they say as a table.
import { config, texts } from "../core/bridge.js";
import { download, offer, say } from "../core/notify.js";
import { readText, writeText } from "../core/storage.js";
import { tally, votesAsCsv } from "./ballot.js";

const KEY = "hypersd.votes";
const MOST = 2000;

const percent = (share) => Math.round(100 * share);

export class Votes {
  // `changed` is called after each.
  constructor(changed) { Object.assign(this, { changed, all: [], keeps: true }); this.all = this.kept(); }
  kept() {
    try {
      return JSON.parse(readText("localStorage", KEY)) || this.all;
    } catch {
      return this.all;
    }
  }
  // Another tab may have voted meanwhile. A browser that keeps no more goes on with what this page has.
  set(change) {
    this.all = change(this.keeps ? this.kept() : this.all).slice(-MOST);
    const kept = writeText("localStorage", KEY, JSON.stringify(this.all));
    if (this.keeps && !kept) say(texts["vote.full"]);
    this.keeps = kept;
    this.changed();
  }
  add(vote) { this.set((all) => [...all, vote]); }
  remove(vote) { this.set((all) => all.filter((each) => each.at !== vote.at)); }
  clear() {
    const before = this.all;
    this.set(() => []);
    offer(texts["vote.forgotten"], texts["timeline.bringback"], () => this.set((since) => [...before, ...since]));
  }
  json() { download(new Blob([JSON.stringify(this.all, null, 1)], { type: "application/json" }), "votes.json"); }
  csv() { download(new Blob([`\ufeff${votesAsCsv(this.all)}`], { type: "text/csv" }), "votes.csv"); }
  // Fills an element with a line for each two settings.
  show(element) {
    const lines = tally(this.all);
    const models = new Set(lines.map((line) => line.model));
    const cell = (words, kind = "td") => Object.assign(document.createElement(kind), { textContent: words });
    const row = (cells) => { const line = document.createElement("tr"); line.append(...cells); return line; };
    const heads = ["a", "b", "wins", "ties", "losses", "rate"].map((name) => Object.assign(cell(texts[`vote.${name}`], "th"), { scope: "col" }));
    const table = document.createElement("table");
    table.append(row(heads), ...lines.map((line) => {
      const model = models.size > 1 ? ` (${this.title(line.model)})` : "";
      const [low, high] = line.interval.map(percent);
      const words = texts["vote.share"].replace("{rate}", percent(line.rate)).replace("{low}", low).replace("{high}", high);
      return row([cell(`${line.a}${model}`), cell(line.b), cell(line.wins), cell(line.ties), cell(line.losses), cell(words)]);
    }));
    element.replaceChildren(...(lines.length ? [table] : []));
  }
  title(name) { return (config.models.find((row) => row.name === name) || { title: name }).title; }
}
