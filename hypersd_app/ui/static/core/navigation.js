// Recipes on their way between the tabs, from files and from the page's address.
import { bridge, bridgeReady, callServer, catalogueReady, texts } from "./bridge.js";
import { say } from "./notify.js";
import { ready } from "./parts.js";
import { decodeRecipe, parseRecipe } from "./recipes.js";
import { openTab } from "./tabs.js";

const FILLED_BY = 5000; // ms

// Whether the text tab's fields are being filled: until Python has set them all, or is not there to do so.
let filling = false;
let filledBy = 0;
export const isFilling = () => filling;
export function filled() { filling = false; }

// The text tab's fields as a recipe says.
export async function fillText(head) {
  await bridgeReady;
  filling = true;
  clearTimeout(filledBy); // of an earlier one
  filledBy = setTimeout(filled, FILLED_BY);
  bridge.props.value = JSON.stringify(head);
  bridge.trigger("restore");
}

export async function toText(head) {
  await fillText(head);
  openTab("text");
}

export async function toBoard(recipe) {
  (await ready("board")).restore(recipe);
  openTab("board");
}

export async function toStyles(recipe) {
  (await ready("board")).restore(recipe);
  openTab("styles");
}

export async function toCompare(recipe) {
  openTab("compare");
  (await ready("compare")).restore(recipe);
}

// A grid goes to its page, a drawing to the board, words alone to the text tab.
export function goOn(recipe) {
  if (recipe.compare) return toCompare(recipe);
  return recipe.operations && recipe.operations.length ? toBoard(recipe) : toText(recipe.head);
}

// What became of a recipe from elsewhere: all is back but what is `missing` here, and what had to be `changed`.
function restored(missing, changed) {
  const told = missing.length ? texts["drop.missing"].replace("{names}", missing.join(", ")) : texts["drop.restored"];
  if (!changed.length) return told;
  return missing.length ? `${told}; ${changed.join("; ")}` : texts["drop.changed"].replace("{changes}", changed.join("; "));
}

// A recipe from elsewhere, with the models and styles there are here; what is missing is said. False if it can't be read.
export async function restore(recipe) {
  const { head, missing, message } = await callServer("known_names", { head: recipe.head });
  if (!head) { say(message); return false; }
  await goOn({ ...recipe, head });
  say(restored(missing, recipe.changed || []));
  return true;
}

// The recipe in an image, of this studio or of another program, or in a .json file; null if there is none.
export async function recipeOf(file) {
  if (/^image\/(png|jpeg|webp)$/.test(file.type)) { // by its name; what it is, the server finds out
    const answer = await callServer("read_png", {}, await file.arrayBuffer());
    return answer.head ? answer : null;
  }
  return file.name.endsWith(".json") ? parseRecipe(await file.text()) : null;
}

// Resolves to false if the file has no recipe; restore() says why one can't be used.
export async function restoreFile(file) {
  const recipe = await recipeOf(file);
  if (!recipe) return false;
  await restore(recipe);
  return true;
}

// The recipe in the address, taken out of it: a reload then shows what became of it.
export async function readLink() {
  const { hash } = location;
  if (!hash.startsWith("#recipe=")) return;
  history.replaceState(null, "", location.pathname + location.search);
  await catalogueReady;
  const recipe = decodeRecipe(hash);
  if (recipe) restore(recipe); else say(texts["drop.unreadable"]);
}
