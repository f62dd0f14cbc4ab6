// What the compare page proposes: values of an axis, and grids worth a look.
// Ready-made grids for a model: [{title, x, xs, y, ys}].
export function presets(model) {
  const { axes, recipes } = model;
  const [students, teachers] = [recipes.filter((row) => row.steps[0] < 8), recipes.filter((row) => row.steps[0] >= 8)];
  const found = [];
  if (students.length && teachers.length) {
    const last = teachers[0].steps.filter((steps) => steps <= 25).pop();
    const taught = students.flatMap((row) => [1, 4].filter((steps) => row.steps.includes(steps)).map((steps) => `${row.name}@${steps}`));
    found.push({ title: "student", x: "recipe", xs: [...taught, `${teachers[0].name}@${last}`], y: "seed", ys: ["7", "8", "9"] });
  }
  if (axes.style) {
    found.push({ title: "styles", x: "style", xs: axes.style, y: "", ys: [] });
    const name = axes.style[1];
    found.push({ title: "weights", x: "style", xs: [0.25, 0.5, 1, 1.5].map((weight) => `${name}:${weight}`), y: "seed", ys: ["7", "8"] });
  }
  if (model.sketch) found.push({ title: "lines", x: "scale", xs: axes.scale, y: "steps", ys: ["1", "4"] });
  return found;
}
