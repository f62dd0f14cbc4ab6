// A ring around the pointer, as large as the brush: one sees what a stroke or the eraser will cover before it does.
import { strokeWidth } from "../drawing/pressure.js";
import { PAPER } from "../drawing/geometry.js";

const USUAL_PRESSURE = 0.5; // a mouse's

export class BrushCursor {
  // tools() -> {hand, brush()}; paper has the view's zoom
  constructor(frame, tools, paper) {
    Object.assign(this, { frame, tools, paper, ring: frame.querySelector(".hs-brush-cursor") });
    frame.addEventListener("pointermove", (event) => this.follow(event));
    frame.addEventListener("pointerleave", () => { this.ring.style.opacity = 0; });
  }
  // Fingers hide what is under them anyway.
  follow(event) {
    const seen = event.pointerType !== "touch" && !this.tools().hand;
    this.ring.style.opacity = seen ? 1 : 0;
    if (!seen) return;
    const box = this.frame.getBoundingClientRect();
    const side = strokeWidth(this.tools().brush(), USUAL_PRESSURE) * (box.width / PAPER) * this.paper.view.zoom;
    this.ring.style.width = this.ring.style.height = `${side}px`;
    this.ring.style.transform = `translate(${event.clientX - box.left - side / 2}px, ${event.clientY - box.top - side / 2}px)`;
  }
}
