// Recipes as text: what makes an image again, {head, operations?, compare?}, in JSON files and in the page's address.
import { fromBase64, toBase64 } from "./wire.js";

// A recipe from JSON, null if it is none.
export function parseRecipe(text) {
  try {
    const recipe = JSON.parse(text);
    return recipe && recipe.head && typeof recipe.head.prompt === "string" ? recipe : null;
  } catch {
    return null;
  }
}

// A recipe as the fragment of an address, and back; null for a fragment that was cut or changed on its way.
export function encodeRecipe(recipe) {
  const json = new TextEncoder().encode(JSON.stringify(recipe));
  return `#recipe=${toBase64(json.buffer).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "")}`;
}
export function decodeRecipe(fragment) {
  try {
    const code = fragment.match(/^#recipe=(.*)$/)[1];
    const json = fromBase64(code.replace(/-/g, "+").replace(/_/g, "/"));
    return parseRecipe(new TextDecoder().decode(json));
  } catch {
    return null;
  }
}

export const recipeLink = (recipe) => `${location.origin}${location.pathname}${encodeRecipe(recipe)}`;

// The file name of a recipe, without its ending.
export function recipeName({ head }) {
  const words = head.prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 48) || "recipe";
  return `${words}-${head.seed}`;
}
