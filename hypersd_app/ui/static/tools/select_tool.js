// Choosing what was drawn, and moving, scaling, turning, copying or removing it.
import { bounds, isEraser, layerOf, outlines, overlap, touches, union } from "../drawing/elements.js";
import { applied, combined, IDENTITY, moved, PAPER, turned } from "../drawing/geometry.js";

const REACH = 10; // units of the paper, unzoomed, that a click may miss a line by
const COPY_AT = 32; // units of the paper from what was copied
const NUDGE = 4;
const [SMALLEST, LARGEST] = [0.05, 20]; // times
const ARROWS = { left: [-NUDGE, 0], right: [NUDGE, 0], up: [0, -NUDGE], down: [0, NUDGE] };

export class SelectTool {
  constructor(board) {
    Object.assign(this, { board, ids: new Set(), mode: "", matrix: null });
    this.box = board.element.querySelector(".hs-selection");
    for (const button of this.box.querySelectorAll("button")) button.addEventListener("click", () => this.act(button.dataset.do));
    board.paper.frame.addEventListener("hs-view", () => this.show());
  }
  get entries() { return this.board.drawing.document.entries; }
  get chosen() { return this.entries.filter(({ id }) => this.ids.has(id)); }
  get active() { return this.board.tools.tool === "select" && this.chosen.length > 0; }

