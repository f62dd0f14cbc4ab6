// Style cards: the visitor's own picture in every style, rendered while nothing else is asked for. The board shows them as
// a strip, the styles tab as large cards that also tell the words a style adds to the prompt.
(function (hs) {
  "use strict";
  const IDLE = 1500; // ms
  const pictures = new Map(); // model and style -> {key, source}: shared by all places that show cards

  hs.StyleStrip = class {
    constructor(element, board, large) {
      Object.assign(this, { element, board, large, cards: new Map(), timer: 0, working: false });
      this.fill();
      this.plan();
    }
    fill() {
      const { styles } = this.board.settings.model;
      this.filled = styles;
      this.marked = null;
      this.cards = new Map(styles.map((style) => [style.name, this.card(style)]));
      this.element.replaceChildren(...this.cards.values());
      this.element.hidden = !styles.length;
    }
    card(style) {
      const card = document.createElement("div");
      card.className = "hs-style";
      card.innerHTML = '<button type="button"><img alt=""><span></span></button><label><output></output>'
        + '<input type="range" min="-1" max="2" step="0.05"></label>';
      const [button, weight] = [card.firstChild, card.querySelector("input")];
      button.querySelector("span").textContent = style.title;
      if (style.preview) button.querySelector("img").src = style.preview;
      if (style.trigger) button.title = this.adds(style);
      if (this.large) button.append(Object.assign(document.createElement("small"), { textContent: style.trigger ? this.adds(style) : hs.texts["styles.notrigger"] }));
      weight.setAttribute("aria-label", `${style.title}: ${hs.texts["styles.weight"]}`);
      button.addEventListener("click", () => this.toggle(style.name));
      weight.addEventListener("input", () => this.weigh(style.name, Number(weight.value)));
      return card;
    }
    adds(style) { return hs.texts["styles.adds"].replace("{words}", style.trigger); }
    toggle(name) {
      const styles = { ...this.board.settings.values.styles };
      if (name in styles) delete styles[name];
      else if (Object.keys(styles).length < hs.config.maxStyles) styles[name] = 1;
      else hs.say(hs.texts["styles.most"].replace("{count}", hs.config.maxStyles));
      this.board.settings.set("styles", styles);
    }
    weigh(name, weight) { this.board.settings.set("styles", { ...this.board.settings.values.styles, [name]: weight }); }
    // Called often: marks what is chosen and starts the clock of the next rendering.
    plan() {
      if (this.filled !== this.board.settings.model.styles) this.fill();
      this.mark();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.render(), IDLE);
    }
    // Every movement of the pen comes by here: the page is touched only where the choice is another.
    mark() {
      const chosen = this.board.settings.values.styles;
      const key = JSON.stringify(chosen);
      if (this.marked === key) return;
      this.marked = key;
      for (const [name, card] of this.cards) {
        card.classList.toggle("hs-chosen", name in chosen);
        card.firstChild.setAttribute("aria-pressed", String(name in chosen));
        card.querySelector("input").value = chosen[name] ?? 1;
        card.querySelector("output").textContent = Number(chosen[name] ?? 1).toFixed(2);
      }
    }
    free() {
      const { link } = this.board;
      return !document.hidden && (!link || (link.idle && link.running));
    }
    // One style at a time, and only while the board is idle and the cards are seen.
    async render() {
      const { link, drawing, settings } = this.board;
      const stopped = link && !link.running;
      if (this.working || stopped || !this.cards.size || !settings.values.prompt.trim()) return;
      if (!this.free() || !this.element.offsetParent) { this.timer = setTimeout(() => this.render(), IDLE); return; }
      this.working = true;
      try {
        const head = settings.head(false);
        const key = JSON.stringify([drawing.revision, { ...head, styles: [] }]);
        const picture = await this.board.sketch();
        for (const [name, card] of this.cards) {
          const id = `${head.model}/${name}`;
          const known = pictures.get(id);
          if (known && known.key === key) { card.querySelector("img").src = known.source; continue; }
          if (!this.free()) break;
          const answer = await hs.callFrame({ ...head, styles: [{ name, weight: 1 }] }, picture, "strip");
          if (!answer.picture) continue;
          const source = `data:image/jpeg;base64,${answer.picture}`;
          pictures.set(id, { key, source });
          card.querySelector("img").src = source;
        }
      } finally {
        this.working = false;
      }
    }
  };
})((window.hypersd = window.hypersd || {}));
