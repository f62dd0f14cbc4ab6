// The styles tab: which model, its styles as cards, and where to go with the chosen ones.
(function (hs) {
  "use strict";

  hs.StylesPage = class {
    constructor(element, board) {
      Object.assign(this, { element, board });
      this.model = element.querySelector(".hs-s-model");
      this.model.addEventListener("change", () => board.settings.set("model", this.model.value));
      this.prompt = element.querySelector(".hs-s-prompt");
      this.prompt.addEventListener("input", () => board.settings.set("prompt", this.prompt.value));
      for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
      this.cards = new hs.StyleStrip(element.querySelector(".hs-strip"), board, true);
      board.strips.push(this.cards, this); // both are told of every change
      this.plan();
    }
    plan() {
      const { models } = hs.config;
      if (this.filled !== models) {
        this.filled = models;
        this.model.replaceChildren(...models.map((row) => new Option(row.title, row.name)));
      }
      const { model, values } = this.board.settings;
      this.model.value = model.name;
      if (this.prompt !== document.activeElement) this.prompt.value = values.prompt;
      this.element.querySelector(".hs-s-note").textContent = model.note;
      this.element.querySelector(".hs-empty").hidden = model.styles.length > 0;
      this.element.querySelector(".hs-s-go").hidden = !Object.keys(values.styles).length;
    }
    draw() { hs.openTab("board"); }
    write() { hs.toText({ ...this.board.settings.head(false), decoder: "" }); }
    off() { this.board.settings.set("styles", {}); }
  };

  hs.mountStyles = async function (element) { hs.stylesPage = new hs.StylesPage(element, await hs.boardReady); };
  hs.toStyles = async function (recipe) {
    (await hs.boardReady).restore(recipe);
    hs.openTab("styles");
  };

  // The catalogue as it is now: models and styles may have come or gone since the page was built.
  hs.newCatalogue = async function (text) {
    if (!text) return;
    const board = await hs.boardReady;
    hs.config.models = JSON.parse(text).models;
    board.settings.update({});
    if (hs.comparePage) hs.comparePage.renew();
    hs.catalogueCame();
  };

  // A style file dropped anywhere goes to the upload field of the styles tab.
  hs.offerStyle = async function (file) {
    await hs.openTab("styles");
    const field = () => document.querySelector("#hs-style-file input[type=file]");
    for (let tries = 0; tries < 40 && !field(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 50)); // Gradio builds a tab when it opens
    const input = field();
    if (!input) return hs.say(hs.texts["styles.noupload"]);
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
})((window.hypersd = window.hypersd || {}));
