// The drawing board: paper, tools, settings and the frame link put together.
import { BrushCursor } from "./brush_cursor.js";
import { Canvas } from "./canvas.js";
import { prepareImages } from "../drawing/painter.js";
import { Paper } from "./paper.js";
import { pngOf } from "./png.js";
import { ReferenceImage } from "./reference_image.js";
import { anySeed } from "./seed.js";
import { Settings } from "./settings.js";
import { savePng } from "./save.js";
import { Drawing } from "../drawing/strokes.js";
import { toggleFullscreen, watchScreen } from "./screen.js";
import { Tools } from "./tools.js";
import { Variants } from "./variants.js";
import { bridge, config as pageConfig } from "../core/bridge.js";
import { provide, ready } from "../core/parts.js";
import { readOwn, writeOwn } from "../core/storage.js";
import { toBase64 } from "../core/wire.js";
import { watchPopovers } from "../core/popover.js";
import { holdReload } from "../core/reload.js";
import { rove } from "../core/roving.js";
import { FrameLink } from "../link/frame_link.js";
import { Meter } from "../link/meter.js";
import { StyleStrip } from "../styles/style_strip.js";
import { Suggest } from "../text/suggest.js";
import { PromptReader } from "../text/prompt_reader.js";
import { Stickers } from "../stickers/stickers.js";
import { Hand } from "../tools/hand.js";
import { LayersPanel } from "../tools/layers_panel.js";
import { timeline } from "../timeline/current.js";

const REST_AFTER = 450; // ms without a change: the pen rests, a better image is asked for

const [LAYOUT, OPACITY] = ["hypersd.layout", "hypersd.opacity"]; // kept over a reload
const PEN_LOOK = 100; // ms between two looks at the pen
const ZOOM_STEP = 1.5; // of a button or key
const UPRIGHT = "(min-width: 761px) and (max-aspect-ratio: 1/1)"; // there the image lies under the ink: both are seen, as large as can be

