// The drawing as a list of operations, the one truth: undo, redo, autosave and the picture sent all come from it.
// Coordinates are 0..1024 across the paper; points are flat [x, y, pressure, ...].
(function (hs) {
  "use strict";
  hs.PAPER = 1024;
  const [SAVE_AFTER, WHILE_DRAWING] = [200, 1000]; // ms

  hs.Drawing = class {
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
    get empty() { return !this.visible.some((operation) => operation.tool !== "eraser"); }

    add(operation) {
      this.operations.push(operation);
      this.undone = [];
      this.changed();
    }
    // A stroke grows point by point and is painted as it grows: no full repaint at its begin or end.
    begin(operation) {
      this.operations.push(operation);
      this.growing = operation;
      this.undone = [];
      this.revision += 1;
    }
    finish() { this.growing = null; this.revision += 1; this.save(); }
    extend(x, y, pressure) {
      this.current.points.push(Math.round(x * 4) / 4, Math.round(y * 4) / 4, Math.round(pressure * 100) / 100);
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
      const group = `${Date.now().toString(36)}-${this.revision}`;
      this.operations.push(...operations.map((operation) => ({ ...operation, group })));
      this.undone = [];
      this.changed();
    }
    undo() { return this.move(this.operations, this.undone); }
    redo() { return this.move(this.undone, this.operations); }
    // One step from the end of one list to the other.
    move(from, to) {
      if (!from.length) return false;
      const { group } = from[from.length - 1];
      do to.push(from.pop()); while (group && from.length && from[from.length - 1].group === group);
      this.changed();
      return true;
    }
    clear() { if (this.visible.length) this.add({ tool: "clear" }); }
    // Another drawing in place of this one, which undo brings back.
    replace(operations) {
      const clearing = this.visible.length ? [{ tool: "clear" }] : [];
      this.operations = [...this.operations, ...clearing, ...operations];
      this.undone = [];
      this.changed();
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
    saveNow() {
      clearTimeout(this.timer);
      this.timer = 0;
      try {
        localStorage.setItem(this.storageKey, JSON.stringify(this.visible));
        this.full = false;
      } catch (error) {
        console.warn("the drawing could not be saved", error); // storage full or forbidden: drawing goes on
        if (!this.full) hs.say(hs.texts["board.unsaved"]);
        this.full = true;
      }
    }
    load() {
      try {
        const saved = JSON.parse(localStorage.getItem(this.storageKey) || "[]");
        if (Array.isArray(saved)) this.operations = saved.filter((operation) => operation && operation.tool);
      } catch (error) {
        console.warn("the saved drawing is unreadable", error);
      }
      this.revision += 1;
    }
  };
})((window.hypersd = window.hypersd || {}));
