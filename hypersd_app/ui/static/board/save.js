// A recipe as files: the full-quality PNG, the recipe's JSON; and the sketch of its strokes.
import { callServer, config, texts } from "../core/bridge.js";
import { download, say } from "../core/notify.js";
import { recipeName } from "../core/recipes.js";
import { signed } from "../core/visitor_key.js";
import { fromBase64 } from "../core/wire.js";
import { canvasOf, frameOfRecipe, inkOf } from "./canvas.js";
import { controlSheet, paintAll, prepareImages } from "../drawing/painter.js";
import { pngOf } from "./png.js";

export function saveRecipe(recipe) {
  download(new Blob([JSON.stringify(recipe, null, 1)], { type: "application/json" }), `${recipeName(recipe)}.json`);
}

// The full-quality PNG of a recipe, with all that makes it again inside.
export async function savePng(recipe) {
  const answer = await fullImage(recipe);
  if (answer && answer.png) download(new Blob([fromBase64(answer.png)], { type: "image/png" }), answer.name);
  else say((answer && answer.message) || texts["board.state.offline"]);
}
async function fullImage(recipe) {
  const { head, picture } = await frameOf(recipe);
  return callServer("save_png", { head: signed(head), operations: recipe.operations || [] }, picture);
}
// Its bytes. Throws an Error whose message is for people.
export async function fullPng(recipe) {
  const answer = await fullImage(recipe);
  if (!answer || !answer.png) throw new Error((answer && answer.message) || texts["board.state.offline"]);
  return fromBase64(answer.png);
}

// The request of a recipe with the images that go along with it: {head, picture}.
async function frameOf(recipe) {
  if (!canvasOf(recipe.operations || []) || typeof recipe.head.strength !== "number") return { head: recipe.head, picture: await sketchOf(recipe) };
  await prepareImages(recipe.operations);
  return frameOfRecipe(recipe);
}

// The sketch that the strokes of a recipe make, null without any.
export async function sketchOf({ head, operations }) {
  if (!operations || !inkOf(operations).length) return null;
  await prepareImages(operations);
  const model = config.models.find((row) => row.name === head.model) || config.models[0];
  if (!model.sketch) return null;
  const sheet = controlSheet();
  sheet.resize(head.width || model.width);
  paintAll(sheet.context, inkOf(operations));
  return pngOf(sheet.canvas);
}
