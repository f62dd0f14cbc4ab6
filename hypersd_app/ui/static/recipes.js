// Recipes on their way between the tabs, links and PNG files.
(function (hs) {
  "use strict";
  const FILLED_BY = 5000; // ms
  const AT_ONCE = 8; // pictures of the text tab, at most

  // Pictures of the text tab arrive as JSON [{head, picture}]. After a reload the pictures of before come once more.
  hs.collect = async function (value) {
    if (!value) return;
    const made = JSON.parse(value);
    await hs.timeline.loaded;
    const before = new Set(hs.timeline.frames.slice(-AT_ONCE).map((frame) => JSON.stringify(frame.head)));
    for (const { head, picture } of made) {
      if (before.has(JSON.stringify(head))) continue;
      hs.timeline.add(new Blob([hs.fromBase64(picture)], { type: "image/jpeg" }), head, null);
    }
    if (!made.length) return;
    hs.prompts.seen(made[0].head.prompt);
    hs.remember(made[0].head);
  };

  // The text tab's fields as a recipe says. `filling` until Python has set them all, or is not there to do so.
  let filledBy = 0;
  hs.fillText = async function (head) {
    await hs.bridgeReady;
    hs.filling = true;
    clearTimeout(filledBy); // of an earlier one
    filledBy = setTimeout(() => { hs.filling = false; }, FILLED_BY);
    hs.bridge.props.value = JSON.stringify(head);
    hs.bridge.trigger("restore");
  };
  hs.toText = async function (head) {
    await hs.fillText(head);
    hs.openTab("text");
  };

  hs.toBoard = async function (recipe) {
    const board = await hs.boardReady;
    board.restore(recipe);
    hs.openTab("board");
  };

  // A grid goes to its page, a drawing to the board, words alone to the text tab.
  hs.goOn = function (recipe) {
    if (recipe.compare) return hs.toCompare(recipe);
    return recipe.operations && recipe.operations.length ? hs.toBoard(recipe) : hs.toText(recipe.head);
  };

  // A recipe from elsewhere, with the models and styles there are here; what is missing is told. False if it can't be read.
  hs.restore = async function (recipe) {
    const { head, missing, message } = await hs.callServer("known_names", { head: recipe.head });
    if (!head) { hs.say(message); return false; }
    await hs.goOn({ ...recipe, head });
    hs.say(missing.length ? hs.texts["drop.missing"].replace("{names}", missing.join(", ")) : hs.texts["drop.restored"]);
    return true;
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

  // Restore the recipe in a PNG, of this studio or of A1111, or in a .json file. Resolves to false if there is none; one that
  // can't be used is told by hs.restore().
  hs.restoreFile = async function (file) {
    let recipe = null;
    if (file.type === "image/png") recipe = await hs.readPng(file);
    else if (file.name.endsWith(".json")) recipe = hs.parseRecipe(await file.text());
    if (!recipe) return false;
    await hs.restore(recipe);
    return true;
  };
  hs.readPng = async function (file) {
    const answer = await hs.callServer("read_png", {}, await file.arrayBuffer());
    return answer.head ? answer : null;
  };

  hs.link = function (recipe) {
    const json = new TextEncoder().encode(JSON.stringify(recipe));
    const code = hs.toBase64(json.buffer).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    return `${location.origin}${location.pathname}#recipe=${code}`;
  };

  // The recipe in the address, taken out of it: a reload then shows what became of it.
  hs.readLink = async function () {
    const found = location.hash.match(/^#recipe=(.*)$/);
    if (!found) return;
    history.replaceState(null, "", location.pathname + location.search);
    await hs.catalogueReady;
    let recipe = null;
    try {
      const json = hs.fromBase64(found[1].replace(/-/g, "+").replace(/_/g, "/"));
      recipe = hs.parseRecipe(new TextDecoder().decode(json));
    } catch { /* cut or changed on its way: told below */ }
    if (recipe) hs.restore(recipe); else hs.say(hs.texts["drop.unreadable"]);
  };
  window.addEventListener("hashchange", () => hs.readLink());

  // Without encryption, as on another machine of the house, browsers have no clipboard but the old command.
  function copyAsSelected(text) {
    const field = Object.assign(document.createElement("textarea"), { value: text, className: "hs-copied" });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
  hs.copy = async function (text) {
    const done = navigator.clipboard ? await navigator.clipboard.writeText(text).then(() => true, () => false) : false;
    hs.say(hs.texts[done || copyAsSelected(text) ? "copied" : "copy.failed"]);
  };

  hs.saveRecipe = function (recipe) {
    const words = recipe.head.prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 48) || "recipe";
    hs.download(new Blob([JSON.stringify(recipe, null, 1)], { type: "application/json" }), `${words}-${recipe.head.seed}.json`);
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
})((window.hypersd = window.hypersd || {}));
