// Images on their way out of the page: cut out, large, as PNG, WebP or SVG; copied, dragged, shared; several as one pack.
import { fullPng } from "../board/save.js";
import { callServer, texts } from "../core/bridge.js";
import { copyImage, download, say, share } from "../core/notify.js";
import { recipeName } from "../core/recipes.js";
import { readOwn, writeOwn } from "../core/storage.js";
import { fromBase64, packParts } from "../core/wire.js";
import { svgOf } from "../drawing/svg.js";

const KEY = "hypersd.stickers";
const EDGE = 0.03; // of the side: a die-cut edge
const MOST = 60; // in a pack
const PREVIEW = 512; // px
const TYPES = { png: "image/png", webp: "image/webp", svg: "image/svg+xml" };

export class Stickers {
  constructor(element, board) {
    Object.assign(this, { element, board, pack: [], source: null, turn: 0 });
    this.one = (selector) => element.querySelector(selector);
    [this.panel, this.size, this.edge, this.preview] = ["#hs-sticker", ".hs-sticker-size", ".hs-sticker-edge", ".hs-sticker-preview"].map(this.one);
    const [size, edge] = (readOwn(KEY) || "1024 false").split(" ");
    this.size.value = size;
    if (!this.size.value) this.size.value = "1024";
    this.edge.checked = edge === "true";
    for (const input of [this.size, this.edge]) input.addEventListener("change", () => { writeOwn(KEY, `${this.size.value} ${this.edge.checked}`); this.show(); });
    this.panel.addEventListener("hs-open", () => this.show());
    this.preview.addEventListener("dragstart", (event) => this.drag(event));
    for (const button of this.panel.querySelectorAll("[data-out]")) button.addEventListener("click", () => this.busy(() => this[button.dataset.out]()));
    this.showPack();
  }
  get outline() { return this.edge.checked ? EDGE : 0; }
  // One thing after another; what goes wrong is said.
  async busy(work) {
    this.panel.setAttribute("aria-busy", "true");
    try { await work(); } catch (error) { say(error.message); } finally { this.panel.removeAttribute("aria-busy"); }
  }
  // The full-quality PNG of what is shown, made once for each recipe: {bytes, name}.
  async image() {
    const recipe = this.board.recipeToSave();
    const key = JSON.stringify(recipe);
    if (!this.source || this.source.key !== key) this.source = { key, made: fullPng(recipe), name: recipeName(recipe), recipe };
    const { source } = this;
    const bytes = await source.made.catch((error) => { this.source = null; throw error; });
    return { bytes, name: source.name };
  }
  async file(format, size = Number(this.size.value)) {
    const { bytes, name } = await this.image();
    const answer = await callServer("sticker", { size, outline: this.outline, format }, bytes);
    if (!answer.file) throw new Error(answer.message);
    return new File([fromBase64(answer.file)], `${name}.${format}`, { type: TYPES[format] });
  }
  async show() {
    const turn = (this.turn += 1);
    this.preview.setAttribute("aria-busy", "true");
    await this.busy(async () => {
      const file = await this.file("png", Math.min(PREVIEW, Number(this.size.value)));
      if (turn !== this.turn) return;
      URL.revokeObjectURL(this.preview.src);
      this.preview.src = URL.createObjectURL(file);
      this.preview.hidden = false;
      this.name = file.name;
      this.dragged = null;
      if (Number(this.size.value) > PREVIEW) this.dragged = await this.file("png").catch(() => null); // what is dragged out can't be made on its way
      if (turn === this.turn && this.dragged) this.preview.src = URL.createObjectURL(this.dragged);
    });
    if (turn === this.turn) this.preview.removeAttribute("aria-busy");
  }
  // Out of the page, into another window or a folder.
  drag(event) { event.dataTransfer.setData("DownloadURL", `image/png:${this.name}:${this.preview.src}`); }
  async png() { const file = await this.file("png"); download(file, file.name); }
  async svg() { const file = await this.file("svg"); download(file, file.name); }
  async strokes() {
    const operations = this.board.drawing.visible;
    if (this.board.drawing.empty) return say(texts["sticker.nostrokes"]);
    return download(new Blob([svgOf(operations)], { type: TYPES.svg }), "drawing.svg");
  }
  copy() { return copyImage(this.file("png")); }
  async share() { return share(await this.file("png")); }
  // --- several together ---
  async collect() {
    if (this.pack.length >= MOST) return say(texts["sticker.full"].replace("{count}", MOST));
    const { bytes } = await this.image();
    const small = await this.file("webp", 256);
    this.pack.push({ bytes, url: URL.createObjectURL(small) });
    return this.showPack();
  }
  async zip() {
    const data = await packParts(this.pack.map(({ bytes }) => new Blob([bytes])));
    const answer = await callServer("sticker_pack", { outline: this.outline }, data);
    if (!answer.file) throw new Error(answer.message);
    download(new Blob([fromBase64(answer.file)], { type: "application/zip" }), "stickers.zip");
  }
  showPack() {
    this.one(".hs-pack").replaceChildren(...this.pack.map((each) => {
      const button = Object.assign(document.createElement("button"), { type: "button", title: texts["sticker.out"] });
      button.setAttribute("aria-label", texts["sticker.out"]);
      button.append(Object.assign(new Image(), { src: each.url, alt: "" }));
      button.addEventListener("click", () => {
        URL.revokeObjectURL(each.url);
        this.pack = this.pack.filter((other) => other !== each);
        this.showPack();
      });
      return button;
    }));
    this.one('[data-out="zip"]').hidden = !this.pack.length;
    this.one('[data-out="zip"]').textContent = texts["sticker.zip"].replace("{count}", this.pack.length);
  }
}
