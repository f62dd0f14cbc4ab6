// What touches the paper: one pointer draws or moves the view, two fingers move and scale it, everything else waits until all
// fingers are up again. Pure: told of pointers and times, it says what each of them does.
const PALM = 700; // ms after a sign of the pen in which a touch is the hand that holds it
const YOUNG = 250; // ms in which a second finger shows that the first one's stroke was none
const SHORT = 24; // px that a finger moves by chance
const TAP = 400; // ms from the first finger down to the last one up
const TAPS = { 2: "undo", 3: "redo" }; // what a tap of so many fingers does

const [LEFT, MIDDLE, ERASER] = [0, 1, 5]; // of PointerEvent.button; the eraser is the pen's other end

export class Touch {
  constructor() { Object.assign(this, { fingers: new Map(), pointer: null, mode: "", penAt: -Infinity, began: null, tap: null }); }

  get pinching() { return this.mode === "pinch"; }

  // A pen is used with the hand on the paper: touches beside it are no fingers. Hovering counts too.
  isPalm({ pointerType }, now) {
    if (pointerType === "pen") this.penAt = now;
    return pointerType === "touch" && now - this.penAt < PALM;
  }

  // What a pointer that comes down does: "draw", "erase", "pan", "pinch" or "" for nothing. `drop` and `keep` say what becomes
  // of the stroke that another pointer has begun.
  down(event, now, hand) {
    if (this.isPalm(event, now)) return { does: "" };
    const { pointerId, pointerType, button, clientX, clientY } = event;
    let ended = {};
    if (pointerType === "pen" && this.fingers.size) { // what lay there before was the hand
      ended = this.end(now);
      this.fingers.clear();
      this.tap = null;
      this.mode = "";
    }
    if (pointerType === "touch") this.laid(event, now);
    if (this.fingers.size > 2 || this.mode === "pinch") return { does: "" };
    if (this.fingers.size === 2) {
      ended = this.end(now);
      this.mode = "pinch";
      return { does: "pinch", ...ended };
    }
    if (this.pointer !== null || this.mode === "rest" || ![LEFT, MIDDLE, ERASER].includes(button)) return { does: "", ...ended };
    const does = hand || button === MIDDLE ? "pan" : button === ERASER ? "erase" : "draw";
    Object.assign(this, { pointer: pointerId, mode: does, began: { now, x: clientX, y: clientY, far: 0 } });
    return { does, ...ended };
  }

  laid({ pointerId, clientX, clientY }, now) {
    if (!this.fingers.size) this.tap = { now, count: 0, far: 0 };
    this.fingers.set(pointerId, { x: clientX, y: clientY, from: [clientX, clientY] });
    if (this.tap) this.tap.count = Math.max(this.tap.count, this.fingers.size);
  }

  // Whether the pointer that draws has rested where it came down.
  rests(pointerId) { return pointerId === this.pointer && this.mode === "draw" && this.began.far < SHORT / 2; }

  // Where a pointer is now; returns whether it is the one that draws or pans.
  moved({ pointerId, clientX, clientY }) {
    const finger = this.fingers.get(pointerId);
    if (finger) {
      Object.assign(finger, { x: clientX, y: clientY });
      if (this.tap) this.tap.far = Math.max(this.tap.far, Math.hypot(clientX - finger.from[0], clientY - finger.from[1]));
    }
    if (pointerId !== this.pointer) return false;
    this.began.far = Math.max(this.began.far, Math.hypot(clientX - this.began.x, clientY - this.began.y));
    return true;
  }

  // What a pointer that is lifted, cancelled or lost has done: "draw", "erase", "pan", or "undo" and "redo" with the last of
  // several fingers that tapped, or "".
  up({ pointerId }, now) {
    const last = this.fingers.delete(pointerId) && !this.fingers.size;
    const { tap } = this;
    if (last) this.tap = null;
    // The finger that is left of two draws nothing: it was never meant to.
    if (this.mode === "pinch") this.mode = this.fingers.size < 2 ? "rest" : "pinch";
    if (this.mode === "rest" && !this.fingers.size) this.mode = "";
    if (last && tap && now - tap.now < TAP && tap.far < SHORT && TAPS[tap.count]) return TAPS[tap.count];
    if (pointerId !== this.pointer) return "";
    const does = this.mode;
    Object.assign(this, { pointer: null, mode: "" });
    return does;
  }

  // The middle of the first two fingers and how far they are apart.
  get span() {
    const [a, b] = [...this.fingers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, gap: Math.hypot(a.x - b.x, a.y - b.y) };
  }

  end(now) {
    const drawn = this.pointer !== null && this.mode !== "pan";
    this.pointer = null;
    if (!drawn) return {};
    const meant = now - this.began.now >= YOUNG && this.began.far >= SHORT;
    return meant ? { keep: true } : { drop: true };
  }
}
