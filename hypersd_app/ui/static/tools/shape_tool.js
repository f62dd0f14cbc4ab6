// Lines, rectangles and ellipses by dragging; polygons corner by corner.
import { polygonPoints, SHAPES, straightened } from "../drawing/shapes.js";

const SMALLEST = 4; // units of the paper: less is a slip of the hand
const HOME = 22; // units of the paper within which a polygon's first corner is meant again

export class ShapeTool {
  constructor(board) { Object.assign(this, { board, kind: "line", from: null, corners: [] }); }
  of(kind) {
    if (kind !== "polygon") this.end();
    this.kind = kind;
    return this;
  }
  down(place, event) {
    const { drawing } = this.board;
    if (this.kind === "polygon" && this.corners.length && drawing.growing) return this.corner(place, event);
    const { closed } = SHAPES[this.kind] || { closed: true };
    const { options } = this.board.tools;
    const brush = this.board.tools.brush();
    this.from = place;
    this.corners = this.kind === "polygon" ? [place] : [];
    drawing.begin({ ...brush, tool: "shape", closed: closed && this.kind !== "polygon", points: polygonPoints([place]), ...(closed && options.filled && { fill: true }) });
    this.board.paper.beginDraft(() => (drawing.growing ? [drawing.growing] : []));
    this.board.tools.busy = true;
    return undefined;
  }
  // The next corner of a polygon, or the first one again, which closes it.
  corner(place, event) {
    const [x, y] = this.corners[0];
    if (this.corners.length > 2 && Math.hypot(place[0] - x, place[1] - y) < HOME / this.board.paper.view.zoom) this.closing = true;
    else this.corners.push(place);
    this.move(place, event);
  }
  move(place, event) {
    const { drawing, paper } = this.board;
    if (!drawing.growing) return;
    const even = event.shiftKey;
    if (this.kind !== "polygon") drawing.reshape(SHAPES[this.kind].points(this.from, place, even));
    else if (!this.closing) {
      const [x, y] = this.corners.at(-1);
      if (this.corners.length === 1 && Math.hypot(place[0] - x, place[1] - y) < HOME / paper.view.zoom) return;
      if (this.corners.length === 1) this.corners.push(place);
      this.corners[this.corners.length - 1] = even ? straightened(this.corners.at(-2), place) : place;
      drawing.reshape(polygonPoints(this.corners));
    }
    paper.schedule();
    this.board.edited(false);
  }
  up() {
    if (this.kind === "polygon" && this.board.drawing.growing && !this.closing) return;
    this.end();
  }
  // The shape is complete; what is too small was none.
  end() {
    const { drawing, paper } = this.board;
    const { growing } = drawing;
    if (this.from && growing && growing.tool === "shape") {
      if (this.kind === "polygon") growing.closed = this.corners.length > 2;
      const [xs, ys] = [0, 1].map((axis) => growing.points.filter((_, i) => i % 3 === axis));
      const across = Math.max(...xs) - Math.min(...xs) + Math.max(...ys) - Math.min(...ys);
      this.forget();
      if (across < SMALLEST) { drawing.drop(); return; }
      drawing.finish();
      if (paper.draft) paper.layers.draft([growing]);
      paper.endDraft();
      paper.layers.show(drawing.document);
      this.board.edited(true);
    }
    this.forget();
  }
  cancel() { this.forget(); }
  forget() { Object.assign(this, { from: null, corners: [], closing: false }); this.board.tools.busy = false; }
  // Enter completes a polygon, Escape takes it back.
  act(name) {
    if (!this.from || !this.board.drawing.growing) return false;
    if (name === "accept") this.end();
    else if (name === "escape") this.board.drawing.drop();
    else return false;
    return true;
  }
}
