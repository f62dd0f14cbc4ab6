// What the model makes of the words: those it does not read, and things it does not know, with the nearest that it does.
import { callServer, texts } from "../core/bridge.js";

const TYPED = 700; // ms without a change
const NEARLY = 0.75; // of the room for words

function roomOf(tokens, room, chunks) {
  const words = texts[chunks > 1 ? "words.chunks" : "words.room"]; // real models read long prompts in chunks
  return words.replace("{tokens}", tokens).replace("{room}", room).replace("{chunks}", chunks);
}

export class PromptReader {
  // `settings` has values and model, and set(name, value); `counter` shows how much of the room is taken
  constructor(element, settings, counter) { Object.assign(this, { element, settings, counter, timer: 0, key: "" }); }
  // Called often: asks the server once the words stand still.
  plan() {
    const { model, values: { prompt, grammar } } = this.settings;
    const key = JSON.stringify([model.name, grammar, prompt]);
    if (key === this.key) return;
    this.key = key;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(key), TYPED);
  }
  async read(key) {
    const { model, values: { prompt, grammar } } = this.settings;
    const answer = prompt.trim() ? await callServer("reading", { prompt, model: model.name, prompt_grammar: model.grammars.length ? grammar : "" }) : {};
    if (key === this.key) this.show(answer);
  }
  show({ unread = "", unknown = [], tokens = 0, room = 0, chunks = 1 }) {
    this.counter.hidden = !room;
    this.counter.textContent = `${tokens}/${room * chunks}`; // as other programs show it
    this.counter.setAttribute("aria-label", roomOf(tokens, room, chunks));
    this.counter.title = roomOf(tokens, room, chunks);
    const parts = [];
    if (unread) parts.push(texts["words.unread"].replace("{words}", unread));
    else if (room && tokens > NEARLY * room) parts.push(roomOf(tokens, room, chunks)); // before words are cut
    for (const { words, nearest } of unknown) {
      parts.push(texts["words.unknown"].replace("{words}", words));
      if (nearest) parts.push(this.instead(words, nearest));
    }
    this.element.hidden = !parts.length;
    this.element.replaceChildren(...parts.flatMap((part) => [part, " "]));
  }
  instead(words, nearest) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: texts["words.instead"].replace("{word}", nearest) });
    button.addEventListener("click", () => this.settings.set("prompt", replaced(this.settings.values.prompt, words, nearest)));
    return button;
  }
}

// A prompt with other words for a thing, however many spaces there were between them.
export function replaced(prompt, words, others) {
  const escaped = words.split(" ").map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(escaped.join("\\s+(?:\\w+\\s+)*?"), "i");
  return prompt.replace(pattern, () => others);
}
