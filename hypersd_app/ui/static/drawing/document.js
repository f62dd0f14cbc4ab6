// What a drawing is after the steps that made it: elements on layers. A step adds an element or is one of
//   {tool: "clear"}                         nothing is left but the layers themselves
//   {tool: "layers", layers}                how layers are shown, see `usualLayers`
//   {tool: "change", ids, matrix?, values?} elements are moved, or get other values (a colour, a layer)
//   {tool: "remove", ids}
//   {tool: "reference", key}                another reference image, "" for none
// An element's id says the how manieth it is since the drawing was cleared, so that no element needs to carry one.
import { combined, IDENTITY } from "./geometry.js";
import { isEraser, isOn } from "./elements.js";

export const INK_LAYERS = ["color", "lines"];
const usual = {
  order: ["reference", "color", "lines"], // from the bottom
  shown: { reference: true, color: true, lines: true },
  opacity: { reference: 0.3, color: 1, lines: 1 },
};
export const usualLayers = () => structuredClone(usual);

const results = new WeakMap(); // step -> element before -> element after: who keeps elements sees that they are the same

function changed(step, element) {
  if (!results.has(step)) results.set(step, new WeakMap());
  const known = results.get(step);
  if (!known.has(element)) {
    const matrix = step.matrix && combined(step.matrix, element.matrix || IDENTITY);
    known.set(element, { ...element, ...step.values, ...(matrix && { matrix }) });
  }
  return known.get(element);
}

// One step further; `drawing` is changed.
export function advance(drawing, step) {
  const ids = new Set(step.ids || []);
  if (step.tool === "clear") Object.assign(drawing, { entries: [], count: 0 });
  else if (step.tool === "layers") drawing.layers = complete(step.layers);
  else if (step.tool === "reference") drawing.reference = step.key || "";
  else if (step.tool === "remove") drawing.entries = drawing.entries.filter(({ id }) => !ids.has(id));
  else if (step.tool === "change") {
    drawing.entries = drawing.entries.map((entry) => (ids.has(entry.id) ? { id: entry.id, element: changed(step, entry.element) } : entry));
  } else {
    drawing.entries.push({ id: drawing.count, element: step });
    drawing.count += 1;
  }
}

// Layers as they were kept, by this page or by another version of it.
function complete(kept) {
  const layers = usualLayers();
  if (!kept || typeof kept !== "object") return layers;
  if (Array.isArray(kept.order) && [...kept.order].sort().join() === [...layers.order].sort().join()) layers.order = [...kept.order];
  for (const name of layers.order) {
    if (kept.shown && typeof kept.shown[name] === "boolean") layers.shown[name] = kept.shown[name];
    if (kept.opacity && kept.opacity[name] >= 0 && kept.opacity[name] <= 1) layers.opacity[name] = kept.opacity[name];
  }
  return layers;
}

// {entries: [{id, element}] from the bottom, layers, reference} after all `steps`.
export function documentOf(steps) {
  const drawing = { entries: [], count: 0, layers: usualLayers(), reference: "" };
  for (const step of steps) advance(drawing, step);
  return drawing;
}

export const isUsual = (layers) => JSON.stringify(complete(layers)) === JSON.stringify(usual);

// The fewest steps that make a drawing again: what files, links and the timeline keep of it. The reference image is no part.
export function flattened({ entries, layers }) {
  const elements = entries.map(({ element }) => element);
  const own = complete(layers);
  [own.shown.reference, own.opacity.reference] = [usual.shown.reference, usual.opacity.reference];
  return isUsual(own) || !elements.length ? elements : [...elements, { tool: "layers", layers: own }];
}

// Elements of a layer, erasers that work on all of them included.
export const elementsOn = ({ entries }, layer) => entries.map(({ element }) => element).filter((element) => isOn(element, layer));

// Layers with ink, from the bottom: {name, opacity, elements}; hidden ones are none.
export function inkLayers(drawing) {
  const { order, shown, opacity } = drawing.layers;
  return order.filter((name) => INK_LAYERS.includes(name) && shown[name] && opacity[name] > 0)
    .map((name) => ({ name, opacity: opacity[name], elements: elementsOn(drawing, name) }))
    .filter(({ elements }) => elements.some((element) => !isEraser(element)));
}

export const isBlank = (drawing) => !drawing.entries.some(({ element }) => !isEraser(element) && INK_LAYERS
  .some((name) => drawing.layers.shown[name] && drawing.layers.opacity[name] > 0 && isOn(element, name)));
