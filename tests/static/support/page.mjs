// What the modules under test need of a browser: storage, events, a clock that the test turns.

export class MemoryStorage {
  constructor(values = {}) { this.values = new Map(Object.entries(values)); }
  getItem(key) { return this.values.get(key) ?? null; }
  setItem(key, value) {
    if (this.full) throw new Error("QuotaExceededError");
    this.values.set(key, String(value));
  }
  removeItem(key) { this.values.delete(key); }
}

// A fresh page: call before the modules under test are used. Returns its window.
export function openPage({ hash = "", localStorage = {}, sessionStorage = {} } = {}) {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { hidden: false, body: { append() {} }, createElement: () => new Element() });
  Object.assign(window, { localStorage: new MemoryStorage(localStorage), sessionStorage: new MemoryStorage(sessionStorage) });
  const location = { hash, origin: "http://studio", pathname: "/app/", search: "" };
  const history = { replaceState() { location.hash = ""; } };
  Object.assign(globalThis, { window, document, location, history, localStorage: window.localStorage, sessionStorage: window.sessionStorage });
  // A private window: the browser keeps no database.
  globalThis.indexedDB = { open() { const request = { error: "forbidden" }; setTimeout(() => request.onerror(), 0); return request; } };
  return window;
}

class Element extends EventTarget {
  setAttribute(name, value) { this[name] = value; }
  remove() {}
}

// setTimeout, clearTimeout and performance.now() in the time of the test: `run(ms)` lets it pass.
export class Clock {
  constructor() { Object.assign(this, { now: 1000, timers: [], last: 0 }); }
  install(context) {
    const kept = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, performance: globalThis.performance };
    globalThis.setTimeout = (call, after = 0, ...values) => this.add(call, after, values);
    globalThis.clearTimeout = (id) => { this.timers = this.timers.filter((timer) => timer.id !== id); };
    globalThis.performance = { now: () => this.now };
    context.after(() => Object.assign(globalThis, kept));
    return this;
  }
  add(call, after, values) {
    this.last += 1;
    this.timers.push({ id: this.last, at: this.now + after, call: () => call(...values) });
    return this.last;
  }
  async run(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      await settled();
      const due = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at || a.id - b.id)[0];
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.now = Math.max(this.now, due.at);
      due.call();
    }
    this.now = end;
  }
}

// Until promises that wait for nothing have run their course.
async function settled() { for (let i = 0; i < 20; i += 1) await null; }
