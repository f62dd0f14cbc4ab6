// The live style strip: the visitor's own picture in every style, rendered while nothing else is asked for.
(function (hs) {
  "use strict";
  const IDLE = 1500; // ms
  const pictures = new Map(); // name -> {key, source}: shared by the strip and the cards of the styles tab

  hs.StyleStrip = class {
    constructor(element, board) {
      Object.assign(this, { element, board, cards: new Map(), timer: 0, working: false });
      this.fill();
      this.plan();
    }
    fill() {
      const { styles, name } = this.board.settings.model;
      this.filled = name;
      this.cards = new Map(styles.map((style) => [style.name, this.card(style)]));
      this.element.replaceChildren(...this.cards.values());
      this.element.hidden = !styles.length;
    }
    card(style) {
      const card = document.createElement("div");
      card.className = "hs-style";
      card.innerHTML = '<button type="button"><img alt=""><span></span></button><input type="range" min="-1" max="2" step="0.05">';
      const [button, weight] = [card.firstChild, card.lastChild];
      button.querySelector("span").textContent = style.title;
      if (style.preview) button.querySelector("img").src = style.preview;
      weight.setAttribute("aria-label", `${style.title}: ${this.board.config.texts["styles.weight"]}`);
      button.addEventListener("click", () => this.toggle(style.name));
      weight.addEventListener("input", () => this.weigh(style.name, Number(weight.value)));
      return card;
    }
    toggle(name) {
      const styles = { ...this.board.settings.values.styles };
      if (name in styles) delete styles[name];
      else if (Object.keys(styles).length < this.board.config.maxStyles) styles[name] = 1;
      this.board.settings.set("styles", styles);
    }
    weigh(name, weight) { this.board.settings.set("styles", { ...this.board.settings.values.styles, [name]: weight }); }
    // Called often: marks what is chosen and starts the clock of the next rendering.
    plan() {
      if (this.filled !== this.board.settings.model.name) this.fill();
      const chosen = this.board.settings.values.styles;
      for (const [name, card] of this.cards) {
        card.classList.toggle("hs-chosen", name in chosen);
        card.firstChild.setAttribute("aria-pressed", String(name in chosen));
        card.lastChild.value = chosen[name] ?? 1;
      }
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.render(), IDLE);
    }
    free() {
      const { link } = this.board;
      return !document.hidden && (!link || (link.idle && link.running));
    }
    // One style at a time, and only while the board is idle and seen.
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
          const known = pictures.get(name);
          if (known && known.key === key) { card.querySelector("img").src = known.source; continue; }
          if (!this.free()) break;
          const answer = await hs.callFrame({ ...head, styles: [{ name, weight: 1 }] }, picture, "strip");
          if (!answer.picture) continue;
          const source = `data:image/jpeg;base64,${answer.picture}`;
          pictures.set(name, { key, source });
          card.querySelector("img").src = source;
        }
      } finally {
        this.working = false;
      }
    }
  };
})((window.hypersd = window.hypersd || {}));
