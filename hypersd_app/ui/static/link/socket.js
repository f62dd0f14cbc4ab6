// Frames over a WebSocket beside Gradio, on the same port: the fastest way.
import { say } from "../core/notify.js";
import { pack, unpack } from "../core/wire.js";
import { Transport } from "./transport.js";

const PATIENCE = 4000; // ms for a handshake, and for the answer to a ping
const FULL = 1 << 20; // bytes that wait to be sent
const TOO_MANY = 4429;

function address() {
  const root = (window.gradio_config && window.gradio_config.root) || location.origin + location.pathname;
  const url = new URL(root.replace(/\/$/, "") + "/studio/board", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.host = location.host;
  return url.href;
}

export class SocketTransport extends Transport {
  constructor(tokens, on) {
    super("socket", PATIENCE, tokens, on);
    this.socket = null;
  }
  async connect() {
    const token = await this.tokens.get();
    if (this.stopped) return;
    if (!token) return this.failed();
    const socket = new WebSocket(address());
    this.socket = socket;
    this.expect(); // some proxies neither pass a handshake on nor refuse it
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ token }));
    socket.onmessage = (event) => { if (socket === this.socket) this.receive(event.data); };
    socket.onclose = (event) => { if (socket === this.socket) this.closed(event); };
  }
  receive(data) {
    this.heard();
    if (typeof data !== "string") {
      const { seq, head, picture } = unpack(data);
      return this.on.answer({ ...head, seq, picture });
    }
    const head = JSON.parse(data);
    if (head.type === "ready") {
      this.works();
      return this.up();
    }
    if (head.type !== "pong") this.on.answer(head);
  }
  closed({ code, reason }) {
    if (code === TOO_MANY && reason) say(reason);
    this.failed();
  }
  ask() { this.socket.send("ping"); }
  close() {
    const { socket } = this;
    this.socket = null; // a dead one would report its end much later
    if (socket) socket.close();
  }
  send(seq, head, picture) {
    if (!this.ready || this.socket.bufferedAmount > FULL) return false;
    this.socket.send(pack(seq, head, picture));
    return true;
  }
}
