// The compare tab: a grid over one or two axes, a wipe between two pictures, and what makes the grid again.
(function (hs) {
  "use strict";

  hs.ComparePage = class {
    constructor(element, board) {
      Object.assign(this, { element, board, running: false, cells: [], picked: [] });
      this.one = (selector) => element.querySelector(selector);
      for (const name of ["x", "y"]) this.fillAxis(name);
      this.one(".hs-c-prompt").value = board.settings.values.prompt;
      this.one(".hs-c-seed").value = board.settings.values.seed;
      this.one(".hs-c-run").addEventListener("click", () => (this.running ? this.stop() : this.run()));
      this.one(".hs-wipe input").addEventListener("input", () => this.wipeTo());
      for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
    }
    get context() { return { model: this.board.settings.model }; }
    fillAxis(name) {
      const select = this.one(`.hs-c-${name}`);
      const usable = Object.keys(hs.axes).filter((axis) => axis === "weight" || axis === "prompt" || hs.axes[axis].usual(this.context).length > 1);
      const options = usable.map((axis) => new Option(hs.texts[`compare.axis.${axis}`], axis));
      if (name === "y") options.unshift(new Option(hs.texts["compare.none"], ""));
      select.replaceChildren(...options);
      select.value = name === "x" ? "steps" : "";
      select.addEventListener("change", () => this.usual(name));
      this.usual(name);
    }
    usual(name) {
      const axis = hs.axes[this.one(`.hs-c-${name}`).value];
      const field = this.one(`.hs-c-${name}s`);
      field.value = axis ? axis.usual(this.context).join(" | ") : "";
      field.closest("label").style.visibility = axis ? "visible" : "hidden";
    }
    axis(name) {
      const key = this.one(`.hs-c-${name}`).value;
      const texts = this.one(`.hs-c-${name}s`).value.split("|").map((text) => text.trim()).filter(Boolean);
      const values = hs.axes[key] ? hs.axes[key].values(texts).slice(0, 12) : [];
      return { key, values, labels: values.map((value) => hs.axes[key].label(value, this.context)) };
    }
    base() {
      const head = this.board.settings.head(false);
      return { ...head, prompt: this.one(".hs-c-prompt").value, seed: Math.max(0, Math.floor(Number(this.one(".hs-c-seed").value)) || 0), decoder: "" };
    }
    stop() { this.running = false; this.one(".hs-c-run").textContent = hs.texts["compare.run"]; }

    async run() {
      const [x, y] = [this.axis("x"), this.axis("y")];
      const drawn = this.one(".hs-c-sketch").checked ? this.board.drawing.visible : [];
      this.recipe_ = { head: this.base(), operations: drawn, compare: { x: x.key, xs: x.values, y: y.key, ys: y.values } };
      this.cells = hs.gridRequests(this.recipe_.head, x.key, x.values, y.key, y.values);
      this.layOut(x, y);
      this.running = true;
      this.one(".hs-c-run").textContent = hs.texts["compare.stop"];
      for (const cell of this.cells) {
        if (!this.running) break;
        const picture = await hs.sketchOf({ head: cell.head, operations: drawn });
        this.fill(cell, await hs.callFrame(cell.head, picture, "compare"));
      }
      this.stop();
    }
    layOut(x, y) {
      const header = (text) => Object.assign(document.createElement("th"), { textContent: text, scope: "col" });
      const top = document.createElement("tr");
      top.append(header(""), ...x.labels.map((label) => header(label)));
      const lines = (y.values.length ? y.labels : [""]).map((label) => {
        const line = document.createElement("tr");
        line.append(Object.assign(header(label), { scope: "row" }));
        return line;
      });
      for (const cell of this.cells) {
        cell.box = document.createElement("td");
        cell.box.innerHTML = '<button type="button" class="hs-cell"><img alt=""><span></span></button>';
        cell.box.firstChild.addEventListener("click", () => this.pick(cell));
        lines[cell.row].append(cell.box);
      }
      this.one(".hs-grid").replaceChildren(top, ...lines);
      this.one(".hs-empty").hidden = true;
      this.one(".hs-c-after").hidden = false;
      this.one(".hs-wipe").hidden = true;
      this.picked = [];
      this.labels = { x: x.labels, y: y.labels };
    }
    fill(cell, answer) {
      const [image, caption] = [cell.box.querySelector("img"), cell.box.querySelector("span")];
      cell.name = [this.labels.x[cell.column], this.labels.y[cell.row]].filter(Boolean).join(" · ");
      if (!answer.picture) { caption.textContent = answer.message; cell.box.classList.add("hs-failed"); return; }
      image.src = `data:image/jpeg;base64,${answer.picture}`;
      image.alt = `${cell.head.prompt}: ${cell.name}`;
      cell.time = `${Math.round((answer.ms && (answer.ms.total || answer.ms.rendered)) || 0)} ms`;
      caption.textContent = `${cell.time} · ${cell.head.num_inference_steps} × ${cell.head.recipe}`;
      hs.timeline.add(new Blob([hs.fromBase64(answer.picture)], { type: "image/jpeg" }), cell.head, this.recipe_.operations);
    }
    pick(cell) {
      if (!cell.time) return;
      this.picked = [...this.picked.filter((each) => each !== cell), cell].slice(-2);
      for (const each of this.cells) each.box.classList.toggle("hs-picked", this.picked.includes(each));
      if (this.picked.length < 2) return;
      const [a, b] = this.picked;
      this.one(".hs-wipe-a").src = a.box.querySelector("img").src;
      this.one(".hs-wipe-b").src = b.box.querySelector("img").src;
      this.one(".hs-wipe-names").textContent = `${a.name}  |  ${b.name}`;
      this.one(".hs-wipe").hidden = false;
      this.wipeTo();
    }
    wipeTo() { this.one(".hs-wipe-b").style.clipPath = `inset(0 0 0 ${this.one(".hs-wipe input").value}%)`; }
    async sheet() {
      const images = this.cells.map((cell) => (cell.time ? cell.box.querySelector("img") : null));
      const blob = await hs.contactSheet(images, this.labels.x, this.labels.y, this.cells.map((cell) => cell.time));
      hs.download(blob, "compare.png");
    }
    recipe() { hs.copy(JSON.stringify(this.recipe_, null, 1)); }
    link() { hs.copy(hs.link(this.recipe_)); }
    restore({ head, operations, compare }) {
      if (operations && operations.length) this.board.drawing.replace(operations);
      this.board.settings.restore(head);
      for (const name of ["x", "y"]) this.fillAxis(name);
      this.one(".hs-c-prompt").value = head.prompt;
      this.one(".hs-c-seed").value = head.seed;
      for (const name of ["x", "y"]) {
        this.one(`.hs-c-${name}`).value = compare[name];
        this.usual(name);
        this.one(`.hs-c-${name}s`).value = compare[`${name}s`].join(" | ");
      }
      return this.run();
    }
  };

  hs.mountCompare = async function (element) {
    hs.comparePage = new hs.ComparePage(element, await hs.boardReady);
    if (hs.pendingCompare) { hs.comparePage.restore(hs.pendingCompare); hs.pendingCompare = null; }
  };
  hs.toCompare = function (recipe) {
    hs.openTab(hs.texts["tab.compare"]);
    if (hs.comparePage) hs.comparePage.restore(recipe); else hs.pendingCompare = recipe;
  };
})((window.hypersd = window.hypersd || {}));
