// The drawing as a list of operations, the one truth: undo, redo, autosave and the picture sent all come from it.
// Coordinates are 0..1024 across the paper; points are flat [x, y, pressure, ...].
import { texts } from "../core/bridge.js";
import { say } from "../core/notify.js";
import { readOwn, writeOwn } from "../core/storage.js";

export const PAPER = 1024;
const [SAVE_AFTER, WHILE_DRAWING] = [200, 1000]; // ms
const HISTORY = 60000; // numbers and characters that are kept over a reload for undo, and as many for redo

const NO_INK = ["canvas", "mask"]; // layers of canvas.js
const weight = ({ points, source }) => 1 + (points || source || "").length;

export class Drawing {
  constructor(storageKey, onChange) {
    Object.assign(this, { storageKey, onChange, operations: [], undone: [], growing: null, revision: 0, timer: 0 });
    window.addEventListener("pagehide", () => this.saveNow());
  }
  get current() { return this.operations[this.operations.length - 1]; }
  // Operations since the last clear; clearing is an operation too, so that it can be undone.
  get visible() {
    const at = this.operations.map((operation) => operation.tool).lastIndexOf("clear");
    return this.operations.slice(at + 1);
  }
  // The visible operations for keeping: finished ones are never changed again and shared, the growing one is copied.
  shared() {
    const operations = this.visible;
    const last = operations[operations.length - 1];
    if (last && last === this.growing) operations[operations.length - 1] = { ...last, points: last.points.slice() };
    return operations;
  }
  get empty() { return !this.visible.some(({ tool, layer }) => tool !== "eraser" && !NO_INK.includes(layer)); }

  add(operation) {
    this.finish();
    this.operations.push(operation);
    this.undone = [];
    this.changed();
  }
  // A stroke grows point by point and is painted as it grows: no full repaint at its begin or end.
  begin(operation) {
    this.finish();
    this.operations.push(operation);
    this.growing = operation;
    this.undone = [];
    this.revision += 1;
  }
  // Whatever else changes the drawing finishes the growing stroke first, even with the pen still down: the rest of that
  // movement then belongs to no stroke, and must not be added to an earlier one.
  finish() {
    if (!this.growing) return;
    this.growing = null;
    this.revision += 1;
    this.save();
  }
  extend(x, y, pressure) {
    if (!this.growing) return;
    this.growing.points.push(Math.round(x * 4) / 4, Math.round(y * 4) / 4, Math.round(pressure * 100) / 100);
    this.revision += 1;
    this.save(WHILE_DRAWING);
  }
  // The growing stroke was none: take it back as if it had never begun.
  drop() {
    if (!this.growing) return;
    this.operations.pop();
    this.growing = null;
    this.changed();
  }
  // Several strokes that came together, undone and redone together.
  addTogether(operations) {
    this.finish();
    const group = `${Date.now().toString(36)}-${this.revision}`;
    this.operations.push(...operations.map((operation) => ({ ...operation, group })));
    this.undone = [];
    this.changed();
  }
  // Whether the last strokes are these.
  endsWith(operations) {
    const shape = ({ tool, points, source }) => [tool, points, source];
    const last = this.visible.slice(-operations.length || Infinity);
    return operations.length > 0 && JSON.stringify(last.map(shape)) === JSON.stringify(operations.map(shape));
  }
  undo() { return this.move(this.operations, this.undone); }
  redo() { return this.move(this.undone, this.operations); }
  // One step from the end of one list to the other.
  move(from, to) {
    if (!from.length) return false;
    this.finish();
    const { group } = from[from.length - 1];
    do to.push(from.pop()); while (group && from.length && from[from.length - 1].group === group);
    this.changed();
    return true;
  }
  clear() { if (this.visible.length) this.add({ tool: "clear" }); }
  // Another drawing in place of this one, which one undo brings back.
  replace(operations) {
    const clearing = this.visible.length ? [{ tool: "clear" }] : [];
    this.addTogether([...clearing, ...operations]);
  }

  changed() {
    this.revision += 1;
    this.save();
    this.onChange();
  }
  // Soon, whatever comes meanwhile: a crash in the middle of a long stroke loses a moment of it, not all.
  save(after = SAVE_AFTER) {
    const due = performance.now() + after;
    if (this.timer && due >= this.due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.saveNow(), after);
  }
  // What a reload brings back: the visible drawing, the whole ones that were cleared before it, and the next steps of redo.
  // The history is bounded; of a cleared drawing undo brings back all or nothing.
  kept() {
    let from = this.operations.length - this.visible.length;
    for (let i = from - 1, room = HISTORY; i >= 0 && room > 0; i -= 1) {
      room -= weight(this.operations[i]);
      const first = i === 0 || this.operations[i - 1].tool === "clear";
      if (first && room >= 0) from = i;
    }
    let next = this.undone.length;
    for (let room = HISTORY; next > 0; next -= 1) {
      room -= weight(this.undone[next - 1]);
      if (room < 0) break;
    }
    return { operations: this.operations.slice(from), undone: this.undone.slice(next) };
  }
  saveNow() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.savedRevision === this.revision) return; // another tab may have saved a newer one
    this.savedRevision = this.revision;
    const kept = writeOwn(this.storageKey, JSON.stringify(this.kept()));
    if (!kept && !this.full) say(texts["board.unsaved"]); // storage full or forbidden: drawing goes on
    this.full = !kept;
  }
  load() {
    try {
      const saved = JSON.parse(readOwn(this.storageKey) || "{}");
      const drawn = (list) => (Array.isArray(list) ? list.filter((operation) => operation && operation.tool) : []);
      this.operations = drawn(Array.isArray(saved) ? saved : saved.operations); // earlier pages kept a bare list
      this.undone = drawn(saved.undone);
    } catch (error) {
      console.warn("the saved drawing is unreadable", error);
    }
    this.revision += 1;
    this.savedRevision = this.revision;
  }
}
