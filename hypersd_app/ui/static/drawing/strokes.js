// The drawing as a list of steps (see document.js), the one truth: undo, redo, autosave and the image sent all come from it.
// Points are flat [x, y, pressure, ...].
import { advance, documentOf, flattened, isBlank, isUsual, usualLayers } from "./document.js";
import { texts } from "../core/bridge.js";
import { say } from "../core/notify.js";
import { readOwn, writeOwn } from "../core/storage.js";

const [SAVE_AFTER, WHILE_DRAWING] = [200, 1000]; // ms
const HISTORY = 60000; // numbers and characters that are kept over a reload for undo, and as many for redo

const LASTING = ["layers", "reference"]; // steps that a cleared drawing does not take with it

const weight = ({ points, source, paths }) => 1 + (points || source || (paths && paths.flat()) || "").length;

export class Drawing {
  constructor(storageKey, onChange) {
    Object.assign(this, { storageKey, onChange, operations: [], undone: [], growing: null, revision: 0, timer: 0 });
    Object.assign(this, { trial: null, state: null, flat: null });
    window.addEventListener("pagehide", () => this.saveNow());
  }
  get current() { return this.operations[this.operations.length - 1]; }
  // What the steps have made, and what is being tried out: {entries: [{id, element}], layers, reference}.
  get document() {
    if (!this.state) {
      this.state = documentOf(this.operations);
      if (this.trial) advance(this.state, this.trial);
    }
    return this.state;
  }
  // The steps that make what is seen again, without its history.
  get visible() {
    this.flat = this.flat || flattened(this.document);
    return this.flat.slice();
  }
  // The visible steps for keeping: finished ones are never changed again and shared, the growing one is copied.
  shared() {
    return this.visible.map((step) => (step === this.growing ? { ...step, points: step.points.slice() } : step));
  }
  get empty() { return isBlank(this.document); }
  get canUndo() { return this.operations.length > 0; }
  get canRedo() { return this.undone.length > 0; }
  forgetState() { this.state = this.flat = null; }

  add(operation) {
    this.finish();
    this.operations.push(operation);
    this.undone = [];
    this.changed(operation);
  }
  // A step as it would be, seen but not kept: what moves with the pointer. null ends that.
  try(step) {
    this.finish();
    this.trial = step;
    this.forgetState();
    this.revision += 1;
  }
  // A stroke grows point by point and is painted as it grows: no full repaint at its begin or end.
  begin(operation) {
    this.finish();
    this.operations.push(operation);
    this.growing = operation;
    this.forgone = this.undone; // should it turn out to be none
    this.undone = [];
    if (this.state) advance(this.state, operation);
    this.flat = null;
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
  // A shape follows the pointer: all its points are others.
  reshape(points) {
    if (!this.growing) return;
    this.growing.points = points;
    this.revision += 1;
    this.save(WHILE_DRAWING);
  }
  // The growing stroke was none: take it back as if it had never begun.
  drop() {
    if (!this.growing) return;
    this.operations.pop();
    this.growing = null;
    this.undone = this.forgone;
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
    const last = this.document.entries.slice(-operations.length || Infinity).map(({ element }) => element);
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
  clear() { if (this.document.entries.length) this.add({ tool: "clear" }); }
  // Another drawing in place of this one, which one undo brings back. Its layers are shown as it says, or as usual.
  replace(operations) {
    const { entries, layers, reference } = this.document;
    const clearing = entries.length ? [{ tool: "clear" }] : [];
    const layering = isUsual(layers) || operations.some(({ tool }) => tool === "layers") ? [] : [{ tool: "layers", layers: usualLayers() }];
    const untraced = reference ? [{ tool: "reference", key: "" }] : []; // it belongs to the drawing of before
    this.addTogether([...clearing, ...untraced, ...layering, ...operations]);
  }
  setLayers(layers) { this.add({ tool: "layers", layers }); }

  // `step` is what came to all that was there already.
  changed(step) {
    this.trial = null;
    this.forgetState();
    this.revision += 1;
    this.save();
    this.onChange(step);
  }
  // Soon, whatever comes meanwhile: a crash in the middle of a long stroke loses a moment of it, not all.
  save(after = SAVE_AFTER) {
    const due = performance.now() + after;
    if (this.timer && due >= this.due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.saveNow(), after);
  }
  // What a reload brings back: the visible drawing with its steps, the whole ones that were cleared before it, and the next steps
  // of redo. The history is bounded; of a cleared drawing undo brings back all or nothing.
  kept() {
    let from = this.operations.findLastIndex(({ tool }) => tool === "clear") + 1;
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
    return { operations: [...this.layersAt(from), ...this.operations.slice(from)], undone: this.undone.slice(next) };
  }
  // Steps that say how layers were shown after the first `count` steps, where that is not as usual.
  layersAt(count) {
    if (!this.operations.slice(0, count).some(({ tool }) => LASTING.includes(tool))) return [];
    const { layers, reference } = documentOf(this.operations.slice(0, count));
    return [...(isUsual(layers) ? [] : [{ tool: "layers", layers }]), ...(reference ? [{ tool: "reference", key: reference }] : [])];
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
    this.forgetState();
    this.revision += 1;
    this.savedRevision = this.revision;
  }
}
