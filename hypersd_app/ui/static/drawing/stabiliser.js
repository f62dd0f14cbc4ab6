// A steadier hand: the line follows the pen as if drawn on a string, and its pressure does not jump.
const STRONGEST = 0.9; // share of the way to the pen that a point stays behind
const PRESSURE = 0.5; // of that for the pressure
const LAST = 6; // points of the rest of the way

export class Stabiliser {
  // `strength` 0..1; 0 leaves everything as it is
  constructor(strength) { Object.assign(this, { lag: STRONGEST * strength, last: null }); }
  // The point to draw for where the pen is now.
  follow(x, y, pressure) {
    const { lag, last } = this;
    const between = (before, now, share) => now + (before - now) * share;
    this.last = last && lag
      ? [between(last[0], x, lag), between(last[1], y, lag), between(last[2], pressure, lag * PRESSURE)]
      : [x, y, pressure];
    this.pen = [x, y, pressure];
    return this.last;
  }
  // The rest of the way when the pen is lifted: the line ends where the pen was.
  rest() {
    if (!this.lag || !this.last) return [];
    const [x, y] = this.pen;
    const points = [];
    for (let i = 0; i < LAST && Math.hypot(this.last[0] - x, this.last[1] - y) > 1; i += 1) points.push(this.follow(x, y, this.last[2]));
    return [...points, [x, y, this.last[2]]];
  }
}

// Pressure as this hand means it, 0..1: `softness` -1 (press hard) to 1 (a feather is enough), 0 as the pen says.
export const felt = (pressure, softness) => pressure ** (2 ** -softness);
