// Files dropped anywhere on the page, or opened by the header's button: a recipe brings everything back, a style file becomes
// a style, any other picture the board's trace.
(function (hs) {
  "use strict";

  hs.openFile = async function (file) {
    if (file.name.endsWith(".safetensors")) return hs.offerStyle(file);
    if (await hs.restoreFile(file)) return undefined;
    if (!file.type.startsWith("image/")) return hs.say(hs.texts["drop.unreadable"]);
    const board = await hs.boardReady;
    hs.openTab("board");
    return board.trace.take(file, "trace");
  };

  function dragged(event) { return event.dataTransfer && [...event.dataTransfer.types].includes("Files"); }
  function fits(file) { return file.type.startsWith("image/") || /\.(safetensors|json)$/.test(file.name); }

  window.addEventListener("dragover", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    document.body.dataset.drop = hs.texts["drop.hint"];
    document.body.classList.add("hs-dropping");
  });
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("hs-dropping"); });
  window.addEventListener("drop", (event) => {
    document.body.classList.remove("hs-dropping");
    if (!dragged(event) || event.target.closest("input[type=file], .hs-own-drop")) return;
    const file = [...event.dataTransfer.files].find(fits);
    if (!file) return;
    event.preventDefault();
    hs.openFile(file);
  });
})((window.hypersd = window.hypersd || {}));
