// What this browser keeps: texts in localStorage and sessionStorage, and what is too much for them, the timeline's frames and
// the traced image, in a small database.
const STORES = ["frames", "operations", "kept"];
let opening = null;

// A browser that is forbidden to keep anything throws on any touch of its storage, a full one on writing.
export function readText(storage, key) {
  try { return window[storage].getItem(key); } catch { return null; }
}
export function writeText(storage, key, value) {
  try {
    window[storage].setItem(key, value);
    return true;
  } catch (error) {
    console.warn("this browser keeps nothing, or no more", error);
    return false;
  }
}

// What belongs to this tab of the browser: over a reload it finds its own again, whatever other tabs keep meanwhile, and a new tab
// begins with what was kept last anywhere. False if it could not be kept.
export function readOwn(key) { return readText("sessionStorage", key) ?? readText("localStorage", key); }
export function writeOwn(key, value) { return [writeText("sessionStorage", key, value), writeText("localStorage", key, value)].some(Boolean); }

function database() {
  opening = opening || new Promise((resolve) => {
    const request = indexedDB.open("hypersd", 1);
    request.onupgradeneeded = () => { for (const name of STORES) request.result.createObjectStore(name); };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => { console.warn("this browser keeps nothing", request.error); resolve(null); };
  });
  return opening;
}

// Run `work(...stores)` in one transaction; resolves to the result of the request it returns once all is on disk,
// and to undefined where the browser keeps nothing (private windows).
export async function transact(names, mode, work) {
  const open = await database();
  if (!open) return undefined;
  return new Promise((resolve, reject) => {
    const transaction = open.transaction(names, mode);
    const asked = work(...names.map((name) => transaction.objectStore(name)));
    transaction.oncomplete = () => resolve(asked instanceof IDBRequest ? asked.result : undefined);
    transaction.onabort = () => reject(transaction.error);
  });
}
export const keepValue = (key, value) => transact(["kept"], "readwrite", (kept) => kept.put(value, key));
export const keptValue = (key) => transact(["kept"], "readonly", (kept) => kept.get(key));
export const forgetValue = (key) => transact(["kept"], "readwrite", (kept) => kept.delete(key));