  down(place, event) {
    const { handle } = event.target.dataset || {};
    Object.assign(this, { start: place, matrix: null, mode: handle || "move" });
    this.about = this.chosen.length ? this.bounds() : null;
    if (handle) return;
    const found = this.at(place);
    if (!found) { this.mode = "frame"; if (!event.shiftKey) this.ids.clear(); }
    else if (event.shiftKey && this.ids.has(found.id)) this.ids.delete(found.id);
    else if (!this.ids.has(found.id)) this.ids = new Set(event.shiftKey ? [...this.ids, found.id] : [found.id]);
    this.show();
  }
  // Ink on a layer that is shown; neither what one paints on nor a mask.
  selectable({ element }) { return !isEraser(element) && this.board.drawing.document.layers.shown[layerOf(element)] === true; }
  // The topmost thing with ink there.
  at([x, y]) {
    const { layers } = this.board.drawing.document;
    const reach = REACH / this.board.paper.view.zoom;
    const order = ({ element }) => layers.order.indexOf(layerOf(element));
    const found = this.entries.filter((entry) => this.selectable(entry) && touches(entry.element, x, y, reach));
    return found.sort((a, b) => order(a) - order(b) || a.id - b.id).at(-1) || null;
  }
  move(place, event) {
    if (this.mode === "frame") return this.frame(place);
    const matrix = this.mode === "move" ? moved(place[0] - this.start[0], place[1] - this.start[1]) : this.turning(place, event.shiftKey);
    if (!this.matrix && !this.begin()) return undefined;
    this.matrix = matrix;
    const { drawing, paper } = this.board;
    drawing.try({ tool: "change", ids: this.moving, matrix });
    paper.schedule();
    this.show();
    return this.board.edited(false);
  }
  begin() {
    if (!this.chosen.length) return false;
    this.moving = this.withErasers();
    const ids = new Set(this.moving);
    this.board.paper.beginDraft(() => this.entries.filter(({ id }) => ids.has(id)).map(({ element }) => element), ids);
    return true;
  }
  // What was rubbed out of the chosen things and of nothing else goes with them.
  withErasers() {
    const ids = new Set(this.ids);
    const box = this.bounds();
    const others = this.entries.filter(({ id, element }) => !ids.has(id) && !isEraser(element)).map(({ element }) => bounds(element));
    for (const { id, element } of this.entries) {
      if (!isEraser(element)) continue;
      const rubbed = bounds(element);
      if (overlap(rubbed, box) && !others.some((other) => overlap(other, rubbed))) ids.add(id);
    }
    return [...ids];
  }
  // The matrix of a corner or of the handle above, dragged from where it was to a place.
  turning(place, even) {
    const [left, top, right, bottom] = this.about;
    const center = [(left + right) / 2, (top + bottom) / 2];
    const from = [this.start[0] - center[0], this.start[1] - center[1]];
    const to = [place[0] - center[0], place[1] - center[1]];
    if (this.mode === "scale") return turned(Math.min(LARGEST, Math.max(SMALLEST, Math.hypot(...to) / Math.max(1, Math.hypot(...from)))), 0, center);
    const angle = Math.atan2(to[1], to[0]) - Math.atan2(from[1], from[0]);
    const step = Math.PI / 12;
    return turned(1, even ? Math.round(angle / step) * step : angle, center);
  }
  // All that has a corner inside of the rectangle from where the pointer came down.
  frame(place) {
    const [xs, ys] = [0, 1].map((axis) => [this.start[axis], place[axis]].sort((a, b) => a - b));
    const within = ({ element }) => outlines(element).some((path) => path.some((_, i) => {
      if (i % 2) return false;
      const [x, y] = applied(element.matrix || IDENTITY, path[i], path[i + 1]);
      return x >= xs[0] && x <= xs[1] && y >= ys[0] && y <= ys[1];
    }));
    const found = this.entries.filter((entry) => this.selectable(entry) && within(entry));
    this.ids = new Set(found.map(({ id }) => id));
    this.place([xs[0], ys[0], xs[1], ys[1]], true);
  }
  up() {
    const { matrix, mode, moving } = this;
    Object.assign(this, { mode: "", matrix: null });
    if (matrix) this.board.drawing.add({ tool: "change", ids: moving, matrix });
    else if (mode === "frame") this.show();
  }
  cancel() {
    Object.assign(this, { mode: "", matrix: null });
    if (!this.board.drawing.trial) return;
    this.board.drawing.try(null);
    this.board.redrawn();
  }
  act(name) {
    if (this.board.tools.tool !== "select") return false;
    if (name === "selectall") this.ids = new Set(this.entries.filter((entry) => this.selectable(entry)).map(({ id }) => id));
    if (!this.active) { this.show(); return name === "selectall"; }
    const { drawing } = this.board;
    if (name === "clear" || name === "remove") drawing.add({ tool: "remove", ids: this.withErasers() });
    else if (name === "duplicate") this.duplicate();
    else if (name === "escape") this.ids.clear();
    else if (ARROWS[name]) drawing.add({ tool: "change", ids: this.withErasers(), matrix: moved(...ARROWS[name]) });
    else return name === "selectall" && (this.show(), true);
    this.show();
    return true;
  }
  duplicate() {
    const chosen = this.chosen.map(({ element }) => element);
    const at = moved(COPY_AT, COPY_AT);
    const copies = chosen.map(({ group, ...element }) => ({ ...element, matrix: combined(at, element.matrix || IDENTITY) }));
    this.board.drawing.addTogether(copies);
    this.ids = new Set(this.entries.slice(-copies.length).map(({ id }) => id));
  }
  recolor(color) {
    if (this.active) this.board.drawing.add({ tool: "change", ids: [...this.ids], values: { color } });
  }
  bounds() { return union(this.chosen.map(({ element }) => bounds(element))); }
  // The frame around what is chosen.
  show() {
    if (this.mode === "frame") return;
    if (!this.active) { this.box.hidden = true; return; }
    this.place(this.bounds(), false);
  }
  place([left, top, right, bottom], choosing) {
    const { view, frame } = this.board.paper;
    const unit = (frame.clientWidth / PAPER) * view.zoom;
    this.box.hidden = false;
    this.box.classList.toggle("hs-choosing", choosing);
    this.box.classList.toggle("hs-low", top * unit + view.y < 52); // no room for buttons above
    Object.assign(this.box.style, { width: `${(right - left) * unit}px`, height: `${(bottom - top) * unit}px`,
      transform: `translate(${left * unit + view.x}px, ${top * unit + view.y}px)` });
  }
}