export class Board {
  constructor(element, config) {
    Object.assign(this, { element, config, rest: false, restTimer: 0, image: null });
    this.find();
    this.drawing = new Drawing("hypersd.drawing", (step) => this.redrawn(step));
    this.meter = new Meter(element.querySelector(".hs-meter"));
    this.tools = new Tools(element, this.actions(), () => this.hand);
    this.canvas = new Canvas(element, this);
    this.paper = new Paper(this.paperFrame, this.drawing, {
      brush: () => this.tools.brush(), isHand: () => this.tools.hand, gesture: (event) => this.hand.gesture(event),
      longPress: () => this.hand.pick, tapped: (name) => this.drawing[name](),
      pen: () => this.tools.options, finishing: (stroke) => this.hand.finishing(stroke),
      moved: () => this.edited(false), lifted: () => this.edited(true), painted: (now) => this.meter.painted(now),
      viewed: (zoom) => this.showZoom(zoom), side: () => this.settings.side, canvas: () => this.canvas,
    });
    this.settings = new Settings(element, config, () => this.edited(true));
    this.reference = new ReferenceImage(element, this);
    this.strip = new StyleStrip(element.querySelector(".hs-strip"), this);
    this.variants = new Variants(element, this);
    this.strips = [this.strip, this.variants];
    this.hand = new Hand(this);
    this.stickers = new Stickers(element, this);
    this.reader = new PromptReader(element.querySelector(".hs-words"), this.settings, element.querySelector(".hs-tokens"));
    this.suggest = new Suggest(element.querySelector(".hs-prompt"), {
      model: () => this.settings.model.name, head: () => this.settings.head(false), take: (words) => this.settings.set("prompt", words),
      free: () => this.link && this.link.idle && this.paper.pointer === null,
    });
    this.layersPanel = new LayersPanel(element, this);
    watchPopovers(element);
    for (const toolbar of element.querySelectorAll('[role="toolbar"]')) rove(toolbar);
    watchScreen(this);
    this.cursor = new BrushCursor(this.paperFrame, () => this.tools, this.paper);
    const layout = readOwn(LAYOUT) || (matchMedia(UPRIGHT).matches ? "overlay" : "side");
    if (layout === "overlay") this.toggleLayout();
    this.begin();
  }
  find() {
    const one = (selector) => this.element.querySelector(selector);
    this.board = one(".hs-board"); this.paperFrame = one(".hs-paper");
    this.output = one(".hs-picture"); this.under = one(".hs-under");
    this.stateText = one(".hs-state"); this.told = one(".hs-told"); this.notice = one(".hs-notice");
    this.loadingBox = one(".hs-loading"); this.liveButton = one(".hs-live"); this.opacity = one(".hs-picture-opacity");
    this.liveButton.addEventListener("click", () => this.toggleLive());
    this.opacity.value = readOwn(OPACITY) ?? this.opacity.value;
    this.opacity.addEventListener("input", () => { this.showOpacity(); writeOwn(OPACITY, this.opacity.value); });
    this.showOpacity();
    for (const fold of this.element.querySelectorAll(".hs-fold")) fold.addEventListener("click", () => this.unfold(fold));
  }
  unfold(fold) {
    const panel = this.element.querySelector(`#${fold.getAttribute("aria-controls")}`);
    panel.hidden = !panel.hidden;
    fold.setAttribute("aria-expanded", String(!panel.hidden));
    panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
  async begin() {
    this.drawing.load();
    await this.reference.load();
    await this.redrawn();
  }
  // Frames flow once the board is on the page: a visitor who only types costs the server nothing here.
  connect() {
    if (this.link) return;
    this.link = new FrameLink(bridge, this, this.meter);
    this.edited(true); // starts the clock of the resting pen
  }
  actions() {
    return {
      undo: () => this.drawing.undo(), redo: () => this.drawing.redo(), clear: () => this.drawing.clear(),
      dice: () => this.settings.set("seed", anySeed()), live: () => this.toggleLive(),
      layout: () => this.toggleLayout(), layered: () => this.layersPanel.show(), fullscreen: () => toggleFullscreen(),
      fit: () => this.paper.setView(0, 0, 1), zoomin: () => this.paper.zoom(ZOOM_STEP), zoomout: () => this.paper.zoom(1 / ZOOM_STEP),
      paintfrom: () => this.canvas.start(this.output.getAttribute("src")),
      paintoff: () => this.canvas.stop(), maskclear: () => this.canvas.clearMask(),
      totrace: () => { if (this.output.src) this.reference.use(this.output.src); },
      todrawing: () => { if (this.output.src) this.reference.draw(this.output.src); },
      tracelines: () => this.reference.toLines(), traceoff: () => this.reference.remove(),
      save: () => savePng(this.recipeToSave()),
    };
  }

  // --- changes -------------------------------------------------------------------------------------------------
  edited(urgent) {
    for (const strip of this.strips || []) strip.plan();
    this.rest = false;
    this.canvas.show();
    this.advise();
    this.reader.plan();
    this.tools.able("undo", this.drawing.canUndo);
    this.tools.able("redo", this.drawing.canRedo);
    this.paperFrame.classList.toggle("hs-has-ink", !this.drawing.empty);
    clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => this.rested(), REST_AFTER);
    if (this.link) this.link.request(urgent);
  }
  // Why the image does not follow, where the reason is not an error.
  advise() {
    const { texts } = this.config;
    const advice = [texts["board.noprompt"], texts["board.nosketch"]];
    if (!this.settings.values.prompt.trim()) this.setNotice(advice[0]);
    else if (!this.drawing.empty && !this.canvas.active && !this.settings.model.sketch) this.setNotice(advice[1]);
    else if (advice.includes(this.notice.textContent)) this.setNotice("");
  }
  async redrawn(step) {
    this.hand.interrupt();
    this.paper.endDraft();
    if (!step || !this.paper.added(step)) {
      await prepareImages(this.drawing.document.entries.map(({ element }) => element));
      this.paper.fit();
      this.paper.repaint();
    }
    this.reference.sync();
    this.layersPanel.show();
    this.edited(true);
  }
  rested() {
    if (!this.link || this.paper.pointer !== null) return;
    if (!this.link.idle) { this.restTimer = setTimeout(() => this.rested(), REST_AFTER / 3); return; }
    if (!this.settings.refines) return;
    this.rest = true;
    this.link.request(true);
  }

