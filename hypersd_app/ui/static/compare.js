// What can be compared: each axis reads its values from text and puts one into a request.
(function (hs) {
  "use strict";
  const numbers = (texts) => texts.map(Number).filter(Number.isFinite);
  const plain = (name, usual, label) => ({
    usual: () => usual, values: numbers, apply: (head, value) => { head[name] = value; }, label: (value) => `${hs.texts[`compare.axis.${label}`]} ${value}`,
  });
  const rows = (list, apply, title) => ({ usual: (context) => list(context).map((row) => row.name), values: (texts) => texts,
    apply, label: (name, context) => (list(context).find((row) => row.name === name) || { title: title || name }).title });

  hs.axes = {
    steps: plain("num_inference_steps", [1, 2, 4, 8], "steps"),
    seed: plain("seed", [1, 2, 3, 4], "seed"),
    scale: plain("controlnet_conditioning_scale", [0.3, 0.6, 1, 1.4], "scale"),
    prompt: { usual: () => ["a red apple", "a blue car", "a cat"], values: (texts) => texts, apply: (head, value) => { head.prompt = value; }, label: String },
    recipe: rows((context) => context.model.recipes, (head, name) => { head.recipe = name; }),
    style: {
      usual: (context) => ["-", ...context.model.styles.map((style) => style.name)], values: (texts) => texts,
      apply: (head, name) => { head.styles = name === "-" ? [] : [{ name, weight: 1 }]; },
      label: (name, context) => (name === "-" ? hs.texts["compare.nostyle"] : (context.model.styles.find((style) => style.name === name) || { title: name }).title),
    },
    weight: { usual: () => [0, 0.5, 1, 1.5], values: numbers, label: (value) => `${hs.texts["compare.axis.weight"]} ${value}`,
      apply: (head, weight) => { head.styles = head.styles.map((style) => ({ ...style, weight })); } },
    model: rows(() => hs.config.models, (head, name) => { head.model = name; head.recipe = ""; head.styles = []; head.decoder = ""; }),
    decoder: rows((context) => context.model.decoders, (head, name) => { head.decoder = name; }),
  };

  // A request must be one its recipe allows: steps go to the nearest it was made for, options it lacks are left out.
  hs.fitted = function (head) {
    const model = hs.config.models.find((row) => row.name === head.model) || hs.config.models[0];
    const recipe = model.recipes.find((row) => row.name === head.recipe) || model.recipes[0];
    const near = (a, b) => (Math.abs(a - head.num_inference_steps) <= Math.abs(b - head.num_inference_steps) ? a : b);
    const steps = recipe.steps.reduce(near);
    return { ...head, recipe: recipe.name, num_inference_steps: steps, negative_prompt: recipe.negative ? head.negative_prompt : "",
      eta: recipe.eta && steps > 1 ? head.eta : null, guidance_scale: recipe.guidance ? head.guidance_scale : null };
  };

  // The requests of a grid, row by row: [{row, column, head}].
  hs.gridRequests = function (base, x, xs, y, ys) {
    const cells = [];
    (ys.length ? ys : [null]).forEach((yValue, row) => xs.forEach((xValue, column) => {
      const head = JSON.parse(JSON.stringify(base));
      // A model or recipe goes in first: the other axis may depend on it.
      const pairs = [[x, xValue], [y, yValue]].filter(([name]) => hs.axes[name]);
      pairs.sort(([a], [b]) => (b === "model") - (a === "model") || (b === "recipe") - (a === "recipe"));
      for (const [name, value] of pairs) hs.axes[name].apply(head, value);
      cells.push({ row, column, head: hs.fitted(head) });
    }));
    return cells;
  };

  // The grid as one picture: labels around, time under each.
  hs.contactSheet = function (images, xLabels, yLabels, captions) {
    const [side, gap, top, left] = [256, 34, 60, yLabels.length ? 150 : 20];
    const canvas = document.createElement("canvas");
    canvas.width = left + xLabels.length * (side + 12) + 8;
    canvas.height = top + Math.max(1, yLabels.length) * (side + gap) + 10;
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const write = (text, x, y, size, color) => { context.font = `${size}px sans-serif`; context.fillStyle = color; context.fillText(text, x, y, side); };
    xLabels.forEach((text, i) => write(text, left + i * (side + 12), top - 18, 17, "#222"));
    yLabels.forEach((text, i) => { context.font = "17px sans-serif"; context.fillStyle = "#222"; context.fillText(text, 14, top + i * (side + gap) + side / 2, left - 24); });
    images.forEach((image, i) => {
      const x = left + (i % xLabels.length) * (side + 12);
      const y = top + Math.floor(i / xLabels.length) * (side + gap);
      if (image) context.drawImage(image, x, y, side, side);
      write(captions[i] || "", x, y + side + 18, 13, "#777");
    });
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };
})((window.hypersd = window.hypersd || {}));
