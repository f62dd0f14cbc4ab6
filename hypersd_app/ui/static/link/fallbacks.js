// Frames without a socket: for proxies that pass none, and for ZeroGPU, which lends its device to Gradio's events only.
import { fromBase64, pack, toBase64 } from "../core/wire.js";
import { Transport } from "./transport.js";

const PATIENCE = 8000; // ms: these ways share Gradio's threads and queue with all other visitors

function answerOf(reply) { return { ...reply, picture: reply.picture ? fromBase64(reply.picture) : null }; }

// Binary POST through a Gradio server function.
export class CallTransport extends Transport {
  constructor(server, tokens, on) {
    super("call", PATIENCE, tokens, on);
    this.server = server;
  }
  async connect() {
    const token = await this.tokens.get();
    if (this.stopped) return;
    if (token) this.up();
    else this.failed();
  }
  async ask() {
    if (await this.tokens.fetch()) this.heard();
    else this.lost();
  }
  // Of several calls that fail together the first one counts.
  lost() { if (this.ready) this.failed(); }
  send(seq, head, picture) {
    if (!this.ready) return false;
    this.call(seq, head, picture);
    return true;
  }
  async call(seq, head, picture) {
    const message = JSON.stringify({ token: this.tokens.token });
    const file = new File([pack(seq, head, picture)], "frame.bin");
    const reply = await this.server.board_frame({ binary: true, data: { message, file } }).catch(() => null);
    if (this.stopped) return;
    if (!reply || typeof reply !== "object" || reply.type === "refused") return this.lost();
    this.heard();
    this.works();
    this.on.answer(answerOf(reply));
  }
}

// A plain Gradio event, through its queue. It needs nothing else of the server, not even a token to begin with.
export class EventTransport extends Transport {
  constructor(props, trigger, tokens, on) {
    super("event", PATIENCE, tokens, on);
    Object.assign(this, { props, trigger, pings: 0, proven: true }); // the last way is not given up
    this.listener = (event) => this.receive(event.detail);
  }
  connect() {
    window.addEventListener("hypersd:downlink", this.listener);
    this.expect();
    this.ask();
  }
  close() { window.removeEventListener("hypersd:downlink", this.listener); }
  ask() { this.emit({ ping: (this.pings += 1) }); }
  emit(message) {
    this.props.value = JSON.stringify(message);
    this.trigger("frame");
  }
  receive(text) {
    if (!text) return;
    const reply = JSON.parse(text);
    this.heard();
    if (reply.call) return undefined; // somebody else's: see core/bridge.js
    if (reply.type === "refused") return this.failed();
    this.works();
    if (reply.type !== "pong") return this.on.answer(answerOf(reply));
    this.tokens.token = reply.token;
    if (!this.ready) this.up();
  }
  send(seq, head, picture) {
    if (!this.ready) return false;
    this.emit({ token: this.tokens.token, frame: toBase64(pack(seq, head, picture)) });
    return true;
  }
}
