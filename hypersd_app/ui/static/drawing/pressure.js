// Pressure of pens, and the width of a line that it makes.
const USUAL = 0.5; // of what has no pressure: a mouse, most fingers
const THINNEST = 0.75; // units of the paper

// 0..1. A pen tells 0 as it leaves the paper; a mouse always tells the same, and fingers mostly 0.
export function pressureOf({ pointerType, pressure }) {
  if (pointerType === "pen") return pressure;
  return pointerType === "mouse" || !pressure ? USUAL : pressure;
}

// From a tenth of the brush for a feather's touch to all of it; the usual pressure gives what it always gave.
export const strokeWidth = ({ size }, pressure) => Math.max(THINNEST, size * (0.1 + 1.4 * pressure - 0.5 * pressure * pressure));
