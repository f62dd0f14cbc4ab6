// The page's one door to Python: an invisible Gradio component whose server functions and events all parts share.
import { pack, toBase64 } from "./wire.js";

const CATALOGUE_PATIENCE = 5000; // ms
const LENT_PATIENCE = 240000; // ms: a minute in the line for a device, two on it, and its loading

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

// A count with its noun, as in "1 step" and "3 steps": images, steps, models or styles.
export const counted = (things, count) => texts[`count.${things}.${count === 1 ? "one" : "other"}`].replace("{count}", count);

// One image outside the live link (style strip, compare): resolves to the answer, {type: "error"} if the call failed.
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
  return offline();
}
function offline() { return { type: "error", message: texts["board.state.offline"] }; }
// A device that is lent by the call is lent to Gradio's events only.
const byEvent = () => config.transport === "event";
async function callEvent(message) {
  await bridgeReady;
  const { props, trigger, server } = bridge;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    token = token || (await server.board_token(null).catch(() => null));
    const number = (calls += 1);
    const answered = replyTo(number);
    props.value = JSON.stringify({ ...message, token, call: number });
    trigger("frame");
    const answer = await answered;
    if (answer.type !== "refused") return answer;
    token = null;
  }
  return offline();
}
function replyTo(number) {
  return new Promise((resolve) => {
    const end = (reply) => { window.removeEventListener("hypersd:downlink", listen); clearTimeout(timer); resolve(reply); };
    const listen = (event) => {
      const reply = event.detail ? JSON.parse(event.detail) : {};
      if (reply.call === number) end(reply);
    };
    const timer = setTimeout(() => end(offline()), LENT_PATIENCE);
    window.addEventListener("hypersd:downlink", listen);
  });
}
export function callFrame(head, picture, lane) {
  const frame = pack(++calls, head, picture);
  return byEvent() ? callEvent({ lane, frame: toBase64(frame) }) : call("board_frame", { lane }, frame);
}
// Several pictures that borrow a device in one call: resolves to {answers}, or {type: "error"} for all of them.
export const callTogether = (frames, lane) => callEvent({
  lane, together: frames.map(({ head, picture }) => toBase64(pack(++calls, head, picture))),
});
// A call of ui/calls/page.py with some bytes (an empty file would not be sent).
export const callServer = (task, values, bytes) => call("page_call", { task, values }, bytes && bytes.byteLength ? bytes : new Uint8Array(1));
