// What the stroke bench sees, in milliseconds of the page's clock. An input's time is the browser's own stamp of the
// event; an image's time is just after the frame that paints it. Both pages are measured by the same rule.
(function () {
  "use strict";
  const probe = (window.strokeProbe = { moves: [], lifts: [], images: [], frames: [] });
  let down = false;
  window.addEventListener("pointerdown", () => { down = true; probe.frames.push([]); }, true);
  window.addEventListener("pointerup", () => { down = false; }, true);
  (function tick(now) {
    if (down) probe.frames[probe.frames.length - 1].push(now);
    requestAnimationFrame(tick);
  })(performance.now());
  const painted = (record) => requestAnimationFrame(() => setTimeout(() => record(performance.now()), 0));

  // The drawing board: an image answers every movement up to the revision of the drawing that was sent for it.
  probe.watchBoard = function (board) {
    let waiting = []; // [{revision, at, lift}] movements no image shows yet
    const revisions = new WeakMap();
    const wrap = (object, name, make) => { object[name] = make(object[name].bind(object)); };
    wrap(board.paper, "add", (add) => (event) => {
      add(event);
      waiting.push({ revision: board.drawing.revision, at: event.timeStamp });
    });
    wrap(board.paper, "up", (up) => (event) => {
      const lifting = event.type === "pointerup" && event.pointerId === board.paper.pointer;
      up(event);
      if (lifting) waiting.push({ revision: board.drawing.revision, at: event.timeStamp, lift: true });
    });
    wrap(board, "snapshot", (snapshot) => async () => {
      const { revision } = board.drawing;
      const made = await snapshot();
      revisions.set(made.head, revision);
      return made;
    });
    wrap(board, "show", (show) => async (answer, sent) => {
      await show(answer, sent);
      if (board.shownSeq !== answer.seq) return; // a newer one came first
      const revision = revisions.get(sent.head);
      painted((now) => {
        probe.images.push(now);
        for (const mark of waiting) if (mark.revision <= revision) probe[mark.lift ? "lifts" : "moves"].push(now - mark.at);
        waiting = waiting.filter((mark) => mark.revision > revision);
      });
    });
  };

  // gr.ImageEditor: it asks at pen-up only, so the next image after it is the answer.
  probe.watchEditor = function (output) {
    let up = 0;
    window.addEventListener("pointerup", (event) => { up = event.timeStamp; }, true);
    new MutationObserver(async () => {
      const image = output.querySelector("img");
      if (!image || !image.src || image.src === probe.source) return;
      probe.source = image.src;
      await image.decode().catch(() => {});
      painted((now) => {
        probe.images.push(now);
        if (up) probe.lifts.push(now - up);
        up = 0;
      });
    }).observe(output, { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] });
  };
})();
