// The paper: stacked layers (trace, image, ink, prediction) under one pen, with pan and zoom.
import { MASK } from "./canvas.js";
import { LayerSheets } from "../drawing/layer_sheets.js";
import { paintElement, paintStroke, strokeBounds } from "../drawing/painter.js";
import { felt, Stabiliser } from "../drawing/stabiliser.js";
import { pressureOf } from "../drawing/pressure.js";
import { PAPER } from "../drawing/geometry.js";
import { Touch } from "./touch.js";

const ZOOM = [1, 8];
const LINE = 16; // px: what a wheel that counts lines scrolls by
const AHEAD = 64; // px by which the layer of what lies ahead of the ink grows
const LONG = 550; // ms of a finger that rests
const FEWEST = 256; // px of ink while nobody sees the paper

export class Paper {
  // hooks: {brush() -> {tool, color, size, symmetry}, gesture(event) -> what another tool does with the pointer or null,
  //   longPress() -> a gesture, tapped("undo" or "redo"), pen() -> {steady, soft}, finishing(stroke),
  //   moved(), lifted(), painted(now), viewed(zoom), isHand(), side()}
  constructor(frame, drawing, hooks) {
    Object.assign(this, { frame, drawing, hooks, drawn: 0, pending: false, touch: new Touch(), view: { x: 0, y: 0, zoom: 1 } });
    Object.assign(this, { held: null, draft: null });
    this.world = frame.querySelector(".hs-world");
    this.layers = new LayerSheets(this.world);
    this.ahead = frame.querySelector(".hs-ahead");
    this.ahead.width = this.ahead.height = 0;
    this.aheadContext = this.ahead.getContext("2d");
    new ResizeObserver(() => { this.fit(); this.hooks.viewed(this.view.zoom); }).observe(frame);
    this.listen();
  }
  // The sheet of the lines on the screen, and what the model is given of all layers.
  get ink() { return this.layers.layer("lines").sheets[0]; }
  get control() { return this.layers.composed(this.drawing.document); }
  // The pointer that draws or moves the view, null without one.
  get pointer() { return this.touch.pointer; }
  listen() {
    const on = (name, handler, options) => this.frame.addEventListener(name, handler, options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerrawupdate", (event) => this.follow(event)); // as it comes; pointermove waits for the next drawn frame
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, (event) => this.up(event));
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("touchstart", (event) => event.preventDefault(), { passive: false });
    on("contextmenu", (event) => event.preventDefault());
  }
  point(event) {
    const box = this.world.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * PAPER, ((event.clientY - box.top) / box.height) * PAPER];
  }
  down(event) {
    if (event.target.closest("button, input, label")) return;
    const { does, drop, keep } = this.touch.down(event, event.timeStamp, this.hooks.isHand());
    if (keep) this.finish();
    if (drop) this.takeBack();
    if (!does) return;
    clearTimeout(this.pressing);
    this.frame.setPointerCapture(event.pointerId);
    this.frame.focus({ preventScroll: true });
    if (does === "pinch") this.pinch = { ...this.touch.span, view: { ...this.view } };
    else if (does === "pan") this.grab = [event.clientX - this.view.x, event.clientY - this.view.y];
    else this.begin(event, does);
  }
  begin(event, does) {
    this.held = does === "erase" ? null : this.hooks.gesture(event);
    if (this.held) return this.held.down(this.point(event), event);
    const brush = this.hooks.brush();
    this.drawing.begin({ ...brush, tool: does === "erase" ? "eraser" : brush.tool, points: [] });
    this.drawn = 0;
    this.toldAtOnce = false;
    this.pen = this.hooks.pen();
    this.stabiliser = new Stabiliser(this.pen.steady);
    this.add(event);
    if (event.pointerType === "touch") this.pressing = setTimeout(() => this.pressed(event), LONG);
  }
  // A finger that rests where it came down draws nothing: it asks for the colour there.
  pressed(event) {
    if (!this.touch.rests(event.pointerId)) return;
    this.takeBack();
    this.repaint(); // at once: the dot of the finger is not the colour that is asked for
    this.held = this.hooks.longPress();
    this.held.down(this.point(event), event);
  }
  // The stroke that was begun was none.
  takeBack() {
    if (this.held) this.held.cancel();
    this.held = null;
    this.drawing.drop();
    this.predicted = [];
    this.schedule();
  }
  move(event) {
    this.touch.isPalm(event, event.timeStamp); // a pen that hovers counts too
    const moves = this.touch.moved(event);
    if (this.touch.pinching) return this.pinchMove();
    if (!moves) return;
    if (this.touch.mode === "pan") return this.setView(event.clientX - this.grab[0], event.clientY - this.grab[1], this.view.zoom);
    if (this.held) return this.held.move(this.point(event), event);
    this.follow(event);
    this.predicted = event.getPredictedEvents ? event.getPredictedEvents().slice(0, 3) : [];
  }
  // Add where the pen has been. Where the browser tells of it at once, pointermove tells nothing new.
  follow(event) {
    if (event.pointerId !== this.pointer || this.touch.mode === "pan" || this.held) return;
    if (event.type === "pointerrawupdate") this.toldAtOnce = true;
    else if (this.toldAtOnce) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const each of events.length ? events : [event]) this.add(each);
  }
  up(event) {
    clearTimeout(this.pressing);
    const did = this.touch.up(event, event.timeStamp);
    if (did === "draw" || did === "erase") this.finish();
    if (did !== "undo" && did !== "redo") return;
    this.setView(this.pinch.view.x, this.pinch.view.y, this.pinch.view.zoom); // fingers that tap slip a little
    this.hooks.tapped(did);
  }
  // The stroke is complete: its tail is drawn, and it will not change any more.
  finish() {
    const { held } = this;
    this.held = null;
    if (held) return held.up();
    this.predicted = [];
    if (this.drawing.growing) for (const point of this.stabiliser.rest()) this.drawing.extend(...point);
    this.paint();
    const stroke = this.drawing.growing; // none if something else, an undo perhaps, has finished it
    if (stroke) {
      this.hooks.finishing(stroke);
      for (const sheet of this.sheetsOf(stroke)) paintStroke(sheet.context, stroke, this.drawn, true);
    }
    this.drawing.finish();
    this.schedule();
    this.hooks.lifted();
  }
  add(event) {
    if (!this.drawing.growing) return;
    const [x, y] = this.point(event);
    const pressure = event.pointerType === "pen" ? felt(pressureOf(event), this.pen.soft) : pressureOf(event);
    this.drawing.extend(...this.stabiliser.follow(x, y, pressure));
    this.schedule();
    this.hooks.moved();
  }
  pinchMove() {
    const now = this.touch.span;
    const { view, gap, x, y } = this.pinch;
    const box = this.frame.getBoundingClientRect();
    this.scaleView(view, now.gap / Math.max(1, gap), [x - box.left, y - box.top], [now.x - box.left, now.y - box.top]);
  }
  // Like a page: the wheel alone scrolls, here within the zoomed paper, and with Ctrl (or a pinch of the touchpad) it zooms.
  wheel(event) {
    const zooms = event.ctrlKey || event.metaKey;
    if (!zooms && this.view.zoom === 1) return; // let the page scroll
    event.preventDefault();
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
    if (!zooms) return this.setView(this.view.x - event.deltaX * unit, this.view.y - event.deltaY * unit, this.view.zoom);
    const box = this.frame.getBoundingClientRect();
    this.scaleView(this.view, Math.exp((-event.deltaY * unit) / 300), [event.clientX - box.left, event.clientY - box.top]);
  }
  // Zoom about the middle: for buttons and keys.
  zoom(factor) {
    const middle = this.frame.clientWidth / 2;
    this.scaleView(this.view, factor, [middle, middle]);
  }
  // `view` scaled by `factor` so that what it shows at `from` (px of the frame) comes to lie at `to`.
  scaleView(view, factor, from, to = from) {
    const zoom = Math.min(ZOOM[1], Math.max(ZOOM[0], view.zoom * factor));
    const ratio = zoom / view.zoom;
    this.setView(to[0] - (from[0] - view.x) * ratio, to[1] - (from[1] - view.y) * ratio, zoom);
  }
  setView(x, y, zoom) {
    const room = (zoom - 1) * this.frame.clientWidth;
    this.view = { x: Math.min(0, Math.max(-room, x)), y: Math.min(0, Math.max(-room, y)), zoom };
    this.world.style.transform = `translate(${this.view.x}px, ${this.view.y}px) scale(${zoom})`;
    this.fit();
    this.hooks.viewed(zoom);
  }
  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame((now) => { this.pending = false; this.paint(); this.hooks.painted(now); });
  }
  // Bring the ink up to date with the current stroke; called before a snapshot too, so that none is behind.
  paint() {
    if (this.draft) return this.layers.draft(this.draft());
    const stroke = this.drawing.growing;
    const count = stroke ? stroke.points.length / 3 : 0;
    if (count > this.drawn) {
      for (const sheet of this.sheetsOf(stroke)) paintStroke(sheet.context, stroke, this.drawn);
      this.drawn = count;
    }
    this.paintAhead(stroke);
  }
  // Elements that change with every movement, painted over all others until endDraft: `elements()` says what they are by now.
  beginDraft(elements, without) {
    if (without) this.layers.keepWithout(this.drawing.document, without);
    else this.layers.keep();
    this.draft = elements;
  }
  endDraft() {
    this.draft = null;
    this.layers.release();
  }
  paintAhead(stroke) {
    const { ahead, aheadContext } = this;
    if (this.hasAhead) {
      aheadContext.setTransform(1, 0, 0, 1, 0, 0);
      aheadContext.clearRect(0, 0, ahead.width, ahead.height);
    }
    this.hasAhead = false;
    if (this.pointer === null || !stroke || stroke.tool === "eraser") return;
    const points = stroke.points.slice(-6);
    for (const event of (!this.pen.steady && this.predicted) || []) points.push(...this.point(event), pressureOf(event));
    this.placeAhead(strokeBounds(stroke, points));
    paintStroke(aheadContext, { ...stroke, points }, 2, true); // from where the ink's curve ends
    this.hasAhead = true;
  }
  // The layer is hardly larger than what it shows: without a GPU a whole one costs a quarter of a processor core, 60 times
  // a second, and the images are made on the same cores. It is moved, which lays nothing out anew, and grows in steps.
  placeAhead(bounds) {
    const scale = this.ink.canvas.width / PAPER;
    const [left, top] = bounds.slice(0, 2).map((units) => Math.floor(units * scale));
    const [right, bottom] = bounds.slice(2).map((units) => Math.ceil(units * scale));
    const side = AHEAD * Math.ceil(Math.max(right - left, bottom - top) / AHEAD);
    const { shown } = this;
    if (this.ahead.width < side || this.aheadShown !== shown) {
      this.ahead.width = this.ahead.height = Math.max(side, this.ahead.width);
      this.ahead.style.width = this.ahead.style.height = `${this.ahead.width * shown}px`;
      this.aheadShown = shown;
    }
    this.ahead.style.transform = `translate(${left * shown}px, ${top * shown}px)`;
    this.aheadContext.setTransform(scale, 0, 0, scale, -left, -top);
  }
  sheetsOf(element) { return element.layer === MASK ? this.hooks.canvas().sheets : this.layers.of(element); }
  // As many pixels of ink as the screen shows: without a GPU each costs time whenever a frame is drawn.
  fit() {
    const shown = this.view.zoom > 1 ? PAPER : Math.ceil(this.frame.clientWidth * devicePixelRatio);
    const side = Math.min(PAPER, shown || FEWEST);
    const changed = [this.layers.fit(side, this.hooks.side()), this.hooks.canvas().fit(side, this.hooks.side())];
    this.shown = this.frame.clientWidth / side; // CSS pixels of one of ink, unzoomed
    if (changed.includes(true)) this.repaint();
  }
  // Paint what came to all that was there already; false if that is no matter of adding.
  added(step) {
    if (step.points || step.paths) {
      for (const sheet of this.sheetsOf(step)) paintElement(sheet.context, step);
      this.layers.show(this.drawing.document);
    } else if (["layers", "reference"].includes(step.tool)) this.layers.show(this.drawing.document);
    else return false;
    return true;
  }
  repaint() {
    const { document, growing } = this.drawing;
    this.layers.repaint(document, growing);
    this.hooks.canvas().repaint();
    this.drawn = growing ? growing.points.length / 3 : 0;
  }
}
