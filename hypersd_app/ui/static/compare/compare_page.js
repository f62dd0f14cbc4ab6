// The compare tab: a grid over one or two axes, a wipe between two images, and what makes the grid again.
import { saveRecipe, sketchOf } from "../board/save.js";
import { validSeed } from "../board/seed.js";
import { callFrame, callServer, callTogether, counted, texts } from "../core/bridge.js";
import { restore } from "../core/navigation.js";
import { copyText, download, say } from "../core/notify.js";
import { provide, ready } from "../core/parts.js";
import { parseRecipe, recipeLink } from "../core/recipes.js";
import { fromBase64, packParts } from "../core/wire.js";
import { timeline } from "../timeline/current.js";
import { pairsOf } from "./ballot.js";
import { BlindVote } from "./blind_vote.js";
import { presets } from "./presets.js";
import { Votes } from "./votes.js";

export class ComparePage {
  constructor(element, board) {
    Object.assign(this, { element, board, running: false, cells: [], picked: [], offered: {}, touched: false });
    this.one = (selector) => element.querySelector(selector);
    for (const name of ["x", "y"]) this.one(`.hs-c-${name}`).addEventListener("change", () => this.usual(name));
    for (const name of ["prompt", "seed"]) this.one(`.hs-c-${name}`).addEventListener("input", () => { this.touched = true; });
    this.one(".hs-c-run").addEventListener("click", () => (this.running ? this.stop() : this.run()));
    this.one(".hs-wipe input").addEventListener("input", () => this.wipeTo());
    const frame = this.one(".hs-wipe .hs-frame");
    frame.addEventListener("pointerdown", (event) => { frame.setPointerCapture(event.pointerId); this.wipeAt(event); });
    frame.addEventListener("pointermove", (event) => { if (event.buttons) this.wipeAt(event); });
    for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
    this.votes = new Votes(() => this.showVotes());
    this.ballot = new BlindVote(this.one(".hs-vote"), this.votes, (place) => this.votes.show(place));
    for (const button of element.querySelectorAll("[data-votes]")) button.addEventListener("click", () => this.votes[button.dataset.votes]());
    this.one(".hs-vote").addEventListener("close", () => this.showVotes());
    this.showVotes();
    board.strips.push(this);
    this.renew();
    this.use(board.settings.head(false));
  }
  get model() { return this.board.settings.model; }
  // The model changed, or what it offers: other axes, other presets. What still means something stays chosen.
  renew() {
    const another = this.filled && this.filled.name !== this.model.name;
    this.filled = this.model;
    for (const name of ["x", "y"]) this.fillAxis(name, another);
    this.one(".hs-c-presets").replaceChildren(...presets(this.model).map((preset) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "hs-button hs-small" });
      button.textContent = texts[`compare.preset.${preset.title}`];
      button.addEventListener("click", () => { this.setAxes(preset); this.run(); });
      return button;
    }));
  }
  // Told of every change on the board: until somebody types here, prompt and seed are the board's.
  plan() {
    if (this.filled !== this.model) this.renew();
    if (!this.touched && !this.running) this.use(this.board.settings.head(false));
  }
  use(head) {
    this.one(".hs-c-prompt").value = head.prompt;
    this.one(".hs-c-seed").value = head.seed;
  }
  // Values that somebody typed outlive a fresh catalogue; another model may know nothing of them.
  fillAxis(name, another) {
    const select = this.one(`.hs-c-${name}`);
    const before = select.value || (name === "x" ? "steps" : "");
    const options = Object.keys(this.model.axes).map((axis) => new Option(texts[`compare.axis.${axis}`], axis));
    if (name === "y") options.unshift(new Option(texts["compare.none"], ""));
    select.replaceChildren(...options);
    select.value = before in this.model.axes || (name === "y" && !before) ? before : options[0].value;
    const typed = this.one(`.hs-c-${name}s`).value;
    if (another || select.value !== before || !typed || typed === this.offered[name]) this.usual(name);
  }
  usual(name) {
    this.setValues(name, this.model.axes[this.one(`.hs-c-${name}`).value] || []);
    this.offered[name] = this.one(`.hs-c-${name}s`).value;
  }
  setValues(name, values) {
    const field = this.one(`.hs-c-${name}s`);
    field.value = values.join(" | ");
    field.closest("label").style.visibility = this.one(`.hs-c-${name}`).value ? "visible" : "hidden";
  }
  setAxes({ x, xs, y, ys }) {
    this.one(".hs-c-x").value = x;
    this.one(".hs-c-y").value = y;
    this.setValues("x", xs);
    this.setValues("y", ys);
  }
  axes() {
    const values = (name) => this.one(`.hs-c-${name}s`).value.split("|").map((text) => text.trim()).filter(Boolean);
    const [x, y] = [this.one(".hs-c-x").value, this.one(".hs-c-y").value];
    return { x, xs: values("x"), y, ys: y ? values("y") : [] };
  }
  base() {
    const seed = validSeed(this.one(".hs-c-seed").value);
    return { ...this.board.settings.head(false), prompt: this.one(".hs-c-prompt").value, seed, decoder: "" };
  }
  say(message) {
    this.one(".hs-notice").textContent = message || "";
    this.one(".hs-notice").hidden = !message;
  }
  stop() { this.running = false; this.one(".hs-c-run").textContent = texts["compare.run"]; }

  async run() {
    const drawn = this.one(".hs-c-sketch").checked ? this.board.drawing.visible : [];
    const recipe = { head: this.base(), operations: drawn, compare: this.axes() };
    const grid = await callServer("grid", { head: recipe.head, axes: recipe.compare });
    this.say(grid.cells ? "" : grid.message);
    if (!grid.cells || !this.paidFor(recipe, grid)) return;
    const turn = (this.turn = (this.turn || 0) + 1); // a newer run ends this one
    Object.assign(this, { recipe_: recipe, grid, cells: grid.cells, running: true });
    this.layOut();
    this.one(".hs-c-run").textContent = texts["compare.stop"];
    if (grid.lent.length) await this.runTogether(turn);
    else await this.runEach(turn);
    if (turn === this.turn) this.stop();
  }
  // Where a device is lent, what it costs is shown before; pressing again draws.
  paidFor(recipe, { lent, cells }) {
    const asked = JSON.stringify(recipe);
    if (!lent.length || this.told === asked) { this.told = ""; return true; }
    this.told = asked;
    const seconds = lent.reduce((sum, each) => sum + each, 0);
    const words = texts[lent.length === 1 ? "compare.lent.one" : "compare.lent.other"];
    const values = { seconds, calls: lent.length, images: counted("images", cells.length) };
    this.say(words.replace(/\{(\w+)\}/g, (_, name) => values[name]));
    return false;
  }
  async runTogether(turn) {
    const { recipe_: recipe, cells } = this;
    const frames = [];
    for (const cell of cells) frames.push({ head: cell.head, picture: await sketchOf({ head: cell.head, operations: recipe.operations }) });
    for (const cell of cells) this.begin(cell);
    const { answers, message } = await callTogether(frames, "compare");
    if (turn !== this.turn) return;
    const failed = answers ? answers.find((each) => !each.picture) : { message };
    if (failed) this.say(failed.message);
    cells.forEach((cell, i) => this.fill(cell, answers ? answers[i] : { message }, recipe));
  }
  async runEach(turn) {
    const { recipe_: recipe } = this;
    const drawn = recipe.operations;
    for (const cell of this.cells) {
      const picture = await sketchOf({ head: cell.head, operations: drawn });
      if (!this.running || turn !== this.turn) break;
      this.begin(cell);
      this.fill(cell, await callFrame(cell.head, picture, "compare"), recipe);
    }
  }
  layOut() {
    const { columns, rows } = this.grid;
    const header = (text, scope) => Object.assign(document.createElement("th"), { textContent: text, title: text, scope });
    const top = document.createElement("tr");
    top.append(header("", "col"), ...columns.map((label) => header(label, "col")));
    const lines = (rows.length ? rows : [""]).map((label) => {
      const line = document.createElement("tr");
      line.append(header(label, "row"));
      return line;
    });
    for (const cell of this.cells) {
      cell.name = [columns[cell.column], rows[cell.row]].filter(Boolean).join(" · ");
      cell.box = document.createElement("td");
      cell.box.innerHTML = '<button type="button" class="hs-cell" aria-pressed="false"><img alt=""><span></span></button>';
      cell.box.firstChild.setAttribute("aria-label", cell.name);
      cell.box.firstChild.addEventListener("click", () => this.pick(cell));
      lines[cell.row].append(cell.box);
    }
    const grid = this.one(".hs-grid");
    grid.replaceChildren(top, ...lines);
    grid.classList.toggle("hs-flat", !rows.length);
    grid.style.setProperty("--columns", columns.length);
    this.one(".hs-empty").hidden = true;
    this.one(".hs-c-after").hidden = false;
    this.showWipe(false);
    this.picked = [];
  }
  // Beside the grid, which makes room.
  showWipe(on) {
    this.one(".hs-wipe").hidden = !on;
    this.one(".hs-c-result").classList.toggle("hs-wiping", on);
  }
  begin(cell) {
    cell.box.setAttribute("aria-busy", "true");
    cell.box.querySelector("span").textContent = texts["compare.drawing"];
  }
  // The steps under an image, unless an axis tells them.
  stepsOf(cell, { compare }) {
    const tells = (axis, values) => axis === "steps" || (axis === "recipe" && values.some((value) => value.includes("@")));
    const told = tells(compare.x, compare.xs) || tells(compare.y, compare.ys);
    return told ? [] : [counted("steps", cell.head.num_inference_steps)];
  }
  fill(cell, answer, recipe) {
    const [image, caption] = [cell.box.querySelector("img"), cell.box.querySelector("span")];
    cell.box.removeAttribute("aria-busy");
    if (!answer.picture) { caption.textContent = answer.message; cell.box.classList.add("hs-failed"); return; }
    cell.blob = new Blob([fromBase64(answer.picture)], { type: "image/jpeg" });
    image.src = `data:image/jpeg;base64,${answer.picture}`;
    image.alt = `${cell.head.prompt}: ${cell.name}`;
    const { total, rendered } = answer.ms || {};
    cell.caption = [`${Math.round(total || rendered || 0)} ms`, ...this.stepsOf(cell, recipe)].join(" · ");
    caption.textContent = cell.caption;
    timeline.add(cell.blob, cell.head, recipe.operations);
  }
  pick(cell) {
    if (!cell.blob) return;
    this.picked = [...this.picked.filter((each) => each !== cell), cell].slice(-2);
    for (const each of this.cells) {
      each.box.classList.toggle("hs-picked", this.picked.includes(each));
      each.box.firstChild.setAttribute("aria-pressed", String(this.picked.includes(each)));
    }
    if (this.picked.length < 2) return;
    const [a, b] = this.picked;
    this.one(".hs-wipe-a").src = a.box.querySelector("img").src;
    this.one(".hs-wipe-b").src = b.box.querySelector("img").src;
    this.one(".hs-wipe-left").textContent = a.name;
    this.one(".hs-wipe-right").textContent = b.name;
    this.showWipe(true);
    this.wipeTo();
    this.one(".hs-wipe").scrollIntoView({ block: "nearest" });
  }
  // Two picked images are what is voted on, else all columns.
  vote() {
    const picked = this.picked.length === 2 ? this.picked : [];
    const pairs = pairsOf({ cells: this.cells, columns: this.grid.columns, rows: this.grid.rows, picked });
    if (pairs.length) this.ballot.open(pairs, this.recipe_.operations);
    else say(texts["vote.two"]);
  }
  // Not while somebody votes: who knows the score votes another way.
  showVotes() {
    this.one(".hs-votes").hidden = !this.votes.all.length;
    if (!this.one(".hs-vote").open) this.votes.show(this.one(".hs-votes .hs-vote-results"));
  }
  wipeAt(event) {
    const box = this.one(".hs-wipe .hs-frame").getBoundingClientRect();
    this.one(".hs-wipe input").value = (100 * (event.clientX - box.left)) / box.width;
    this.wipeTo();
  }
  wipeTo() {
    const at = this.one(".hs-wipe input").value;
    this.one(".hs-wipe-b").style.clipPath = `inset(0 0 0 ${at}%)`;
    this.one(".hs-wipe-edge").style.left = `${at}%`;
  }
  async sheet() {
    const captions = this.cells.map((cell) => cell.caption || "");
    const { columns, rows } = this.grid;
    const bytes = await packParts(this.cells.map((cell) => cell.blob));
    const answer = await callServer("contact_sheet", { recipe: this.recipe_, columns, rows, captions }, bytes);
    if (answer.png) download(new Blob([fromBase64(answer.png)], { type: "image/png" }), "compare.png");
    else say(answer.message);
  }
  recipe() { copyText(JSON.stringify(this.recipe_, null, 1)); }
  link() { copyText(recipeLink(this.recipe_)); }
  save() { saveRecipe(this.recipe_); }
  async paste() {
    const pasted = window.prompt(texts["compare.paste.ask"]);
    const recipe = parseRecipe(pasted || "");
    if (recipe) restore(recipe);
    else if (pasted) say(texts["recipe.unreadable"]);
  }
  // A grid is made again; a single image's recipe becomes what the next grid is about.
  restore({ head, operations, compare }) {
    if (operations && operations.length) this.board.drawing.replace(operations);
    this.board.settings.restore(head);
    this.renew();
    this.use(head);
    this.touched = true;
    if (!compare) return undefined;
    this.setAxes(compare);
    return this.run();
  }
}

export async function mountCompare(element) { provide("compare", new ComparePage(element, await ready("board"))); }
