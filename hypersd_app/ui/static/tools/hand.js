// What the chosen tool does with a pointer on the paper: the brush draws, and for every other tool there is a gesture
// {down(place, event), move(place, event), up(), cancel()}; places are [x, y] in units of the paper.
import { isClosed } from "../drawing/elements.js";
import { FillTool } from "./fill_tool.js";
import { PickTool } from "./pick_tool.js";
import { SelectTool } from "./select_tool.js";
import { ShapeTool } from "./shape_tool.js";

export class Hand {
  constructor(board) {
    this.board = board;
    Object.assign(this, { fill: new FillTool(board), pick: new PickTool(board), select: new SelectTool(board), shape: new ShapeTool(board) });
  }
  gesture(event) {
    const { tool, options } = this.board.tools;
    if (tool !== "shape" || options.shape !== "polygon") this.shape.end();
    if (event.altKey && tool !== "select") return this.pick;
    if (tool === "brush" && event.shiftKey) return this.shape.of("line");
    if (tool === "shape") return this.shape.of(options.shape);
    return { fill: this.fill, pick: this.pick, select: this.select }[tool] || null;
  }
  // A stroke is about to be complete.
  finishing(stroke) {
    if (this.board.tools.options.filled && stroke.tool === "brush" && isClosed(stroke)) stroke.fill = true;
  }
  // Something else has changed the drawing: whatever is half done is not gone on with.
  interrupt() {
    this.shape.forget();
    this.select.show();
  }
  // Another tool was chosen.
  switched() {
    this.shape.end();
    this.select.show();
  }
  // Keys that mean something to the tool in hand; true if it took one.
  act(name) { return this.shape.act(name) || this.select.act(name); }
}
