// Three ways for a frame to reach the server. Each has start(), stop(), send(seq, head, picture) and `ready`, and calls
// on.ready(), on.lost(), on.giveUp(), on.answer({type, seq, ..., picture: ArrayBuffer}).
(function (hs) {
  "use strict";
  const MAX_WAIT = 8000;
  const TRIES_BEFORE_GIVING_UP = 3;
  const REFUSED = 4401, TOO_MANY = 4429;

  function backoff(failures) {
    return Math.min(MAX_WAIT, 250 * 2 ** failures) * (0.5 + Math.random() / 2);
  }

  function socketAddress() {
    const root = (window.gradio_config && window.gradio_config.root) || location.origin + location.pathname;
    const url = new URL(root.replace(/\/$/, "") + "/studio/board", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.host = location.host;
    return url.href;
  }

  // The newest token, fetched through Gradio, so that a login in front of the app guards the socket too.
  class TokenSource {
    constructor(server) { this.server = server; this.token = null; }
    async get() {
      if (!this.token) this.token = (await this.server.board_token(null)) || null;
      return this.token;
    }
    forget() { this.token = null; }
  }

  class SocketTransport {
    constructor(tokens, on) {
      Object.assign(this, { name: "socket", tokens, on, socket: null, ready: false });
      this.everReady = false; this.failures = 0; this.refusals = 0; this.stopped = true; this.timer = 0;
    }
    start() { this.stopped = false; this.connect(); }
    stop() {
      this.stopped = true; this.ready = false;
      clearTimeout(this.timer);
      if (this.socket) this.socket.close();
    }
    async connect() {
      const token = await this.tokens.get();
      if (this.stopped) return;
      if (!token) return this.retry(0);
      const socket = new WebSocket(socketAddress());
      this.socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => socket.send(JSON.stringify({ token }));
      socket.onmessage = (event) => this.receive(event.data);
      socket.onclose = (event) => {
        if (socket !== this.socket) return;
        if (event.code === TOO_MANY && event.reason) hs.say(event.reason);
        this.closed(event.code);
      };
    }
    receive(data) {
      if (typeof data !== "string") {
        const { seq, head, picture } = hs.unpack(data);
        return this.on.answer({ ...head, seq, picture });
      }
      const head = JSON.parse(data);
      if (head.type !== "ready") return this.on.answer(head);
      Object.assign(this, { ready: true, everReady: true, failures: 0, refusals: 0 });
      this.on.ready();
    }
    closed(code) {
      const was = this.ready;
      this.ready = false;
      if (was) this.on.lost();
      if (!this.stopped) this.retry(code);
    }
    // A refused token is no network failure: it is counted apart and answered with a new token at once.
    retry(code) {
      if (code === REFUSED && this.refusals++ < 3) {
        this.tokens.forget();
        this.timer = setTimeout(() => this.connect(), backoff(this.refusals));
        return;
      }
      this.failures += 1;
      if (this.failures > 1) this.tokens.forget(); // a restarted server does not know the old one
      if (!this.everReady && this.failures >= TRIES_BEFORE_GIVING_UP) return this.on.giveUp();
      this.timer = setTimeout(() => this.connect(), backoff(this.failures));
    }
    send(seq, head, picture) {
      if (!this.ready || this.socket.bufferedAmount > 1 << 20) return false;
      this.socket.send(hs.pack(seq, head, picture));
      return true;
    }
  }

  // Binary POST through a Gradio server function: for proxies that don't pass sockets.
  class CallTransport {
    constructor(server, tokens, on) {
      Object.assign(this, { name: "call", server, tokens, on, ready: false, failures: 0, everReady: false });
      this.stopped = true;
    }
    async start() {
      this.stopped = false;
      if (await this.tokens.get()) return this.up();
      this.failed();
    }
    stop() { this.stopped = true; this.ready = false; }
    up() {
      if (this.stopped) return;
      Object.assign(this, { ready: true, failures: 0 });
      this.on.ready();
    }
    failed() {
      const was = this.ready;
      this.ready = false;
      this.failures += 1;
      this.tokens.forget();
      if (was) this.on.lost();
      if (this.stopped) return;
      if (!this.everReady && this.failures >= TRIES_BEFORE_GIVING_UP) return this.on.giveUp();
      setTimeout(() => { if (!this.stopped) this.start(); }, backoff(this.failures));
    }
    send(seq, head, picture) {
      if (!this.ready) return false;
      this.call(seq, head, picture);
      return true;
    }
    async call(seq, head, picture) {
      const message = JSON.stringify({ token: await this.tokens.get() });
      const file = new File([hs.pack(seq, head, picture)], "frame.bin");
      const reply = await this.server.board_frame({ binary: true, data: { message, file } });
      if (!reply || typeof reply !== "object" || reply.type === "refused") return this.failed();
      this.everReady = true;
      this.on.answer({ ...reply, picture: reply.picture ? hs.fromBase64(reply.picture) : null });
    }
  }

  // A plain Gradio event, through its queue: where nothing else works, and on ZeroGPU.
  class EventTransport {
    constructor(props, trigger, tokens, on) {
      Object.assign(this, { name: "event", props, trigger, tokens, on, ready: false });
      this.listener = (event) => this.receive(event.detail);
    }
    async start() {
      window.addEventListener("hypersd:downlink", this.listener);
      await this.tokens.get();
      this.ready = true;
      this.on.ready();
    }
    stop() { this.ready = false; window.removeEventListener("hypersd:downlink", this.listener); }
    receive(text) {
      if (!text) return;
      const reply = JSON.parse(text);
      if (reply.type === "refused") return this.renew();
      this.on.answer({ ...reply, picture: reply.picture ? hs.fromBase64(reply.picture) : null });
    }
    async renew() {
      this.tokens.forget();
      this.on.lost();
      await this.tokens.get();
      this.on.ready();
    }
    send(seq, head, picture) {
      if (!this.ready) return false;
      this.props.value = JSON.stringify({
        token: this.tokens.token, frame: hs.toBase64(hs.pack(seq, head, picture)),
      });
      this.trigger("frame");
      return true;
    }
  }

  // Tries socket, call, event in this order; `?transport=` starts at a later one.
  hs.chooseTransport = function ({ props, trigger, server }, on) {
    const tokens = new TokenSource(server);
    const names = ["socket", "call", "event"];
    const wanted = new URLSearchParams(location.search).get("transport");
    let index = Math.max(0, names.indexOf(wanted));
    const chosen = { current: null };
    function next() {
      if (chosen.current) chosen.current.stop();
      const handlers = { ...on, giveUp: () => { index += 1; next(); } };
      const make = {
        socket: () => new SocketTransport(tokens, handlers),
        call: () => new CallTransport(server, tokens, handlers),
        event: () => new EventTransport(props, trigger, tokens, handlers),
      };
      chosen.current = make[names[Math.min(index, 2)]]();
      chosen.current.start();
    }
    next();
    return chosen;
  };
})((window.hypersd = window.hypersd || {}));
