// The timeline's page: scrub, pin, branch, export.
import { savePng, saveRecipe } from "../board/save.js";
import { bridgeReady, config, counted, texts } from "../core/bridge.js";
import { goOn, toBoard, toCompare, toStyles, toText } from "../core/navigation.js";
import { copyText, download, offer, say } from "../core/notify.js";
import { provide } from "../core/parts.js";
import { recipeLink } from "../core/recipes.js";
import { timeline } from "./current.js";
import { animatedGif, animatedWebp, video } from "./export.js";
import { DrawingsPage } from "./drawings_page.js";
import { matching, Selection } from "./selection.js";
import { followed, Timeline } from "./timeline.js";

// Whether two prompts are one on its way, as somebody typed it.
function typedOn(one, other) { return one.startsWith(other) || other.startsWith(one); }

export class TimelinePage {
  constructor(element) {
    Object.assign(this, { element, chosen: null, urls: new Map(), items: new Map(), pending: false, animation: 0, selection: new Selection() });
    this.one = (selector) => element.querySelector(selector);
    this.list = this.one(".hs-t-frames"); this.scrub = this.one(".hs-t-scrub"); this.pinnedOnly = this.one(".hs-t-pinned");
    const { moving, meant } = Timeline.most;
    this.one(".hs-lead").textContent = texts["timeline.lead"].replace("{meant}", meant).replace("{moving}", moving);
    this.scrub.addEventListener("input", () => this.choose(this.frames()[Number(this.scrub.value)]));
    this.pinnedOnly.addEventListener("change", () => this.render());
    this.search = this.one(".hs-t-search");
    this.search.addEventListener("input", () => this.render());
    this.list.addEventListener("click", (event) => {
      const item = event.target.closest("[data-id]");
      if (item) this.point(timeline.get(Number(item.dataset.id)), event);
    });
    this.list.addEventListener("keydown", (event) => this.key(event));
    for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
    timeline.addEventListener("change", () => this.soon());
    this.drawings = new DrawingsPage(element);
    new IntersectionObserver(() => this.soon()).observe(element);
    this.render();
  }
  frames() { return matching(timeline.frames.filter((frame) => frame.pinned || !this.pinnedOnly.checked), this.search.value); }
  // A frame that was clicked, or gone to with Shift.
  point(frame, event) {
    if (!frame) return;
    if (!this.selection.anchor && this.chosen) this.selection.click(this.chosen.id, {}, []);
    this.selection.click(frame.id, event, this.frames().map(({ id }) => id));
    const meant = ({ id }) => this.selection.ids.has(id);
    this.choose(meant(frame) ? frame : this.frames().findLast(meant) || frame);
  }
  // What is meant: all that are selected, else the chosen one.
  meant() {
    const selected = this.frames().filter(({ id }) => this.selection.ids.has(id));
    return selected.length > 1 ? selected : [this.chosen].filter(Boolean);
  }
  // One press of a button brings them back.
  remove() {
    const frames = this.meant();
    if (!frames.length) return;
    const all = this.frames();
    const next = all[all.indexOf(frames.at(-1)) + 1] || all[all.indexOf(frames[0]) - 1] || null;
    timeline.remove(frames);
    timeline.touched();
    this.selection = new Selection();
    this.choose(next);
    this.render();
    offer(texts["timeline.removed"].replace("{images}", counted("images", frames.length)), texts["timeline.bringback"], () => timeline.bring(frames));
  }
  // Frames come many a second while somebody draws: render at most a few times, and only when seen.
  soon() {
    if (this.pending || !this.element.offsetParent) return;
    this.pending = true;
    setTimeout(() => { this.pending = false; this.render(); }, 150);
  }
  url(frame) {
    if (!this.urls.has(frame.id)) this.urls.set(frame.id, URL.createObjectURL(frame.blob));
    return this.urls.get(frame.id);
  }
  render() {
    const frames = this.frames();
    const chosen = followed(this.chosen, this.newest, frames);
    this.newest = frames.at(-1) || null;
    this.selection.keep(frames.map(({ id }) => id));
    this.forgetGone();
    this.one(".hs-empty").hidden = frames.length > 0;
    this.scrub.hidden = this.one(".hs-t-stage").hidden = frames.length === 0;
    this.scrub.max = Math.max(0, frames.length - 1);
    const inside = this.list.contains(document.activeElement);
    this.list.replaceChildren(...this.groups(frames));
    if (chosen !== this.chosen) this.choose(chosen);
    else this.mark();
    // Who goes by keyboard stays where they are, though their place was built anew.
    if (inside && this.chosen) this.items.get(this.chosen.id).focus({ preventScroll: true });
  }
  // Frames of one prompt under its words.
  groups(frames) {
    const groups = [];
    for (const frame of frames) {
      const { prompt } = frame.head;
      const last = groups[groups.length - 1];
      if (!last || !typedOn(last.prompt, prompt)) { groups.push({ prompt, frames: [frame] }); continue; }
      last.prompt = prompt;
      last.frames.push(frame);
    }
    return groups.map((group) => {
      const box = Object.assign(document.createElement("div"), { className: "hs-t-group" });
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", group.prompt);
      const heading = Object.assign(document.createElement("p"), { className: "hs-quiet", textContent: group.prompt });
      heading.setAttribute("aria-hidden", "true"); // the group's name
      box.append(heading, ...group.frames.map((frame) => this.item(frame)));
      return box;
    });
  }
  item(frame) {
    if (!this.items.has(frame.id)) {
      const item = Object.assign(document.createElement("button"), { type: "button", className: "hs-t-frame" });
      item.dataset.id = frame.id;
      item.setAttribute("role", "option");
      item.append(Object.assign(new Image(), { src: this.url(frame), alt: "", loading: "lazy" }));
      this.items.set(frame.id, item);
    }
    const item = this.items.get(frame.id);
    const marks = [frame.pinned && texts["timeline.pin"], frame.head.rest && texts["timeline.rested"]];
    item.setAttribute("aria-label", [frame.head.prompt, ...marks].filter(Boolean).join(", "));
    item.classList.toggle("hs-pinned", frame.pinned);
    item.classList.toggle("hs-rested", Boolean(frame.head.rest));
    return item;
  }
  forgetGone() {
    const there = new Set(timeline.frames.map((frame) => frame.id));
    for (const [id, url] of this.urls) if (!there.has(id)) { URL.revokeObjectURL(url); this.urls.delete(id); this.items.delete(id); }
  }
  choose(frame) {
    this.chosen = frame || null;
    if (frame) {
      const { head } = frame;
      this.one(".hs-t-large").src = this.url(frame);
      this.one(".hs-t-large").alt = this.one(".hs-t-prompt").textContent = head.prompt;
      const model = config.models.find((row) => row.name === head.model) || { recipes: [], styles: [] };
      const title = (rows, name) => (rows.find((row) => row.name === name) || { title: name }).title;
      const styles = (head.styles || []).map((style) => `${title(model.styles, style.name)} ${style.weight}`);
      const details = [new Date(frame.at).toLocaleTimeString(), `${texts["text.seed"]} ${head.seed}`,
        counted("steps", head.num_inference_steps), head.rest && texts["timeline.rested"],
        title(model.recipes, head.recipe), ...styles];
      this.one(".hs-t-detail").textContent = details.filter(Boolean).join(" · ");
      this.one('[data-do="pin"]').setAttribute("aria-pressed", String(frame.pinned));
    }
    if (frame && !this.selection.ids.has(frame.id)) { this.selection = new Selection(); this.selection.click(frame.id, {}, []); }
    this.mark();
  }
  // The list is one stop of the Tab key: the arrows go from frame to frame.
  mark() {
    this.scrub.value = Math.max(0, this.frames().indexOf(this.chosen));
    for (const [id, item] of this.items) {
      const on = Boolean(this.chosen) && id === this.chosen.id;
      item.setAttribute("aria-selected", String(on));
      item.tabIndex = on ? 0 : -1;
      item.classList.toggle("hs-selected", this.selection.ids.has(id) && this.selection.ids.size > 1);
    }
    const count = this.meant().length;
    const button = this.one('[data-do="remove"]');
    button.textContent = count > 1 ? texts["timeline.removemany"].replace("{count}", count) : texts["timeline.remove"];
  }
  key(event) {
    if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); this.remove(); return; }
    const frames = this.frames();
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.selection.ids = new Set(frames.map(({ id }) => id));
      this.mark();
      return;
    }
    if (frames.some((frame) => !this.items.has(frame.id))) this.render(); // the newest are not in the list yet
    const at = frames.indexOf(this.chosen);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: frames.length - 1 }[event.key];
    const rows = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (to === undefined && !rows) return;
    event.preventDefault();
    const frame = rows ? this.nextRow(frames, rows) : frames[to];
    if (!frame) return;
    if (event.shiftKey) this.point(frame, event); else this.choose(frame);
    this.items.get(frame.id).focus();
  }
  // The frame above (-1) or below (1) the chosen one.
  nextRow(frames, way) {
    const place = (frame) => this.items.get(frame.id).getBoundingClientRect();
    const here = place(this.chosen);
    const beyond = frames.map((frame) => ({ frame, box: place(frame) })).filter(({ box }) => way * (box.top - here.top) > 1);
    const far = ({ box }) => 1e4 * Math.abs(box.top - here.top) + Math.abs(box.left - here.left);
    return beyond.length ? beyond.reduce((best, each) => (far(each) < far(best) ? each : best)).frame : null;
  }
  recipe() { return { head: this.chosen.head, operations: this.chosen.operations }; }
  branch() { if (this.chosen) goOn(this.recipe()); }
  totext() { if (this.chosen) toText(this.chosen.head); }
  toboard() { if (this.chosen) toBoard({ ...this.recipe(), operations: this.chosen.operations || [] }); }
  tostyles() { if (this.chosen) toStyles(this.recipe()); }
  tocompare() { if (this.chosen) toCompare(this.recipe()); }
  pin() { if (this.chosen) { timeline.pin(this.chosen.id, !this.chosen.pinned); this.choose(this.chosen); } }
  async png() { if (this.chosen) savePng(this.recipe()); }
  link() { if (this.chosen) copyText(recipeLink(this.recipe())); }
  save() { if (this.chosen) saveRecipe(this.recipe()); }
  forget() {
    const count = timeline.frames.filter((frame) => !frame.pinned).length;
    if (!count || !window.confirm(texts["timeline.clear.ask"].replace("{images}", counted("images", count)))) return;
    timeline.forget();
    this.render();
  }

  gif() { this.record(animatedGif); }
  webp() { this.record(animatedWebp); }
  video() { this.record(video); }
  cancel() { this.animation += 1; this.busy(false); }
  async record(make) {
    const frames = this.meant().length > 1 ? this.meant() : this.frames();
    if (!frames.length) return;
    const animation = (this.animation += 1); // another one, or cancelling, ends this one
    const cancelled = () => animation !== this.animation;
    this.busy(true);
    try {
      const made = await make(frames, Number(this.one(".hs-t-speed").value), cancelled, (share) => { this.one("progress").value = share; });
      if (made) download(made.blob, made.name);
    } catch (error) {
      if (!cancelled()) say(error.message);
    } finally {
      if (!cancelled()) this.busy(false);
    }
  }
  // While an animation is made its progress stands where the buttons were. Without a value the bar only says that there is work.
  busy(on) {
    this.one(".hs-t-animations").hidden = on;
    this.one(".hs-t-making").hidden = !on;
    this.one("progress").removeAttribute("value");
  }
}

export async function mountTimeline(element) {
  await bridgeReady;
  provide("timeline", new TimelinePage(element));
}
