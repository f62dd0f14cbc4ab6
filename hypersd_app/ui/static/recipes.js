// Recipes on their way between the tabs, links, and PNG files dropped anywhere.
(function (hs) {
  "use strict";

  // Pictures of the text tab arrive as JSON [{head, picture}].
  hs.collect = function (value) {
    if (!value) return;
    const made = JSON.parse(value);
    for (const { head, picture } of made) {
      hs.timeline.add(new Blob([hs.fromBase64(picture)], { type: "image/jpeg" }), head, null);
    }
    if (made.length) hs.prompts.seen(made[0].head.prompt);
  };

  // A link's recipe may ask for a tab before Gradio has built the bar: wait until the tab is open.
  hs.openTab = async function (name) {
    for (let tries = 0; tries < 100; tries += 1) {
      const tab = [...document.querySelectorAll('[role="tab"]')].find((each) => each.textContent.trim() === name);
      if (tab && tab.getAttribute("aria-selected") === "true") return;
      if (tab) tab.click();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  hs.toText = async function (head) {
    await hs.bridgeReady;
    hs.bridge.props.value = JSON.stringify(head);
    hs.bridge.trigger("restore");
    hs.openTab(hs.texts["tab.text"]);
  };

  hs.toBoard = async function (recipe) {
    (await hs.boardReady).restore(recipe);
    hs.openTab(hs.texts["tab.board"]);
  };

  // A drawing goes to the board, words alone to the text tab.
  hs.restore = function (recipe) {
    if (recipe.compare) return hs.toCompare(recipe);
    return recipe.operations && recipe.operations.length ? hs.toBoard(recipe) : hs.toText(recipe.head);
  };

  // A recipe from text, null if it is none.
  hs.parseRecipe = function (text) {
    try {
      const recipe = JSON.parse(text);
      return recipe && recipe.head && typeof recipe.head.prompt === "string" ? recipe : null;
    } catch {
      return null;
    }
  };

  hs.link = function (recipe) {
    const json = new TextEncoder().encode(JSON.stringify(recipe));
    const code = hs.toBase64(json.buffer).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    return `${location.origin}${location.pathname}#recipe=${code}`;
  };

  hs.readLink = function () {
    const found = location.hash.match(/^#recipe=([\w-]+)$/);
    if (!found) return;
    try {
      hs.restore(JSON.parse(new TextDecoder().decode(hs.fromBase64(found[1].replace(/-/g, "+").replace(/_/g, "/")))));
    } catch (error) {
      console.warn("the link's recipe is unreadable", error);
    }
  };

  hs.copy = async function (text) {
    await navigator.clipboard.writeText(text);
    hs.say(hs.texts.copied);
  };

  // The full-quality PNG of a recipe, with all that makes it again inside.
  hs.savePng = async function (recipe, sketch) {
    const picture = sketch || (hs.board && recipe.operations ? await hs.sketchOf(recipe) : null);
    const answer = await hs.callServer("save_png", { head: recipe.head, operations: recipe.operations || [] }, picture);
    if (answer && answer.png) hs.download(new Blob([hs.fromBase64(answer.png)], { type: "image/png" }), answer.name);
    else hs.say((answer && answer.message) || hs.texts["board.state.offline"]);
  };

  // The control picture of a recipe's strokes, null without any.
  hs.sketchOf = async function ({ head, operations }) {
    if (!operations || !operations.length) return null;
    await hs.prepareImages(operations);
    const model = hs.config.models.find((row) => row.name === head.model) || hs.config.models[0];
    if (!model.sketch) return null;
    const sheet = hs.controlSheet();
    sheet.resize(head.width || model.width);
    hs.paintAll(sheet.context, operations);
    return hs.pngOf(sheet.canvas);
  };

  hs.readPng = async function (file) {
    const answer = await hs.callServer("read_png", {}, await file.arrayBuffer());
    return answer && answer.head ? answer : null;
  };

  // What a dropped file can be here: "image", "style", "recipe" or nothing.
  function kind(file) {
    if (file.type.startsWith("image/")) return "image";
    if (file.name.endsWith(".safetensors")) return "style";
    return file.name.endsWith(".json") ? "recipe" : "";
  }
  async function read(file) {
    if (file.type === "image/png") return hs.readPng(file);
    return kind(file) === "recipe" ? hs.parseRecipe(await file.text()) : null;
  }

  function dragged(event) { return event.dataTransfer && [...event.dataTransfer.types].includes("Files"); }

  window.addEventListener("dragover", (event) => {
    if (!dragged(event)) return;
    event.preventDefault();
    document.body.dataset.drop = hs.texts["drop.hint"];
    document.body.classList.add("hs-dropping");
  });
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("hs-dropping"); });
  window.addEventListener("drop", async (event) => {
    document.body.classList.remove("hs-dropping");
    if (!dragged(event) || event.target.closest("input[type=file], .hs-own-drop")) return;
    const file = [...event.dataTransfer.files].find((each) => kind(each));
    if (!file) return;
    event.preventDefault();
    if (kind(file) === "style") return hs.offerStyle(file);
    const recipe = await read(file);
    if (recipe) { hs.restore(recipe); hs.say(hs.texts["drop.restored"]); }
    else if (kind(file) === "image") { hs.openTab(hs.texts["tab.board"]); hs.board.trace.file(file, "trace"); }
    else hs.say(hs.texts["drop.unreadable"]);
  });
})((window.hypersd = window.hypersd || {}));
