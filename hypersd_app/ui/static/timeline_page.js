// The timeline's page: scrub, pin, branch, export.
(function (hs) {
  "use strict";
  const FRAMES_IN_FILM = 400;
  const FILM_FRAME = 80; // ms
  const FILMS = ["video/mp4;codecs=avc1.42E01E", "video/mp4;codecs=vp9", "video/mp4", "video/webm"];

  hs.TimelinePage = class {
    constructor(element) {
      Object.assign(this, { element, chosen: null, urls: new Map(), pending: false });
      this.one = (selector) => element.querySelector(selector);
      this.list = this.one(".hs-t-frames"); this.scrub = this.one(".hs-t-scrub"); this.pinnedOnly = this.one(".hs-t-pinned");
      this.scrub.addEventListener("input", () => this.choose(this.frames()[Number(this.scrub.value)]));
      this.pinnedOnly.addEventListener("change", () => this.render());
      this.list.addEventListener("click", (event) => {
        const item = event.target.closest("[data-id]");
        if (item) this.choose(hs.timeline.get(Number(item.dataset.id)));
      });
      for (const button of element.querySelectorAll("[data-do]")) button.addEventListener("click", () => this[button.dataset.do]());
      hs.timeline.addEventListener("change", () => this.soon());
      new IntersectionObserver(() => this.soon()).observe(element);
      this.render();
    }
    frames() { return hs.timeline.frames.filter((frame) => frame.pinned || !this.pinnedOnly.checked); }
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
      this.forgetUrls();
      this.one(".hs-empty").hidden = frames.length > 0;
      this.scrub.hidden = this.one(".hs-t-stage").hidden = frames.length === 0;
      this.scrub.max = Math.max(0, frames.length - 1);
      const there = new Map([...this.list.children].map((item) => [Number(item.dataset.id), item]));
      this.list.replaceChildren(...frames.map((frame) => there.get(frame.id) || this.item(frame)));
      for (const item of this.list.children) item.classList.toggle("hs-pinned", hs.timeline.get(Number(item.dataset.id)).pinned);
      if (!frames.includes(this.chosen)) this.choose(frames[frames.length - 1]);
      else this.mark();
    }
    item(frame) {
      const item = document.createElement("button");
      Object.assign(item, { type: "button", className: "hs-t-frame" });
      item.dataset.id = frame.id;
      item.setAttribute("role", "option");
      item.setAttribute("aria-label", frame.head.prompt);
      item.append(Object.assign(new Image(), { src: this.url(frame), alt: "", loading: "lazy" }));
      return item;
    }
    forgetUrls() {
      for (const [id, url] of this.urls) if (!hs.timeline.get(id)) { URL.revokeObjectURL(url); this.urls.delete(id); }
    }
    choose(frame) {
      this.chosen = frame || null;
      if (frame) {
        const { head } = frame;
        this.one(".hs-t-large").src = this.url(frame);
        this.one(".hs-t-large").alt = this.one(".hs-t-prompt").textContent = head.prompt;
        const styles = (head.styles || []).map((style) => `${style.name} ${style.weight}`);
        const details = [new Date(frame.at).toLocaleTimeString(), `${hs.texts["text.seed"]} ${head.seed}`,
          `${hs.texts["text.steps"]} ${head.num_inference_steps}`, head.recipe, ...styles];
        this.one(".hs-t-detail").textContent = details.filter(Boolean).join(" · ");
        this.one('[data-do="pin"]').setAttribute("aria-pressed", String(frame.pinned));
      }
      this.mark();
    }
    mark() {
      this.scrub.value = Math.max(0, this.frames().indexOf(this.chosen));
      for (const item of this.list.children) {
        const on = this.chosen && Number(item.dataset.id) === this.chosen.id;
        item.setAttribute("aria-selected", String(Boolean(on)));
      }
    }
    recipe() { return { head: this.chosen.head, operations: this.chosen.operations }; }
    branch() { if (this.chosen) hs.restore(this.recipe()); }
    totext() { if (this.chosen) hs.toText(this.chosen.head); }
    toboard() { if (this.chosen) hs.toBoard({ ...this.recipe(), operations: this.chosen.operations || [] }); }
    tostyles() { if (this.chosen) hs.toStyles(this.recipe()); }
    tocompare() { if (this.chosen) hs.toCompare(this.recipe()); }
    pin() { if (this.chosen) { hs.timeline.pin(this.chosen.id, !this.chosen.pinned); this.choose(this.chosen); } }
    async png() { if (this.chosen) hs.savePng(this.recipe(), await hs.sketchOf(this.recipe())); }
    link() { if (this.chosen) hs.copy(hs.link(this.recipe())); }
    forget() { hs.timeline.forget(); this.render(); }

    async gif() {
      const frames = this.frames().slice(-FRAMES_IN_FILM);
      if (!frames.length) return;
      const bytes = await hs.packParts(frames.map((frame) => frame.blob));
      const answer = await hs.callServer("make_gif", { milliseconds: 120 }, bytes);
      if (answer.gif) hs.download(new Blob([hs.fromBase64(answer.gif)], { type: "image/gif" }), "session.gif");
      else hs.say(answer.message);
    }
    // The browser records its own film: MP4 where it can, else WebM.
    async video() {
      const frames = this.frames().slice(-FRAMES_IN_FILM);
      if (!frames.length || !window.MediaRecorder) return;
      const type = FILMS.find((each) => MediaRecorder.isTypeSupported(each));
      hs.say(hs.texts["timeline.filming"]);
      const canvas = Object.assign(document.createElement("canvas"), { width: 512, height: 512 });
      const context = canvas.getContext("2d");
      const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: type, videoBitsPerSecond: 4e6 });
      const chunks = [];
      recorder.ondataavailable = (event) => chunks.push(event.data);
      recorder.onstop = () => hs.download(new Blob(chunks, { type }), `session.${type.match(/\/(\w+)/)[1]}`);
      recorder.start();
      for (const frame of frames) {
        context.drawImage(await createImageBitmap(frame.blob), 0, 0, 512, 512);
        await new Promise((resolve) => setTimeout(resolve, FILM_FRAME));
      }
      setTimeout(() => recorder.stop(), 600);
    }
  };

  hs.mountTimeline = async function (element) {
    await hs.bridgeReady;
    hs.timelinePage = new hs.TimelinePage(element);
  };
})((window.hypersd = window.hypersd || {}));
