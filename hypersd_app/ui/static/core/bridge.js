// The page's one door to Python: an invisible Gradio component whose server functions and events all parts share.
import { pack } from "./wire.js";

const CATALOGUE_PATIENCE = 5000; // ms

export let bridge = null; // {element, props, trigger, server} of the component
export let config = {}; // ui/page_config.py; the catalogue in it is renewed, see styles/styles_page.js
export let texts = {}; // of the page's language, by key

let opened;
export const bridgeReady = new Promise((resolve) => { opened = resolve; });

// Called once the current catalogue is here; catalogueReady does not wait for it for ever.
export let catalogueCame;
export const catalogueReady = new Promise((resolve) => { catalogueCame = resolve; });

export function openBridge(element, props, trigger, server) {
  bridge = { element, props, trigger, server };
  config = { ...props.config };
  texts = config.texts;
  setTimeout(catalogueCame, CATALOGUE_PATIENCE);
  opened();
}

// A count with its noun, as in "1 step" and "3 steps": pictures, steps, models or styles.
export const counted = (things, count) => texts[`count.${things}.${count === 1 ? "one" : "other"}`].replace("{count}", count);

// One picture outside the live link (style strip, compare): resolves to the answer, {type: "error"} if the call failed.
let calls = 0;
let token = null;
async function call(name, message, bytes) {
  await bridgeReady;
  const { server } = bridge;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    token = token || (await server.board_token(null).catch(() => null)); // rejects when the network is down
    const file = new File([bytes], "frame.bin");
    const answer = await server[name]({ binary: true, data: { message: JSON.stringify({ ...message, token }), file } }).catch(() => null);
    if (answer && answer.type !== "refused") return answer;
    token = null; // a restarted server doesn't know it
  }
  return { type: "error", message: texts["board.state.offline"] };
}
export const callFrame = (head, picture, lane) => call("board_frame", { lane }, pack(++calls, head, picture));
// A call of ui/page_calls.py with some bytes (an empty file would not be sent).
export const callServer = (task, values, bytes) => call("page_call", { task, values }, bytes && bytes.byteLength ? bytes : new Uint8Array(1));
