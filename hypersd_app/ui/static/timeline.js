// Every frame of the session, small, with all that makes it again. Kept in this browser only.
(function (hs) {
  "use strict";
  const MOST = 600;

  hs.Timeline = class extends EventTarget {
    constructor() { super(); this.frames = []; this.next = 1; }
    add(blob, head, operations) {
      const frame = { id: this.next++, blob, head, operations, at: Date.now(), pinned: false };
      this.frames.push(frame);
      if (this.frames.length > MOST) this.frames.splice(this.frames.findIndex((each) => !each.pinned), 1);
      this.dispatchEvent(new CustomEvent("change"));
      return frame;
    }
    pin(id, on) { const frame = this.get(id); if (frame) { frame.pinned = on; this.dispatchEvent(new CustomEvent("change")); } }
    get(id) { return this.frames.find((frame) => frame.id === id); }
    forget() { this.frames = this.frames.filter((frame) => frame.pinned); this.dispatchEvent(new CustomEvent("change")); }
  };
  hs.timeline = new hs.Timeline();
})((window.hypersd = window.hypersd || {}));
