// The text tab's ideas and the prompts used before; and the visitor's choice of light or dark.
(function (hs) {
  "use strict";
  const [HISTORY, THEME] = ["hypersd.prompts", "hypersd.theme"];
  const MOST = 16;
  const SETTLED = 2500; // ms without a new prompt: this one was meant

  hs.prompts = {
    all() {
      try { return JSON.parse(hs.read("localStorage", HISTORY) || "[]").filter((words) => typeof words === "string"); } catch { return []; }
    },
    add(words) {
      if (!words.trim()) return;
      hs.write("localStorage", HISTORY, JSON.stringify([words, ...this.all().filter((each) => each !== words)].slice(0, MOST)));
      if (this.changed) this.changed();
    },
    // Called for every picture of the text tab: a prompt counts once nothing newer comes.
    seen(words) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.add(words), SETTLED);
    },
    clear() { localStorage.removeItem(HISTORY); if (this.changed) this.changed(); },
  };

  function field() { return document.querySelector("#hs-text-prompt textarea, #hs-text-prompt input"); }

  // Typed, as far as Gradio can tell.
  function type(words) {
    field().value = words;
    field().dispatchEvent(new Event("input", { bubbles: true }));
    field().focus();
  }

  hs.mountIdeas = async function (element) {
    await hs.bridgeReady;
    const list = (selector, all) => element.querySelector(selector).replaceChildren(...all.map((words) => {
      const chip = Object.assign(document.createElement("button"), { type: "button", className: "hs-chip", textContent: words });
      chip.addEventListener("click", () => type(words));
      return chip;
    }));
    const earlier = () => {
      const all = hs.prompts.all().filter((words) => !hs.config.ideas.includes(words));
      list(".hs-earlier", all);
      element.querySelector(".hs-earlier-row").hidden = !all.length;
    };
    list(".hs-ideas", hs.config.ideas);
    element.querySelector(".hs-earlier-clear").addEventListener("click", () => hs.prompts.clear());
    hs.prompts.changed = earlier;
    earlier();
  };

  // Words that are not drawn with yet are meant nevertheless.
  document.addEventListener("input", (event) => { if (event.target === field()) hs.rememberPrompt(event.target.value); });

  // Until something is drawn the board is about what is typed here, so that style cards and grids show it too.
  document.addEventListener("input", (event) => {
    if (event.target !== field() || !hs.board || !hs.board.drawing.empty) return;
    hs.board.settings.set("prompt", event.target.value);
  });

  hs.theme = {
    apply() {
      const chosen = hs.read("localStorage", THEME);
      if (chosen) document.body.classList.toggle("dark", chosen === "dark");
    },
    toggle() {
      hs.write("localStorage", THEME, document.body.classList.contains("dark") ? "light" : "dark");
      this.apply();
    },
  };
})((window.hypersd = window.hypersd || {}));
