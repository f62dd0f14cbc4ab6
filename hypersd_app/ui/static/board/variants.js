// Other seeds or styles of the same drawing beside each other. The first is the board's own image, as fast as alone: the
// others are made one after another while nothing else is asked for, and a new stroke cancels what is left of them.
import { callFrame, texts } from "../core/bridge.js";
import { readOwn, writeOwn } from "../core/storage.js";

const KEY = "hypersd.variants";
const [QUIET, AGAIN] = [80, 120]; // ms without a change before the first one, and until the next look whether it may begin
const SEEDS = 2 ** 32;
const COUNTS = [1, 2, 4, 6];

// What each variant changes of a head: {label, head} from the second on.
export function variantsOf(kind, count, head, styles) {
  if (kind === "styles") {
    const chosen = new Set((head.styles || []).map(({ name }) => name));
    return styles.filter(({ name }) => !chosen.has(name)).slice(0, count - 1)
      .map(({ name, title }) => ({ label: title, head: { ...head, styles: [{ name, weight: 1 }] } }));
  }
  return Array.from({ length: count - 1 }, (_, i) => {
    const seed = (head.seed + i + 1) % SEEDS;
    return { label: String(seed), head: { ...head, seed } };
  });
}

export class Variants {
  constructor(element, board) {
    Object.assign(this, { board, turn: 0, timer: 0, working: false, images: new Map() });
    const one = (selector) => element.querySelector(selector);
    [this.cells, this.count, this.kind] = [".hs-variants", ".hs-variant-count", ".hs-variant-kind"].map(one);
    const [count, kind] = (readOwn(KEY) || "1 seeds").split(" ");
    this.count.value = COUNTS.includes(Number(count)) ? count : "1";
    this.kind.value = kind === "styles" ? kind : "seeds";
    for (const input of [this.count, this.kind]) input.addEventListener("change", () => this.choose());
    this.lay();
  }
  choose() {
    writeOwn(KEY, `${this.count.value} ${this.kind.value}`);
    this.plan();
  }
  get on() { return Number(this.count.value) > 1; }
  heads() {
    const { settings } = this.board;
    return variantsOf(this.kind.value, Number(this.count.value), this.board.head(false), settings.model.styles);
  }
  // Called at every change: what is not made yet is for nothing.
  plan() {
    this.turn += 1;
    clearTimeout(this.timer);
    if (!this.on && this.cells.hidden) return; // the usual stroke
    this.lay();
    if (this.on) this.timer = setTimeout(() => this.fill(), QUIET);
  }
  lay() {
    const rows = this.on ? this.heads() : [];
    const key = JSON.stringify([this.kind.value, rows.map(({ label }) => label)]);
    this.cells.hidden = !this.on;
    if (this.laid !== key) {
      this.laid = key;
      this.images.clear();
      this.cells.replaceChildren(...(this.on ? [this.cell(texts["board.variants.this"], null), ...rows.map((row) => this.cell(row.label, row))] : []));
      this.cells.style.setProperty("--count", rows.length + 1);
      this.mirror(this.board.output && this.board.output.getAttribute("src"));
    }
    this.rows = rows;
    this.mark();
  }
  cell(label, row) {
    const cell = Object.assign(document.createElement("button"), { type: "button", className: "hs-variant" });
    cell.innerHTML = '<img alt=""><span></span>';
    cell.lastChild.textContent = label;
    cell.dataset.variant = label;
    if (!row) cell.setAttribute("aria-pressed", "true");
    cell.addEventListener("click", () => this.goOn(row, label));
    return cell;
  }
  // The board's image is the first.
  mirror(source) {
    const first = this.on && this.cells.firstElementChild;
    if (first && source) first.querySelector("img").src = source;
  }
  // Which of them show another drawing by now.
  mark() {
    const key = this.board.key();
    for (const cell of [...this.cells.children].slice(1)) {
      const known = this.images.get(cell.dataset.variant);
      cell.classList.toggle("hs-stale", !known || known !== key);
    }
  }
  // Nothing is being drawn or waited for.
  get free() {
    const { link, paper } = this.board;
    return !document.hidden && link && link.idle && link.running && paper.pointer === null;
  }
  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fill(), AGAIN);
  }
  async fill() {
    if (!this.on || !this.board.key()) return;
    if (this.working || !this.free) { this.wait(); return; }
    const turn = this.turn;
    this.working = true;
    try {
      for (const row of this.rows) {
        if (this.turn !== turn || !this.free) break;
        await this.draw(row, turn);
      }
    } finally {
      this.working = false;
    }
    if (this.turn === turn && this.rows.some(({ label }) => this.images.get(label) !== this.board.key()) && !this.failed) this.wait();
  }
  async draw(row, turn) {
    const key = this.board.key();
    if (this.images.get(row.label) === key) return;
    const { head, picture } = await this.board.frame(row.head);
    if (this.turn !== turn) return; // a stroke came while it was packed
    const answer = await callFrame(head, picture, "variants");
    this.failed = !answer.picture;
    const cell = [...this.cells.children].find((each) => each.dataset.variant === row.label);
    if (this.turn !== turn || !answer.picture || !cell) return;
    cell.querySelector("img").src = `data:image/jpeg;base64,${answer.picture}`;
    this.images.set(row.label, key);
    this.mark();
  }
  // A variant becomes the board's own image.
  goOn(row, label) {
    if (!row) return;
    const source = [...this.cells.children].find((each) => each.dataset.variant === label).querySelector("img").getAttribute("src");
    this.mirror(source);
    if (this.kind.value === "styles") this.board.settings.set("styles", Object.fromEntries(row.head.styles.map(({ name, weight }) => [name, weight])));
    else this.board.settings.set("seed", row.head.seed);
  }
}
