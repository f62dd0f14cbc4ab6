// The eyedropper: the colour of what is seen at a place.
export class PickTool {
  constructor(board) {
    this.board = board;
    board.output.addEventListener("click", (event) => this.clicked(event));
  }
  down([x, y]) { this.take(x, y); }
  move([x, y]) { this.take(x, y); }
  up() { this.board.tools.picked(); }
  cancel() {}
  take(x, y) {
    const { world } = this.board.paper;
    const layers = [...world.querySelectorAll("img, canvas.hs-ink")].filter((each) => each.checkVisibility({ visibilityProperty: true }));
    const depth = (each) => Number(getComputedStyle(each).zIndex) || 0;
    layers.sort((a, b) => depth(a) - depth(b));
    this.board.tools.ink(colorAt(layers, x, y));
  }
  // The image beside the paper has colours too.
  clicked(event) {
    if (this.board.tools.tool !== "pick") return;
    const box = this.board.output.getBoundingClientRect();
    const at = (client, start, side) => (1024 * (client - start)) / side;
    this.board.tools.ink(colorAt([this.board.output], at(event.clientX, box.left, box.width), at(event.clientY, box.top, box.height)));
    this.board.tools.picked();
  }
}

// The colour at a place (0..1024) of images over each other on white paper, as "#rrggbb".
function colorAt(layers, x, y) {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, 1, 1);
  for (const layer of layers) {
    const side = layer.naturalWidth || layer.width;
    if (!side) continue;
    context.globalAlpha = Number(layer.style.opacity || 1);
    const tall = layer.naturalHeight || layer.height;
    const scale = Math.max(side, tall) / 1024; // fitted into the square paper
    context.drawImage(layer, x * scale - (Math.max(side, tall) - side) / 2, y * scale - (Math.max(side, tall) - tall) / 2, 1, 1, 0, 0, 1, 1);
  }
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return `#${[r, g, b].map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}
