// Draws operations onto a canvas of hs.PAPER units, a stroke at a time or piece by piece while the pen moves.
(function (hs) {
  "use strict";
  const images = new Map(); // sketches imported as pictures, decoded once

  // The copies a symmetry makes: 0 none, 1 left-right, 2 both axes.
  function mirrors(symmetry) {
    const flips = [[1, 1], [-1, 1], [1, -1], [-1, -1]];
    return flips.slice(0, symmetry === 2 ? 4 : symmetry === 1 ? 2 : 1);
  }

  function widthAt(stroke, pressure) { return Math.max(0.75, stroke.size * (0.35 + 0.65 * pressure)); }

  function piece(context, stroke, i) {
    const p = stroke.points;
    const before = Math.max(0, i - 3);
    const from = Math.max(0, before - 3);
    // A curve through the midpoints, steered by the point between: smooth without lagging behind the pen.
    const start = [(p[from] + p[before]) / 2, (p[from + 1] + p[before + 1]) / 2];
    const end = [(p[before] + p[i]) / 2, (p[before + 1] + p[i + 1]) / 2];
    context.lineWidth = widthAt(stroke, p[i + 2]);
    context.beginPath();
    context.moveTo(start[0], start[1]);
    context.quadraticCurveTo(p[before], p[before + 1], end[0], end[1]);
    context.lineTo(p[i], p[i + 1]);
    context.stroke();
  }

  // Draw points `fromPoint` (an index of points, not numbers) and later of a stroke.
  hs.paintStroke = function (context, stroke, fromPoint) {
    context.save();
    context.lineCap = context.lineJoin = "round";
    context.globalCompositeOperation = stroke.tool === "eraser" ? "destination-out" : "source-over";
    context.strokeStyle = stroke.color || "#000";
    for (const [sx, sy] of mirrors(stroke.symmetry)) {
      context.save();
      context.translate(sx < 0 ? hs.PAPER : 0, sy < 0 ? hs.PAPER : 0);
      context.scale(sx, sy);
      for (let i = (fromPoint || 0) * 3; i < stroke.points.length; i += 3) piece(context, stroke, i);
      context.restore();
    }
    context.restore();
  };

  // Make every picture among the operations ready to be drawn at once.
  hs.prepareImages = function (operations) {
    const missing = operations.filter((operation) => operation.tool === "image" && !images.has(operation.source));
    return Promise.all(missing.map(async ({ source }) => {
      const image = new Image();
      image.src = source;
      await image.decode();
      images.set(source, image);
    }));
  };

  hs.paintAll = function (context, operations) {
    context.clearRect(0, 0, hs.PAPER, hs.PAPER);
    for (const operation of operations) {
      if (operation.tool === "image" && images.has(operation.source)) {
        context.drawImage(images.get(operation.source), 0, 0, hs.PAPER, hs.PAPER);
      } else if (operation.points) {
        hs.paintStroke(context, operation, 0);
      }
    }
  };

  // What is sent of a drawing: its ink in its colours on transparent paper, `side` pixels across. How the model sees it,
  // the server decides (scribble_control): with the alpha channel it knows every pixel's ink and how much of it there is.
  hs.ControlPicture = class {
    constructor() { this.sheet = document.createElement("canvas"); }
    draw(ink, side) {
      this.sheet.width = this.sheet.height = side;
      const context = this.sheet.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(ink, 0, 0, side, side);
      return this.sheet;
    }
    encode(ink, side) {
      const sheet = this.draw(ink, side);
      return new Promise((resolve) => sheet.toBlob(async (blob) => resolve(await blob.arrayBuffer()), "image/png"));
    }
  };
})((window.hypersd = window.hypersd || {}));
