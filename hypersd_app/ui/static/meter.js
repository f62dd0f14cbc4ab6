// What the board measures of itself: milliseconds a part, frames a second, what was dropped.
(function (hs) {
  "use strict";
  const KEPT = 60;

  hs.Meter = class {
    constructor(element) {
      Object.assign(this, { element, shownAt: [], parts: {}, drops: 0, lates: 0, count: 0, transport: "" });
      this.paints = []; this.lastPaint = 0;
    }
    sent() { this.count += 1; }
    dropped() { this.drops += 1; this.render(); }
    late() { this.lates += 1; this.render(); }
    // One drawn frame of the canvas; the pen must not stutter while pictures are made.
    painted(now) {
      if (this.lastPaint && now - this.lastPaint < 250) this.paints.push(now - this.lastPaint);
      this.lastPaint = now;
      if (this.paints.length > KEPT) this.paints.shift();
    }
    shown(answer, sent, decoded) {
      const now = performance.now();
      this.shownAt = this.shownAt.filter((at) => now - at < 2000);
      this.shownAt.push(now);
      const ms = answer.ms || {};
      const total = now - sent.at;
      const server = (ms.waited || 0) + (ms.rendered || 0);
      this.parts = { encode: sent.encoded, wait: ms.waited || 0, ...this.stages(ms), network: Math.max(0, total - server - decoded), show: decoded };
      this.total = total + sent.encoded;
      this.render();
    }
    stages(ms) {
      const { waited, rendered, total, ...parts } = ms;
      return Object.keys(parts).length ? parts : { model: rendered || 0 };
    }
    fps() { return this.shownAt.length / 2; }
    render() {
      if (!this.element) return;
      const parts = Object.entries(this.parts).filter(([, ms]) => ms >= 0.5);
      const said = (key) => hs.texts[`meter.${key}`] || key;
      const words = parts.map(([name, ms]) => `<span>${said(name)} <b>${ms.toFixed(0)}</b></span>`);
      words.unshift(`<span class="hs-meter-total"><b>${(this.total || 0).toFixed(0)}</b> ms</span>`);
      words.push(`<span><b>${this.fps().toFixed(1)}</b> ${said("fps")}</span>`);
      words.push(`<span>${said("dropped")} <b>${this.drops + this.lates}</b></span>`, `<span>${said(this.transport)}</span>`);
      this.element.innerHTML = words.join("");
    }
  };
})((window.hypersd = window.hypersd || {}));
