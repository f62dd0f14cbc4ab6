// What the board measures of itself: how soon and how often images come, and on request every part of that time.
import { texts } from "../core/bridge.js";

const SPAN = 2000; // ms over which images are counted
const STROKE = 60; // drawn frames of the paper that its rate is taken from
const PAUSE = 250; // ms without a drawn frame: nothing had to be drawn

export class Meter {
  constructor(element) {
    Object.assign(this, { shownAt: [], parts: {}, total: 0, drops: 0, lates: 0, transport: "", gaps: [], lastPaint: 0 });
    this.short = Object.assign(document.createElement("button"), { type: "button", className: "hs-meter-short", title: texts["board.meter"] });
    this.short.setAttribute("aria-expanded", "false");
    this.details = Object.assign(document.createElement("div"), { className: "hs-meter-parts", hidden: true });
    this.short.addEventListener("click", () => this.unfold());
    element.replaceChildren(this.short, this.details);
    this.render();
  }
  unfold() {
    this.details.hidden = !this.details.hidden;
    this.short.setAttribute("aria-expanded", String(!this.details.hidden));
    this.render();
  }
  dropped() { this.drops += 1; this.render(); }
  late() { this.lates += 1; this.render(); }
  // One drawn frame of the paper; the pen must not stutter while images are made.
  painted(now) {
    if (this.lastPaint && now - this.lastPaint < PAUSE) this.gaps.push(now - this.lastPaint);
    this.lastPaint = now;
    if (this.gaps.length > STROKE) this.gaps.shift();
  }
  shown(answer, sent, decoded) {
    const now = performance.now();
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
  // Images a second.
  rate() {
    const now = performance.now();
    this.shownAt = this.shownAt.filter((at) => now - at < SPAN);
    return this.shownAt.length / (SPAN / 1000);
  }
  // Drawn frames a second while the pen moved last.
  drawn() {
    const spent = this.gaps.reduce((sum, gap) => sum + gap, 0);
    return spent ? (1000 * this.gaps.length) / spent : 0;
  }
  render() {
    const rate = this.rate();
    this.short.textContent = texts["meter.short"].replace("{ms}", this.total.toFixed(0)).replace("{rate}", rate.toFixed(0));
    if (this.details.hidden) return;
    const said = (key) => texts[`meter.${key}`] || key;
    const parts = Object.entries(this.parts).filter(([, ms]) => ms >= 0.5).map(([name, ms]) => [name, ms.toFixed(0)]);
    const rates = [["fps", rate.toFixed(1)], ["drawn", this.drawn().toFixed(0)], ["dropped", this.drops + this.lates]];
    const words = [...parts, ...rates].map(([name, value]) => `<span>${said(name)} <b>${value}</b></span>`);
    this.details.innerHTML = [...words, `<span>${said(this.transport)}</span>`].join("");
  }
}
