// Drawings kept under a name, in this browser: {id, name, at, recipe, picture}. None is lost when there is no room for another.
import { keepValue, transact } from "../core/storage.js";

const PREFIX = "drawing:";
const mine = () => IDBKeyRange.bound(PREFIX, `${PREFIX}\uffff`);

// The newest first.
export async function keptDrawings() {
  const found = (await transact(["kept"], "readonly", (kept) => kept.getAll(mine()))) || [];
  return found.sort((a, b) => b.at - a.at);
}

// Rejects where there is no room, or where the browser keeps nothing at all.
export async function keepDrawing(drawing) {
  const key = await keepValue(`${PREFIX}${drawing.id}`, drawing);
  if (key === undefined) throw new Error("this browser keeps nothing");
}

export const forgetDrawing = (id) => transact(["kept"], "readwrite", (kept) => kept.delete(`${PREFIX}${id}`));
export const newDrawing = (name, recipe, picture) => ({ id: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`, name, at: Date.now(), recipe, picture });
