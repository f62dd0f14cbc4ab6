// A faint picture under the ink, sketches brought in from files, and turning a picture into lines.
(function (hs) {
  "use strict";
  const SIDE = 512;

  async function picture(source) {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
  }

  // The pixels of a picture fitted into a white square, RGBA.
  function fitted(image) {
    const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    const scale = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
    const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
    context.drawImage(image, (SIDE - w) / 2, (SIDE - h) / 2, w, h);
    return context.getImageData(0, 0, SIDE, SIDE).data;
  }

  // Grey values 0..1.
  function greys(image) {
    const data = fitted(image);
    return Float32Array.from({ length: SIDE * SIDE }, (_, i) => (0.3 * data[4 * i] + 0.59 * data[4 * i + 1] + 0.11 * data[4 * i + 2]) / 255);
  }

  // An operation with ink where `alpha` (0..1 a pixel) says, of the colour `colorOf(i)` of each pixel.
  function inkOperation(alpha, colorOf = () => [34, 37, 43]) {
    const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(SIDE, SIDE);
    alpha.forEach((value, i) => pixels.data.set([...colorOf(i), 255 * value], 4 * i));
    context.putImageData(pixels, 0, 0);
    return { tool: "image", source: canvas.toDataURL("image/png") };
  }

  // A drawing's lines: what differs from its paper, whichever of the two is dark, in their colours. On dark paper
  // lightness is turned round and the hue kept: white chalk becomes black ink, red stays red.
  hs.sketchToInk = async function (source) {
    const data = fitted(await picture(source));
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
    const dark = sum / (0.75 * data.length) < 128;
    const inks = Array.from({ length: SIDE * SIDE }, (_, i) => {
      const color = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
      const turn = dark ? 255 - Math.max(...color) - Math.min(...color) : 0;
      return color.map((value) => value + turn);
    });
    const lines = Float32Array.from(inks, (color) => 1 - Math.min(...color) / 255);
    return inkOperation(lines.map((value) => Math.min(1, Math.max(0, (value - 0.25) / 0.35))), (i) => inks[i]);
  };

  // A grey picture as ink: the brighter, the more.
  hs.greysToInk = async (source) => inkOperation(greys(await picture(source)));

  function blur(values) {
    const pass = (input, step) => input.map((value, i) =>
      ((input[i - 2 * step] ?? value) + 4 * (input[i - step] ?? value) + 6 * value + 4 * (input[i + step] ?? value) + (input[i + 2 * step] ?? value)) / 16);
    return pass(pass(values, 1), SIDE);
  }

  // Edges of a picture as thin lines: blur, Sobel, keep the crest of every slope (Canny's first three steps).
  hs.edgesToInk = async function (source) {
    const v = blur(blur(greys(await picture(source))));
    const strength = new Float32Array(v.length);
    const flat = new Uint8Array(v.length);
    for (let y = 1; y < SIDE - 1; y += 1) {
      for (let x = 1; x < SIDE - 1; x += 1) {
        const i = y * SIDE + x;
        const gx = v[i + 1 - SIDE] + 2 * v[i + 1] + v[i + 1 + SIDE] - v[i - 1 - SIDE] - 2 * v[i - 1] - v[i - 1 + SIDE];
        const gy = v[i + SIDE - 1] + 2 * v[i + SIDE] + v[i + SIDE + 1] - v[i - SIDE - 1] - 2 * v[i - SIDE] - v[i - SIDE + 1];
        strength[i] = Math.hypot(gx, gy);
        flat[i] = Math.abs(gx) > Math.abs(gy) ? 1 : 0;
      }
    }
    const crest = (s, i) => s > 0.22 && s >= strength[i + (flat[i] ? 1 : SIDE)] && s >= strength[i - (flat[i] ? 1 : SIDE)];
    const lines = new Float32Array(v.length);
    strength.forEach((s, i) => {
      if (i > SIDE && i < v.length - SIDE && crest(s, i)) for (const near of [0, 1, -1, SIDE, -SIDE]) lines[i + near] = 1;
    });
    return inkOperation(lines);
  };

  hs.Trace = class {
    constructor(element, board) {
      Object.assign(this, { board, image: element.querySelector(".hs-trace"), tools: element.querySelector(".hs-trace-tools") });
      this.opacity = element.querySelector(".hs-trace-opacity");
      this.opacity.addEventListener("input", () => this.fade());
      for (const input of element.querySelectorAll(".hs-file")) {
        input.addEventListener("change", () => { if (input.files[0]) this.file(input.files[0], input.dataset.file); input.value = ""; });
      }
      window.addEventListener("paste", (event) => this.paste(event, element));
    }
    paste(event, element) {
      const item = [...(event.clipboardData ? event.clipboardData.files : [])].find((file) => file.type.startsWith("image/"));
      if (item && element.offsetParent) this.file(item, "trace");
    }
    async file(file, role) {
      const url = URL.createObjectURL(file);
      try {
        if (role === "sketch") this.board.drawing.add(await hs.sketchToInk(url));
        else await this.use(url);
      } catch (error) {
        this.board.setNotice(`${file.name}: ${error.message}`);
      } finally {
        URL.revokeObjectURL(url);
      }
    }
    // Keeps its own copy: the picture shown may be gone when the next one comes.
    async use(url) {
      const image = await picture(url);
      const canvas = Object.assign(document.createElement("canvas"), { width: image.naturalWidth, height: image.naturalHeight });
      canvas.getContext("2d").drawImage(image, 0, 0);
      this.show(canvas.toDataURL("image/png"));
      hs.keep("trace", this.image.src);
    }
    show(source) {
      this.image.src = source;
      this.image.hidden = this.tools.hidden = false;
      this.fade();
    }
    // The picture of before a reload.
    async load() {
      const source = await hs.kept("trace");
      if (source && !this.image.getAttribute("src")) this.show(source);
    }
    fade() { this.image.style.opacity = Number(this.opacity.value) / 100; }
    // Edges are found here; what the other control kinds read of a picture (depth, line art), the server's detectors find.
    async toLines() {
      const { control, model } = this.board.settings;
      if (!control.name || control.name.startsWith("scribble")) {
        this.board.drawing.add(await hs.edgesToInk(this.image.src));
        return this.remove();
      }
      const bytes = hs.fromBase64(this.image.src.split(",")[1]);
      const answer = await hs.callServer("annotate", { kind: control.name, model: model.name }, bytes);
      if (!answer.png) return this.board.setNotice(answer.message);
      this.board.drawing.add(await hs.greysToInk(`data:image/png;base64,${answer.png}`));
      return this.remove();
    }
    remove() {
      this.image.hidden = this.tools.hidden = true;
      this.image.removeAttribute("src");
      hs.forget("trace");
    }
  };
})((window.hypersd = window.hypersd || {}));
