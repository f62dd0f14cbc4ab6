// Every frame of the session, small, with all that makes it again. Kept in this browser only, and over a reload.
import { transact } from "../core/storage.js";

const MOVING = 1000; // frames of a pen on the move
const MEANT = 1500; // all others: pinned, of a resting pen, from words, compared
const SIDE = 320; // px: larger images are kept smaller; a frame is made again at full size from its recipe
const SAVE_AFTER = 300; // ms

async function shrunk(blob) {
  const image = await createImageBitmap(blob);
  const scale = SIDE / Math.max(image.width, image.height);
  if (scale >= 1) return blob;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(image.width * scale), Math.round(image.height * scale)];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.88));
}

function moving(frame) { return !frame.pinned && frame.head.rest === false; }

// The frame to show among `frames`: who looks at the newest goes on to newer ones, others stay where they are.
export function followed(chosen, newest, frames) {
  return chosen && chosen !== newest && frames.includes(chosen) ? chosen : frames.at(-1) || null;
}

export class Timeline extends EventTarget {
  static most = { moving: MOVING, meant: MEANT };
  constructor() {
    super();
    Object.assign(this, { frames: [], last: 0, timer: 0, unsaved: new Set(), gone: [], keys: new WeakMap() });
    this.loaded = this.load().catch((error) => console.warn("the saved timeline is unreadable", error));
    window.addEventListener("pagehide", () => this.save(true));
  }
  // Frames of one drawing share their finished strokes: a stroke is kept once, whatever number of frames shows it.
  add(blob, head, operations) {
    this.last = Math.max(this.last + 1, Date.now() * 8); // several pages may write at once
    const frame = { id: this.last, blob, head, operations: operations || null, at: Date.now(), pinned: false };
    this.frames.push(frame);
    this.thin();
    this.touched(frame);
    return frame;
  }
  // A pen on the move makes ten a second: of the older half every second goes, so that a long session stays whole, only
  // coarser the longer ago. What was meant goes last, the oldest first.
  thin() {
    const passing = this.frames.filter(moving);
    if (passing.length > MOVING) this.remove(passing.slice(0, MOVING / 2).filter((_, i) => i % 2));
    const meant = this.frames.filter((frame) => !moving(frame));
    if (meant.length > MEANT) this.remove([meant.find((frame) => !frame.pinned) || meant[0]]);
  }
  remove(frames) {
    const gone = new Set(frames);
    this.frames = this.frames.filter((frame) => !gone.has(frame));
    for (const frame of gone) { this.unsaved.delete(frame); this.gone.push(frame.id); }
  }
  pin(id, on) {
    const frame = this.get(id);
    if (!frame) return;
    frame.pinned = on;
    this.touched(frame);
  }
  // Whether a frame of this recipe is there already; strokes are compared as they are drawn.
  has(head, operations) {
    const key = (frame) => JSON.stringify([frame.head, (frame.operations || []).map(({ group, ...seen }) => Object.entries(seen).sort(([a], [b]) => (a < b ? -1 : 1)))]);
    const wanted = key({ head, operations });
    return this.frames.some((frame) => frame.head.prompt === head.prompt && frame.head.seed === head.seed && key(frame) === wanted);
  }
  // Frames that were removed, or come from a file; those that are here stay. How many came.
  bring(frames) {
    const there = new Set(this.frames.map(({ id }) => id));
    const fresh = frames.filter(({ id }) => !there.has(id));
    if (!fresh.length) return 0;
    const back = new Set(fresh.map(({ id }) => id));
    this.gone = this.gone.filter((id) => !back.has(id));
    this.frames = [...this.frames, ...fresh].sort((a, b) => a.id - b.id);
    this.last = Math.max(this.last, this.frames.at(-1).id);
    for (const frame of fresh) this.unsaved.add(frame);
    this.touched();
    return fresh.length;
  }
  get(id) { return this.frames.find((frame) => frame.id === id); }
  forget() {
    this.remove(this.frames.filter((frame) => !frame.pinned));
    this.touched();
  }
  touched(frame) {
    if (frame) this.unsaved.add(frame);
    this.timer = this.timer || setTimeout(() => this.save(), SAVE_AFTER);
    this.dispatchEvent(new CustomEvent("change"));
  }

  async save(closing) {
    clearTimeout(this.timer);
    this.timer = 0;
    const [frames, gone] = [[...this.unsaved], this.gone];
    this.unsaved.clear();
    this.gone = [];
    // A page that closes can't wait. What can't be decoded stays as it is.
    if (!closing) for (const frame of frames) frame.blob = await shrunk(frame.blob).catch(() => frame.blob);
    await transact(["frames", "operations"], "readwrite", (stored, strokes) => {
      const there = new Set(this.frames); // some went while they were made smaller
      for (const id of gone) stored.delete(id);
      for (const frame of frames.filter((each) => there.has(each))) {
        const operations = frame.operations && frame.operations.map((operation) => this.key(operation, strokes));
        stored.put({ ...frame, operations }, frame.id);
      }
    }).catch((error) => console.warn("the timeline could not be saved", error)); // storage full: drawing goes on
  }
  key(operation, strokes) {
    if (!this.keys.has(operation)) {
      const key = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
      this.keys.set(operation, key);
      strokes.put(operation, key);
    }
    return this.keys.get(operation);
  }
  async load() {
    const frames = (await transact(["frames"], "readonly", (stored) => stored.getAll())) || [];
    const strokes = await this.loadStrokes(frames);
    for (const frame of frames) frame.operations = frame.operations && frame.operations.map((key) => strokes.get(key)).filter(Boolean);
    this.frames = [...frames.sort((a, b) => a.id - b.id), ...this.frames];
    this.last = Math.max(this.last, ...frames.map((frame) => frame.id));
    if (frames.length) this.dispatchEvent(new CustomEvent("change"));
  }
  // Strokes by key; those that no frame shows any more go.
  async loadStrokes(frames) {
    const used = new Set(frames.flatMap((frame) => frame.operations || []));
    const keys = (await transact(["operations"], "readonly", (stored) => stored.getAllKeys())) || [];
    const values = (await transact(["operations"], "readonly", (stored) => stored.getAll())) || [];
    const unused = keys.filter((key) => !used.has(key));
    if (unused.length) await transact(["operations"], "readwrite", (stored) => { for (const key of unused) stored.delete(key); });
    const strokes = new Map();
    keys.forEach((key, i) => { if (used.has(key)) { strokes.set(key, values[i]); this.keys.set(values[i], key); } });
    return strokes;
  }
}
