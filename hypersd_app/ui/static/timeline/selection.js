// Which frames are meant when several are: a click means one, with Shift all from the last one on, with Ctrl one more or one less.
export class Selection {
  constructor() { Object.assign(this, { ids: new Set(), anchor: null }); }
  // `ids` are all that are seen, in their order.
  click(id, { shiftKey = false, ctrlKey = false, metaKey = false }, ids) {
    const from = ids.indexOf(this.anchor);
    if (shiftKey && from >= 0) {
      const to = ids.indexOf(id);
      const range = ids.slice(Math.min(from, to), Math.max(from, to) + 1);
      this.ids = new Set(ctrlKey || metaKey ? [...this.ids, ...range] : range);
      return;
    }
    if (!ctrlKey && !metaKey) this.ids = new Set([id]);
    else if (this.ids.has(id)) this.ids.delete(id);
    else this.ids.add(id);
    this.anchor = id;
  }
  // What is gone, or not seen any more, is not meant.
  keep(ids) {
    const there = new Set(ids);
    this.ids = new Set([...this.ids].filter((id) => there.has(id)));
  }
}

// Frames whose prompt has all of the words.
export function matching(frames, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return frames.filter(({ head }) => wanted.every((word) => head.prompt.toLowerCase().includes(word)));
}