  // --- what the link asks --------------------------------------------------------------------------------------
  key() {
    const head = this.head(this.rest);
    const drawn = this.settings.model.sketch || this.canvas.active;
    return head.prompt.trim() ? JSON.stringify([drawn ? this.drawing.revision : 0, head]) : "";
  }
  // The request as it would be now, without its images.
  head(rest) { return { ...this.settings.head(rest), ...this.canvas.head() }; }
  // The same with them: {head, picture}.
  async frame(head) { return this.canvas.active ? this.canvas.frame(head) : { head, picture: await this.sketch() }; }
  async snapshot() {
    const head = { ...this.head(this.rest), rest: this.rest };
    this.paper.fit(); // the model may be another
    this.paper.paint();
    const operations = this.drawing.shared();
    return { ...await this.frame(head), operations };
  }
  // What the model is to follow: null for an empty paper, and for a model that can't follow drawings.
  sketch() {
    if (this.drawing.empty || !this.settings.model.sketch) return null;
    return pngOf(this.paper.control.canvas);
  }
  async show(answer, sent) {
    const started = performance.now();
    const url = `data:image/jpeg;base64,${toBase64(answer.picture)}`; // a blob's is read through another process
    const image = new Image();
    image.src = url;
    await null; // what a URL holds itself is there now; it is decoded in the frame that paints it
    if (!image.complete) await image.decode();
    if (this.shownSeq > answer.seq) return; // a newer one was decoded meanwhile
    this.shownSeq = answer.seq;
    for (const target of [this.output, this.under]) target.src = url;
    this.variants.mirror(url);
    const blob = new Blob([answer.picture], { type: "image/jpeg" });
    this.image = { blob, seq: answer.seq };
    this.board.classList.add("hs-has-picture");
    this.loadingBox.hidden = true;
    this.output.dataset.seq = answer.seq;
    this.meter.transport = this.link.transport.name;
    this.meter.shown(answer, sent, performance.now() - started);
    this.setNotice("");
    this.advise();
    const head = { ...sent.head, seed: answer.seed };
    delete head.parts;
    const first = !this.shown;
    this.shown = { head, operations: sent.operations };
    if (first) await timeline.loaded;
    // A reload begins with the images that are there already; of a moving pen each is another.
    if ((first || head.rest) && timeline.has(head, sent.operations)) return;
    timeline.add(blob, head, sent.operations);
  }
  problem(answer) {
    this.loadingBox.hidden = true;
    this.setNotice(answer.message);
  }
  // A model on its way, which may take minutes. What the answer to its frame says ends it.
  loading({ share, message }) {
    this.loadingBox.hidden = false;
    this.loadingBox.querySelector("progress").value = share;
    const words = this.loadingBox.querySelector("span");
    if (words.textContent !== message) words.textContent = message;
  }
  setNotice(message) {
    if (this.notice.textContent === message) return;
    this.notice.textContent = message;
    this.notice.hidden = !message;
  }
  state(name) {
    if (name !== "busy") this.loadingBox.hidden = true;
    const before = this.board.dataset.state;
    if (before === name) return;
    this.board.dataset.state = name;
    const { texts } = this.config;
    const live = this.link && this.link.transport.name !== "socket" ? texts["board.state.fallback"] : texts["board.state.ready"];
    const words = { ready: live, busy: live, offline: texts["board.state.connecting"], stopped: texts["board.state.stopped"] }[name];
    if (this.stateText.textContent !== words) this.stateText.textContent = words;
    this.tell(before, name, words);
    if (name === "stopped") this.setNotice(""); // an error of before says nothing about what is seen
    if (name === "offline") this.setNotice(texts["board.state.offline"]);
    else if (this.notice.textContent === texts["board.state.offline"]) this.setNotice("");
  }
  // To those who hear the page: that it stopped and goes on, not every image. What is wrong, the notice tells.
  tell(before, name, words) {
    if (name === "stopped" || (name === "ready" && ["offline", "stopped"].includes(before))) this.told.textContent = words;
  }
  showZoom(zoom) {
    this.paperFrame.dispatchEvent(new CustomEvent("hs-view"));
    this.element.querySelector('[data-act="fit"]').textContent = `${Math.round(100 * zoom)} %`;
  }

  // Until the pen is up and what it drew is kept.
  async penUp() {
    while (this.paper.pointer !== null || this.tools.busy) await new Promise((resolve) => setTimeout(resolve, PEN_LOOK));
    this.drawing.saveNow();
  }

  // --- the rest ------------------------------------------------------------------------------------------------
  toggleLive() {
    if (!this.link) return;
    const on = !this.link.running;
    if (on) this.link.start(); else this.link.stop();
    this.liveButton.setAttribute("aria-pressed", String(on));
  }
  toggleLayout() {
    const overlay = this.board.dataset.layout !== "overlay";
    this.board.dataset.layout = overlay ? "overlay" : "side";
    writeOwn(LAYOUT, this.board.dataset.layout);
    this.tools.press("layout", overlay);
  }
  showOpacity() { this.under.style.opacity = Number(this.opacity.value) / 100; }
  // All that is needed to make the shown image again.
  recipe() { return { head: { ...this.head(this.rest), rest: this.rest }, operations: this.drawing.visible }; }
  // While no images are made the shown one stays, whatever is changed: that is what is saved.
  recipeToSave() { return this.link && !this.link.running && this.shown ? this.shown : this.recipe(); }
  restore(recipe) {
    this.canvas.restore(recipe.head);
    this.settings.restore(recipe.head);
    if (!recipe.operations) return;
    this.drawing.replace(recipe.operations);
  }
}

// The board lives as long as the page, in an element of its own: other tabs use its drawing and settings before it
// is ever looked at, and Gradio, which builds a tab only when it is opened, can't take the canvas away.
export function openBoard() {
  const element = document.createElement("div");
  element.innerHTML = pageConfig.markup;
  const board = provide("board", new Board(element, pageConfig));
  holdReload(() => board.penUp());
  return board;
}

export async function mountBoard(element) {
  const board = await ready("board");
  element.querySelector(".hs-slot").replaceChildren(board.element);
  board.connect();
}
