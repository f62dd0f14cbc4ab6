import assert from "node:assert/strict";
import test from "node:test";
import { isTyping, shortcut, withPrinted } from "../../hypersd_app/ui/static/board/shortcuts.js";

const press = (key, code, more) => shortcut({ key, code, ...more });

test("tools lie at places of the keyboard, whatever is printed there", () => {
  for (const [code, action] of Object.entries({ KeyB: "brush", KeyE: "eraser", KeyF: "fill", KeyU: "shape", KeyI: "pick", KeyV: "select", KeyH: "hand" })) {
    for (const key of [code.at(-1).toLowerCase(), "я", "ü", ";"]) assert.deepEqual(press(key, code), { action }, `${key} at ${code}`);
  }
  assert.deepEqual(press("e", "KeyD"), { action: "dice" }, "Dvorak");
  assert.deepEqual(press("m", "Semicolon"), { action: "symmetry" }, "French: a place without a tool goes by its letter");
  assert.deepEqual(press("ф", "KeyA", { ctrlKey: true }), { action: "selectall" }, "Russian");
});

test("tips name what is printed at a tool's place", () => {
  const printed = new Map([["KeyB", "n"]]);
  assert.equal(withPrinted("Brush (B)", printed), "Brush (N)");
  assert.equal(withPrinted("Undo (Ctrl Z)", printed), "Undo (Ctrl Z)");
  assert.equal(withPrinted("Eraser (E)", printed), "Eraser (E)");
});

test("signs and what goes with Ctrl go by what is printed", () => {
  assert.deepEqual(press("b", "KeyB"), { action: "brush" });
  assert.deepEqual(press("B", "KeyB", { shiftKey: true }), { action: "brush" });
  assert.deepEqual(press("+", "BracketRight"), { action: "zoomin" }, "a German keyboard's plus");
  assert.deepEqual(press("[", "BracketLeft"), { action: "smaller" });
  assert.deepEqual(press("[", "Digit8", { altKey: true, ctrlKey: false }), { action: "smaller" }, "a German keyboard, with AltGr");
  assert.deepEqual(press("Delete", "Delete"), { action: "clear" });
  assert.equal(press("q", "KeyQ"), null);
  assert.equal(press("Tab", "Tab"), null);
});

test("or by their place, where other letters are printed on them", () => {
  assert.deepEqual(press("и", "KeyB"), { action: "brush" }, "Russian");
  assert.deepEqual(press("ε", "KeyE"), { action: "eraser" }, "Greek");
  assert.deepEqual(press("ü", "BracketLeft"), { action: "smaller" }, "German");
  assert.deepEqual(press("&", "Digit1"), { ink: 0 }, "French");
  assert.deepEqual(press("я", "KeyZ", { ctrlKey: true }), { action: "undo" });
});

test("inks and undo", () => {
  assert.deepEqual(press("8", "Digit8"), { ink: 7 });
  assert.deepEqual(press("9", "Digit9"), { ink: 8 });
  assert.deepEqual(press("0", "Digit0"), { action: "fit" });
  assert.deepEqual(press("z", "KeyZ", { metaKey: true }), { action: "undo" });
  assert.deepEqual(press("Z", "KeyZ", { ctrlKey: true, shiftKey: true }), { action: "redo" });
  assert.deepEqual(press("z", "KeyY", { ctrlKey: true }), { action: "undo" }, "a German keyboard");
  assert.equal(press("b", "KeyB", { ctrlKey: true }), null);
  assert.equal(press("b", "KeyB", { altKey: true }), null);
});

test("nothing fires while somebody writes", () => {
  const at = (matches, more) => ({ composedPath: () => [{ closest: (selector) => matches && selector.includes(matches), isContentEditable: false, ...more }] });
  assert.equal(isTyping(at("textarea")), true);
  assert.equal(isTyping(at("[role=textbox]")), true);
  assert.equal(isTyping(at(null, { isContentEditable: true })), true);
  assert.equal(isTyping({ ...at(null), isComposing: true }), true);
  assert.equal(isTyping(at(null)), false);
});
