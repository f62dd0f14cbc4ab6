// The bucket: the area around a place gets the ink's colour, on the layer of colours; a line gets it itself.
import { texts } from "../core/bridge.js";
import { say } from "../core/notify.js";
import { layerOf, touches } from "../drawing/elements.js";
import { filledPaths } from "../drawing/flood.js";
import { PAPER } from "../drawing/geometry.js";

const SIDE = 512; // px that areas are found in

export class FillTool {
  constructor(board) { this.board = board; }
  // Only once the pointer is up: a finger may be the first of two.
  down(place) { this.place = place; }
  up() {
    const { drawing, tools, paper } = this.board;
    const [x, y] = this.place;
    if (!(x >= 0 && y >= 0 && x < PAPER && y < PAPER)) return undefined;
    const line = this.lineAt(x, y);
    if (line) return drawing.add({ tool: "change", ids: [line.id], values: { color: tools.color } });
    const { tolerance, gap } = tools.options;
    const paths = filledPaths(paper.layers.pixels(drawing.document, SIDE), x, y, { tolerance, gap });
    if (!paths.length) return say(texts["board.nofill"]);
    return drawing.add({ tool: "fill", layer: "color", color: tools.color, paths });
  }
  // The stroke or shape at a place that is seen there, none where only an area is.
  lineAt(x, y) {
    const { entries, layers } = this.board.drawing.document;
    const found = entries.findLast(({ element }) => element.points && layers.shown[layerOf(element) || "lines"] && touches({ ...element, fill: false }, x, y, 0));
    return found && found.element.tool !== "eraser" ? found : null;
  }
  move() {}
  cancel() {}
}
