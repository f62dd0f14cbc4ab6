// The blind vote: two images of a comparison without a word of which is which, one pair after another, until nobody wants more.
import { sketchOf } from "../board/save.js";
import { anySeed } from "../board/seed.js";
import { callFrame, texts } from "../core/bridge.js";
import { fromBase64 } from "../core/wire.js";
import { furtherPairs, shuffled, voteOf } from "./ballot.js";

const MOST_ROUNDS = 200; // that are made in one go
// By the place of a key, as the board's.
const KEYS = { ArrowLeft: "left", Digit1: "left", Numpad1: "left", ArrowRight: "right", Digit2: "right", Numpad2: "right",
  ArrowDown: "tie", Digit0: "tie", Numpad0: "tie", Backspace: "back" };

// A side's image, made where there is none yet. Throws an Error with words for people.
async function imageOf(side, operations) {
  if (side.blob) return side.blob;
  const answer = await callFrame(side.head, await sketchOf({ head: side.head, operations }), "compare");
  if (!answer.picture) throw new Error(answer.message);
  side.blob = new Blob([fromBase64(answer.picture)], { type: "image/jpeg" });
  return side.blob;
}

// Both, the second after the first: the engine draws one thing at a time anyway.
function imagesOf(round, operations) {
  round.made = round.made || (async () => [await imageOf(round.left, operations), await imageOf(round.right, operations)])();
  round.made.catch(() => {}); // told when it is the round's turn
  return round.made;
}

export class BlindVote {
  // `votes` keeps them (add, remove), `results` fills an element with what they say once that may be seen.
  constructor(dialog, votes, results) {
    Object.assign(this, { dialog, votes, results, rounds: [], at: 0, cast: [], seen: 0 });
    this.one = (selector) => dialog.querySelector(selector);
    this.images = [...dialog.querySelectorAll(".hs-vote-side img")];
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("close", () => { this.rounds = []; this.unsee(); });
    for (const button of dialog.querySelectorAll("[data-vote]")) button.addEventListener("click", () => this[button.dataset.vote]());
    this.one("form").addEventListener("submit", (event) => { event.preventDefault(); this.more(); });
  }
  // Pairs as of pairsOf(), with the drawing that their images follow.
  open(pairs, operations) {
    Object.assign(this, { pairs, operations });
    this.one("textarea").value = [...new Set(pairs.map(([a]) => a.head.prompt))].join("\n");
    this.dialog.showModal();
    this.begin(pairs);
  }
  begin(pairs) {
    Object.assign(this, { rounds: shuffled(pairs).slice(0, MOST_ROUNDS), at: 0, cast: [] });
    this.say("");
    this.phase("voting");
    return this.show();
  }
  phase(name) { this.dialog.dataset.phase = name; this.one(name === "voting" ? ".hs-vote-pair" : "[data-vote=close]").focus(); }
  say(message) { this.one(".hs-notice").textContent = message; this.one(".hs-notice").hidden = !message; }
  // What is typed, a held key and a command of the browser are no votes.
  key(event) {
    const what = KEYS[event.code];
    if (!what || event.ctrlKey || event.metaKey || event.altKey || this.dialog.dataset.phase !== "voting") return;
    event.preventDefault();
    if (!event.repeat) this[what]();
  }
  left() { this.choose("left"); }
  right() { this.choose("right"); }
  tie() { this.choose("tie"); }
  choose(choice) {
    if (!this.seen) return;
    const vote = voteOf(this.rounds[this.at], choice, performance.now() - this.seen);
    this.votes.add(vote);
    this.cast.push({ vote, at: this.at });
    this.at += 1;
    this.show();
  }
  // The last vote is none, and its pair is shown again.
  back() {
    if (!this.cast.length) return;
    const { vote, at } = this.cast.pop();
    this.votes.remove(vote);
    this.at = at;
    this.show();
  }
  // The next pair, both images at once: which of them took longer says something too.
  async show() {
    this.unsee();
    const round = this.rounds[this.at];
    if (!round) { this.end(); return; }
    const { prompt } = round.left.head;
    const words = texts["vote.round"].replace("{at}", this.at + 1).replace("{count}", this.rounds.length);
    this.one(".hs-vote-round").textContent = prompt === round.right.head.prompt ? `${words}: ${prompt}` : words;
    this.one("[data-vote=back]").disabled = !this.cast.length;
    try {
      const made = await imagesOf(round, this.operations);
      if (round !== this.rounds[this.at]) return;
      await this.reveal(made, round);
    } catch (error) {
      if (round !== this.rounds[this.at]) return;
      this.say(error.message);
      this.end();
    }
  }
  async reveal(made, round) {
    this.images.forEach((image, i) => { image.src = URL.createObjectURL(made[i]); });
    await Promise.all(this.images.map((image) => image.decode()));
    if (round !== this.rounds[this.at]) return;
    this.seen = performance.now();
    this.one(".hs-vote-pair").removeAttribute("aria-busy");
    const next = this.rounds[this.at + 1];
    if (next) imagesOf(next, this.operations);
  }
  unsee() {
    this.seen = 0;
    this.one(".hs-vote-pair").setAttribute("aria-busy", "true");
    for (const image of this.images) {
      if (image.src) URL.revokeObjectURL(image.src);
      image.removeAttribute("src");
    }
  }
  // Now it may be known.
  end() {
    this.rounds = [];
    this.unsee();
    this.one(".hs-vote-round").textContent = texts["vote.done"].replace("{count}", this.cast.length);
    this.results(this.one(".hs-vote-results"));
    this.phase("done");
  }
  // The same settings again, with the prompts that stand there, a line each, and seeds that nobody saw.
  more() {
    const prompts = this.one("textarea").value.split("\n").map((line) => line.trim()).filter(Boolean);
    const seeds = Array.from({ length: Number(this.one("input").value) || 1 }, anySeed);
    if (prompts.length) this.begin(furtherPairs(this.pairs, prompts, seeds));
  }
  close() { this.dialog.close(); }
}
