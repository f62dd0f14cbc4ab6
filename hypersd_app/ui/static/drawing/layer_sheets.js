// The canvases of the layers with ink: one each for the screen and for what the model is given.
import { INK_LAYERS, inkLayers, elementsOn } from "./document.js";
import { isEraser, isOn } from "./elements.js";
import { controlSheet, paintElement, paintLayer, Sheet, stack } from "./painter.js";

export class LayerSheets {
  // `world` has a canvas.hs-ink for each layer, and what lies between them
  constructor(world) {
    this.all = INK_LAYERS.map((name) => {
      const canvas = world.querySelector(`.hs-ink[data-layer="${name}"]`);
      return { name, canvas, sheets: [new Sheet(canvas), controlSheet()], kept: null };
    });
    this.whole = controlSheet(); // all layers, where there are several
    this.reference = world.querySelector(".hs-reference");
  }
  layer(name) { return this.all.find((layer) => layer.name === name); }
  // The canvases that an element is painted on.
  of(element) { return this.all.filter(({ name }) => isOn(element, name)).flatMap(({ sheets }) => sheets); }
  // Whether any has another number of pixels now; it is empty then.
  fit(inkSide, controlSide) {
    const changed = this.all.map(({ sheets: [ink, control] }) => [ink.resize(inkSide), control.resize(controlSide)]).flat();
    this.whole.resize(controlSide);
    return changed.includes(true);
  }
  repaint(drawing, growing) {
    for (const { name, sheets } of this.all) {
      const elements = elementsOn(drawing, name);
      for (const sheet of sheets) paintLayer(sheet.context, elements, growing);
    }
    this.show(drawing);
  }
  // Order, strength and visibility on the screen. A layer without ink is not there: without a GPU each costs time in every frame.
  show({ layers: { order, shown, opacity }, entries }) {
    for (const { name, canvas } of this.all) {
      const used = entries.some(({ element }) => !isEraser(element) && isOn(element, name));
      this.place(canvas, { there: shown[name] && (used || name === "lines"), opacity: opacity[name], above: order.indexOf(name) });
    }
    const source = this.reference.getAttribute("src");
    this.place(this.reference, { there: shown.reference && source, opacity: opacity.reference, above: order.indexOf("reference") });
  }
  place(element, { there, opacity, above }) {
    element.hidden = !there;
    Object.assign(element.style, { opacity, zIndex: above });
  }
  // What the model is given: the shown layers with ink, over each other.
  composed(drawing) {
    const layers = inkLayers(drawing);
    if (layers.length === 1 && layers[0].opacity === 1) return this.layer(layers[0].name).sheets[1];
    const { context, canvas } = this.whole;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.restore();
    for (const { name, opacity } of layers) stack(context, this.layer(name).sheets[1].canvas, opacity);
    return this.whole;
  }
  // From here on `draft` paints over what is there now, as often as it is called: for shapes and selections that follow the pointer.
  keep() {
    for (const layer of this.all) layer.kept = layer.sheets.map(({ canvas }) => copied(canvas));
  }
  // Without some elements, which the draft then shows at other places.
  keepWithout(drawing, ids) {
    const rest = { ...drawing, entries: drawing.entries.filter(({ id }) => !ids.has(id)) };
    for (const { name, sheets } of this.all) for (const sheet of sheets) paintLayer(sheet.context, elementsOn(rest, name));
    this.keep();
  }
  draft(elements) {
    for (const { sheets, kept, name } of this.all) {
      const own = elements.filter((element) => isOn(element, name));
      sheets.forEach((sheet, i) => {
        sheet.context.save();
        sheet.context.setTransform(1, 0, 0, 1, 0, 0);
        sheet.context.clearRect(0, 0, kept[i].width, kept[i].height);
        if (kept[i].width) sheet.context.drawImage(kept[i], 0, 0);
        sheet.context.restore();
        for (const element of own) paintElement(sheet.context, element);
      });
    }
  }
  // The shown layers over white paper, `side` pixels across, as ImageData: what a bucket or an eyedropper sees.
  pixels({ layers: { order, shown, opacity } }, side) {
    const sheet = controlSheet();
    sheet.resize(side);
    const { context } = sheet;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, side, side);
    for (const name of order.filter((each) => INK_LAYERS.includes(each) && shown[each])) {
      context.globalAlpha = opacity[name];
      context.drawImage(this.layer(name).canvas, 0, 0, side, side);
    }
    return context.getImageData(0, 0, side, side);
  }
  release() { for (const layer of this.all) layer.kept = null; }
}

function copied(canvas) {
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  if (canvas.width) copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}
