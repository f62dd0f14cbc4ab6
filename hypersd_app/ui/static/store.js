// What this browser keeps: texts in localStorage and sessionStorage, and what is too much for them, the timeline's frames and
// the traced picture, in a small database.
(function (hs) {
  "use strict";
  const STORES = ["frames", "operations", "kept"];
  let opening = null;

  // A browser that is forbidden to keep anything throws on any touch of its storage, a full one on writing.
  hs.read = function (storage, key) {
    try { return window[storage].getItem(key); } catch { return null; }
  };
  hs.write = function (storage, key, value) {
    try { window[storage].setItem(key, value); } catch (error) { console.warn("this browser keeps nothing", error); }
  };

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
  hs.store = async function (names, mode, work) {
    const open = await database();
    if (!open) return undefined;
    return new Promise((resolve, reject) => {
      const transaction = open.transaction(names, mode);
      const asked = work(...names.map((name) => transaction.objectStore(name)));
      transaction.oncomplete = () => resolve(asked instanceof IDBRequest ? asked.result : undefined);
      transaction.onabort = () => reject(transaction.error);
    });
  };
  hs.keep = (key, value) => hs.store(["kept"], "readwrite", (kept) => kept.put(value, key));
  hs.kept = (key) => hs.store(["kept"], "readonly", (kept) => kept.get(key));
  hs.forget = (key) => hs.store(["kept"], "readwrite", (kept) => kept.delete(key));
})((window.hypersd = window.hypersd || {}));
