// The layers: which one is drawn on, and how each is shown. What the model is given of them can be looked at.
import { texts } from "../core/bridge.js";
import { INK_LAYERS, usualLayers } from "../drawing/document.js";
import { pngOf } from "../board/png.js";

const LOOK_AFTER = 120; // ms without a change

export class LayersPanel {
  constructor(element, board) {
    Object.assign(this, { board, list: element.querySelector(".hs-layers"), given: element.querySelector(".hs-given"), timer: 0 });
    this.rows = new Map(usualLayers().order.map((name) => [name, this.row(name)]));
    this.panel = this.list.closest("[popover], .hs-popover");
    this.panel.addEventListener("hs-open", () => this.look());
  }
  get layers() { return structuredClone(this.board.drawing.document.layers); }
  row(name) {
    const row = document.createElement("li");
    row.dataset.layer = name;
    const said = texts[`layer.${name}`];
    row.innerHTML = '<button type="button" class="hs-eye"></button><button type="button" class="hs-layer-name"></button>'
      + '<input type="range" min="0" max="100" step="5"><button type="button" class="hs-plain hs-raise">↑</button>';
    const [eye, choose, opacity, raise] = row.children;
    eye.setAttribute("aria-label", texts["layer.show"].replace("{name}", said));
    eye.title = texts["layer.show"].replace("{name}", said);
    eye.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z"/><circle cx="12" cy="12" r="3"/><path class="hs-closed" d="M4 20 20 4"/></svg>';
    choose.textContent = said;
    choose.disabled = !INK_LAYERS.includes(name);
    opacity.setAttribute("aria-label", texts["layer.opacity"].replace("{name}", said));
    raise.setAttribute("aria-label", texts["layer.raise"].replace("{name}", said));
    raise.title = texts["layer.raise"].replace("{name}", said);
    eye.addEventListener("click", () => this.set((layers) => { layers.shown[name] = !layers.shown[name]; }));
    choose.addEventListener("click", () => this.board.tools.drawOn(name));
    opacity.addEventListener("input", () => this.fade(name, Number(opacity.value) / 100));
    opacity.addEventListener("change", () => this.set((layers) => { layers.opacity[name] = Number(opacity.value) / 100; }));
    raise.addEventListener("click", () => this.raise(name));
    return row;
  }
  set(change) {
    const { layers } = this;
    change(layers);
    this.board.drawing.setLayers(layers);
  }
  // While the slider moves the layer is seen to fade; only where it stops is a step of undo.
  fade(name, opacity) {
    const { layers } = this;
    layers.opacity[name] = opacity;
    const { drawing, paper } = this.board;
    drawing.try({ tool: "layers", layers });
    paper.layers.show(drawing.document);
    this.board.edited(false);
    this.look();
  }
  raise(name) {
    this.set(({ order }) => {
      const at = order.indexOf(name);
      if (at === order.length - 1) order.unshift(...order.splice(at, 1)); // from the top to the bottom
      else [order[at], order[at + 1]] = [order[at + 1], order[at]];
    });
    this.rows.get(name).querySelector(".hs-raise").focus();
  }
  // Called with every change of the drawing but those of a growing stroke.
  show() {
    const { layers } = this.board.drawing.document;
    const key = JSON.stringify([layers, this.board.tools.layer]);
    if (this.shown !== key) {
      this.shown = key;
      if ([...this.list.children].map((row) => row.dataset.layer).join() !== [...layers.order].reverse().join()) this.list.replaceChildren(...[...layers.order].reverse().map((name) => this.rows.get(name)));
      for (const [name, row] of this.rows) this.mark(name, row, layers);
    }
    this.look();
  }
  mark(name, row, layers) {
    const [eye, choose, opacity] = row.children;
    eye.setAttribute("aria-pressed", String(layers.shown[name]));
    row.classList.toggle("hs-unseen", !layers.shown[name]);
    choose.setAttribute("aria-pressed", String(this.board.tools.layer === name));
    opacity.value = Math.round(100 * layers.opacity[name]);
  }
  // What the model is given, while the panel is open.
  look() {
    if (!this.panel || this.panel.hidden) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const blob = new Blob([await pngOf(this.board.paper.control.canvas)], { type: "image/png" });
      URL.revokeObjectURL(this.given.src);
      this.given.src = URL.createObjectURL(blob);
    }, LOOK_AFTER);
  }
}
