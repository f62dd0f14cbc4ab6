// The board's settings: kept in the browser, shown only where they mean something for the chosen recipe.
import { texts } from "../core/bridge.js";
import { readOwn, writeOwn } from "../core/storage.js";
import { validSeed } from "./seed.js";

const KEY = "hypersd.settings";
const NUMBERS = ["steps", "restSteps", "scale", "seed", "eta", "guidance", "size", "clipSkip"];

export class Settings {
  constructor(element, config, onChange) {
    Object.assign(this, { element, config, onChange });
    this.values = { prompt: config.prompt, steps: 1, scale: 1, seed: 7,
      restSteps: null, eta: null, guidance: null, // null: the recipe's usual value
      size: 0, control: "", // the model's own
      grammar: "", clipSkip: 0, // the model's usual
      negative: "", model: config.model, recipe: "", styles: {} };
    this.load();
    this.bind();
    this.show();
  }
  get model() { return this.config.models.find((model) => model.name === this.values.model) || this.config.models[0]; }
  get recipe() {
    const recipes = this.model.recipes;
    return recipes.find((recipe) => recipe.name === this.values.recipe) || recipes[0] || {};
  }
  get restSteps() { return this.shownValue("restSteps"); }
  // Pixels a side of the image, and of the drawing that is sent.
  get side() { return this.values.size || this.model.width; }
  get control() { return this.model.controls.find((control) => control.name === this.values.control) || this.model.controls[0] || {}; }
  load() {
    try {
      Object.assign(this.values, JSON.parse(readOwn(KEY) || "{}"));
    } catch (error) {
      console.warn("the saved settings are unreadable", error);
    }
    this.tidy();
  }
  // Saved names may be of a model or recipe that is gone.
  tidy() {
    this.values.model = this.model.name;
    if (!this.model.recipes.some((recipe) => recipe.name === this.values.recipe)) this.values.recipe = "";
    if (!this.model.sizes.includes(this.values.size)) this.values.size = 0;
    if (this.control.name !== this.values.control) this.values.control = "";
    const known = new Set(this.model.styles.map((style) => style.name));
    if (!this.values.styles || typeof this.values.styles !== "object") this.values.styles = {};
    for (const name of Object.keys(this.values.styles)) if (!known.has(name)) delete this.values.styles[name];
  }
  bind() {
    this.prompt = this.element.querySelector(".hs-prompt");
    this.prompt.addEventListener("input", () => this.set("prompt", this.prompt.value));
    this.element.querySelector('[data-set="seed"]').addEventListener("change", () => this.tidySeed());
    for (const input of this.element.querySelectorAll("[data-set]")) {
      input.addEventListener("input", () => {
        const name = input.dataset.set;
        this.set(name, NUMBERS.includes(name) ? Number(input.value) : input.value);
      });
    }
  }
  // What is typed may not be a seed; what the field shows when it is left is.
  tidySeed() { if (this.values.seed !== validSeed(this.values.seed)) this.set("seed", validSeed(this.values.seed)); }
  set(name, value) {
    this.values[name] = value;
    if (name === "model") this.tidy();
    this.changed();
  }
  update(values) { Object.assign(this.values, values); this.tidy(); this.changed(); }
  changed() {
    writeOwn(KEY, JSON.stringify(this.values));
    this.show();
    this.onChange();
  }
  // Options that act with the others' values: eta needs a second step, a negative prompt guidance above 1.
  acts(option) {
    if (option === "negative") return Boolean(this.recipe.negative) && (this.values.guidance ?? this.recipe.guidance[1]) > 1;
    if (option === "eta") return Boolean(this.recipe.eta) && Math.max(this.values.steps, this.restSteps) > 1;
    if (option === "size") return this.model.sizes.length > 1;
    if (option === "grammar") return this.model.grammars.length > 0;
    if (option === "clipSkip") return this.model.clipSkips > 0;
    if (option === "control") return this.model.controls.length > 1;
    return Boolean(this.recipe[option]);
  }
  // Steps and ranges are the recipe's: what it was not made for can't be chosen.
  limit() {
    const { steps, eta, guidance } = this.recipe;
    const [low, high] = steps && steps.length ? [steps[0], steps[steps.length - 1]] : [1, 8];
    this.range("steps", low, high);
    this.range("restSteps", low, high);
    if (eta) this.range("eta", eta[0], eta[2]);
    if (guidance) this.range("guidance", guidance[0], guidance[2]);
  }
  range(name, low, high) {
    const input = this.element.querySelector(`[data-set="${name}"]`);
    Object.assign(input, { min: low, max: high });
    input.closest("label").hidden = low === high;
    if (this.values[name] !== null) this.values[name] = Math.min(high, Math.max(low, this.values[name]));
  }
  show() {
    if (this.prompt.value !== this.values.prompt) this.prompt.value = this.values.prompt;
    this.fill("model", this.config.models);
    this.fill("recipe", this.model.recipes);
    this.fill("control", this.model.controls);
    this.fill("size", this.model.sizes.map((side) => ({ name: side, title: `${side} × ${side}` })));
    this.fill("grammar", ["", ...this.model.grammars].map((name) => ({ name, title: texts[`board.grammar.${name || "usual"}`] })));
    this.fill("clipSkip", Array.from({ length: this.model.clipSkips + 1 }, (_, skip) => ({ name: skip, title: skip || texts["board.grammar.usual"] })));
    this.limit();
    for (const input of this.element.querySelectorAll("[data-set]")) {
      const value = this.shownValue(input.dataset.set);
      if (input !== document.activeElement || input.tagName === "SELECT") input.value = value;
    }
    for (const output of this.element.querySelectorAll("output[data-for]")) output.textContent = this.shownValue(output.dataset.for);
    for (const part of this.element.querySelectorAll("[data-option]")) part.hidden = !this.acts(part.dataset.option);
  }
  shownValue(name) {
    const value = this.values[name];
    if (name === "recipe" || name === "control") return this[name].name || "";
    if (name === "size") return this.side;
    return value === null ? (this.recipe[name] || [0, 0, 0])[1] : value;
  }
  fill(name, rows) {
    const select = this.element.querySelector(`select[data-set="${name}"]`);
    const wanted = rows.map((row) => row.name).join("|");
    if (select.dataset.rows === wanted) return;
    select.dataset.rows = wanted;
    select.replaceChildren(...rows.map((row) => new Option(row.title, row.name)));
  }
  // Whether a resting pen gets another image than a moving one.
  get refines() { return JSON.stringify(this.head(true)) !== JSON.stringify(this.head(false)); }
  // The request as the server reads it (server/service.py). `rest` asks for the better image of a resting pen.
  head(rest) {
    const v = this.values;
    return {
      prompt: v.prompt, model: this.model.name, recipe: v.recipe, seed: validSeed(v.seed),
      num_inference_steps: rest ? Math.max(v.steps, this.restSteps) : v.steps,
      negative_prompt: this.acts("negative") ? v.negative : "",
      eta: this.acts("eta") ? v.eta : null,
      guidance_scale: this.acts("guidance") ? v.guidance : null,
      styles: Object.entries(v.styles).map(([name, weight]) => ({ name, weight })),
      ...(this.acts("grammar") && v.grammar && { prompt_grammar: v.grammar }),
      ...(this.acts("clipSkip") && v.clipSkip && { clip_skip: v.clipSkip }),
      controlnet_conditioning_scale: v.scale, control: this.control.name || "",
      width: this.side, height: this.side,
      decoder: (rest ? this.model.restDecoder : this.model.liveDecoder) || "",
    };
  }
  // Back from a recipe: the opposite of head().
  restore(head) {
    const styles = Object.fromEntries((head.styles || []).map((style) => [style.name, style.weight]));
    const values = { styles, prompt: head.prompt, model: head.model, recipe: head.recipe || "", seed: head.seed,
      negative: head.negative_prompt || "", grammar: head.prompt_grammar || "", clipSkip: head.clip_skip || 0, size: head.width === head.height && head.width ? head.width : 0, control: head.control || "" };
    // A resting pen's image has its own steps; a moving pen takes no more than those.
    values[head.rest ? "restSteps" : "steps"] = head.num_inference_steps;
    if (head.rest) values.steps = Math.min(this.values.steps, head.num_inference_steps);
    [values.eta, values.guidance] = [head.eta ?? null, head.guidance_scale ?? null]; // null: the recipe's, not what was set here
    if (head.controlnet_conditioning_scale != null) values.scale = head.controlnet_conditioning_scale;
    this.update(values);
  }
}
