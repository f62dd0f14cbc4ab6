// Named drawings on the timeline's page, and all of a session as one file and back.
import { texts } from "../core/bridge.js";
import { toBoard } from "../core/navigation.js";
import { download, offer, say } from "../core/notify.js";
import { ready } from "../core/parts.js";
import { archived, unarchived } from "./archive.js";
import { timeline } from "./current.js";
import { forgetDrawing, keepDrawing, keptDrawings, newDrawing } from "./drawings.js";

const icon = (path) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg>`;

export class DrawingsPage {
  constructor(element) {
    Object.assign(this, { element, urls: [] });
    this.one = (selector) => element.querySelector(selector);
    this.name = this.one(".hs-d-name");
    this.one(".hs-d-keep").addEventListener("click", () => this.keep());
    this.name.addEventListener("keydown", (event) => { if (event.key === "Enter") this.keep(); });
    this.one(".hs-d-export").addEventListener("click", () => this.export());
    const file = this.one(".hs-d-import");
    file.addEventListener("change", () => { if (file.files[0]) this.import(file.files[0]); file.value = ""; });
    this.render();
  }
  async keep() {
    const board = await ready("board");
    const name = this.name.value.trim() || board.settings.values.prompt.trim() || new Date().toLocaleString();
    const recipe = structuredClone(board.recipe());
    await this.store(newDrawing(name, recipe, board.image && board.image.blob));
    this.name.value = "";
  }
  async store(drawing) {
    const kept = await keepDrawing(drawing).then(() => true, () => false);
    if (!kept) say(texts["drawings.full"]);
    await this.render();
    return kept;
  }
  async render() {
    const all = await keptDrawings();
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.urls = [];
    this.one(".hs-d-list").replaceChildren(...all.map((each) => this.item(each)));
  }
  item(drawing) {
    const item = document.createElement("li");
    item.innerHTML = `<button type="button" class="hs-d-open"><img alt=""><span></span></button><button type="button" class="hs-d-forget">${icon("M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13")}</button>`;
    const [open, forget] = item.children;
    if (drawing.picture) {
      this.urls.push(URL.createObjectURL(drawing.picture));
      open.firstChild.src = this.urls.at(-1);
    }
    open.lastChild.textContent = drawing.name;
    open.title = `${drawing.name} · ${new Date(drawing.at).toLocaleString()}`;
    forget.title = texts["drawings.forget"].replace("{name}", drawing.name);
    forget.setAttribute("aria-label", forget.title);
    open.addEventListener("click", () => toBoard(drawing.recipe));
    forget.addEventListener("click", () => this.forget(drawing));
    return item;
  }
  async forget(drawing) {
    await forgetDrawing(drawing.id);
    await this.render();
    offer(texts["drawings.forgotten"].replace("{name}", drawing.name), texts["timeline.bringback"], () => this.store(drawing));
  }
  async export() {
    await timeline.loaded;
    const day = new Date().toISOString().slice(0, 10);
    download(await archived(timeline.frames, await keptDrawings()), `session-${day}.zip`);
  }
  // What is there already stays as it is.
  async import(file) {
    const found = await unarchived(file);
    if (!found) { say(texts["drop.unreadable"]); return; }
    await timeline.loaded;
    const there = new Set((await keptDrawings()).map(({ id }) => id));
    const fresh = found.drawings.filter(({ id }) => !there.has(id));
    const frames = timeline.bring(found.frames);
    let count = 0;
    for (const drawing of fresh) {
      if (!await keepDrawing(drawing).then(() => true, () => false)) { say(texts["drawings.full"]); break; }
      count += 1;
    }
    await this.render();
    say(texts["drawings.imported"].replace("{images}", frames).replace("{drawings}", count));
  }
}
