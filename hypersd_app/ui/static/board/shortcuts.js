// Which action a key asks for. A key goes by what is printed on it; where that is no Latin letter or sign, as on Cyrillic and
// Greek keyboards, by its place.
const KEYS = { b: "brush", e: "eraser", h: "hand", m: "symmetry", d: "dice", s: "save", o: "layout", l: "live", 0: "fit",
  "[": "smaller", "]": "larger", "+": "zoomin", "=": "zoomin", "-": "zoomout", Delete: "clear", Backspace: "clear" };
const PLACES = { BracketLeft: "[", BracketRight: "]", Minus: "-", Equal: "=" };
const INKS = 8;

function keyOf({ key, code }) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  if (digit && !"+-[]=".includes(key)) return digit[1]; // French keyboards have other signs there
  if (key.length > 1 || /^[\x20-\x7e]$/.test(key)) return key.length > 1 ? key : key.toLowerCase();
  return PLACES[code] || code.replace(/^Key/, "").toLowerCase();
}

// {action} or {ink: 0..7}, null for a key that means nothing here.
export function shortcut(event) {
  const key = keyOf(event);
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") return { action: event.shiftKey ? "redo" : "undo" };
    return key === "y" ? { action: "redo" } : null;
  }
  if (event.altKey && !PLACES_OF_ALT.includes(key)) return null;
  if (/^[1-9]$/.test(key)) return Number(key) <= INKS ? { ink: Number(key) - 1 } : null;
  return KEYS[key] ? { action: KEYS[key] } : null;
}
const PLACES_OF_ALT = ["[", "]"]; // typed with AltGr on many keyboards

// Whether somebody is writing: in a field, in an editor, or in the middle of a composed character.
export function isTyping(event) {
  if (event.isComposing || event.defaultPrevented) return true;
  const [target] = event.composedPath ? event.composedPath() : [event.target];
  if (!target || !target.closest) return false;
  return target.isContentEditable || Boolean(target.closest("input:not([type=range]), textarea, select, [contenteditable], [role=textbox]"));
}
