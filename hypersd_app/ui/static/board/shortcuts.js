// Which action a key asks for. Tools lie at places of the keyboard, whatever is printed there; signs and what goes with Ctrl go by
// what is printed. A key whose place means nothing goes by what is printed on it too.
const PLACES = { KeyB: "brush", KeyE: "eraser", KeyF: "fill", KeyU: "shape", KeyI: "pick", KeyV: "select", KeyH: "hand", KeyM: "symmetry",
  KeyD: "dice", KeyS: "save", KeyO: "layout", KeyL: "live", KeyX: "filled", KeyK: "fullscreen",
  BracketLeft: "smaller", BracketRight: "larger", Minus: "zoomout", Equal: "zoomin" };
const SIGNS = { "[": "smaller", "]": "larger", "+": "zoomin", "=": "zoomin", "-": "zoomout", 0: "fit", Delete: "clear", Backspace: "clear",
  Escape: "escape", Enter: "accept", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const WITH_CTRL = { z: "undo", y: "redo", d: "duplicate", a: "selectall" };
const INKS = 9;

// The digit, or the Latin letter of the key's place where it prints none.
function keyOf({ key, code }) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  if (digit && !"+-[]=".includes(key)) return digit[1]; // French keyboards have other signs there
  if (key.length > 1) return key;
  return /^[\x20-\x7e]$/.test(key) ? key.toLowerCase() : code.replace(/^Key/, "").toLowerCase();
}

// {action} or {ink: 0..8}, null for a key that means nothing here.
export function shortcut(event) {
  const key = keyOf(event);
  if (event.ctrlKey || event.metaKey) {
    const action = key === "z" && event.shiftKey ? "redo" : WITH_CTRL[key];
    return action ? { action } : null;
  }
  if (event.altKey && !TYPED_WITH_ALT.includes(key)) return null;
  if (/^[1-9]$/.test(key)) return Number(key) <= INKS ? { ink: Number(key) - 1 } : null;
  const action = SIGNS[key] || PLACES[event.code] || PLACES[`Key${key.toUpperCase()}`];
  return action ? { action } : null;
}
const TYPED_WITH_ALT = ["[", "]"]; // with AltGr on many keyboards

// Whether somebody is writing: in a field, in an editor, or in the middle of a composed character.
export function isTyping(event) {
  if (event.isComposing || event.defaultPrevented) return true;
  const [target] = event.composedPath ? event.composedPath() : [event.target];
  if (!target || !target.closest) return false;
  return target.isContentEditable || Boolean(target.closest("input:not([type=range]), textarea, select, [contenteditable], [role=textbox]"));
}

// A text that names a key by its place, "Brush (B)", with the letter that this keyboard prints there; `printed` is a KeyboardLayoutMap.
export const withPrinted = (words, printed) => words.replace(/\(([A-Z])\)$/, (whole, letter) => {
  const there = printed.get(`Key${letter}`);
  return there ? `(${there.toUpperCase()})` : whole;
});
