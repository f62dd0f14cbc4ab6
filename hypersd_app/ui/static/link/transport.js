// One way for a frame to reach the server: what all ways share.
const MAX_WAIT = 8000; // ms between two attempts
const TRIES_BEFORE_GIVING_UP = 3;
const TOKEN_PATIENCE = 8000; // ms

function backoff(failures) {
  return Math.min(MAX_WAIT, 250 * 2 ** failures) * (0.5 + Math.random() / 2);
}

// The newest token, fetched through Gradio, so that a login in front of the app guards the socket too.
export class TokenSource {
  constructor(server) { this.server = server; this.token = null; }
  async get() {
    if (!this.token) this.token = await this.fetch();
    return this.token;
  }
  // A new one, null if the server can't be reached.
  fetch() {
    const late = new Promise((resolve) => setTimeout(resolve, TOKEN_PATIENCE, null));
    return Promise.race([this.server.board_token(null).then((token) => token || null, () => null), late]);
  }
  forget() { this.token = null; }
}

// One way. Others call start(), stop(), check() and send(seq, head, picture), which is false while nothing can be sent, and
// read `ready`; it calls on.ready(), on.lost(), on.giveUp() and on.answer({type, seq, ..., picture: ArrayBuffer}).
// A kind of transport adds connect(), which ends in up() or failed(); ask(), which makes the server say something; close().
export class Transport {
  constructor(name, patience, tokens, on) {
    Object.assign(this, { name, patience, tokens, on, ready: false, stopped: true, proven: false, failures: 0, timer: 0, deadline: 0 });
  }
  start() { this.stopped = false; this.connect(); }
  stop() {
    this.stopped = true; this.ready = false;
    this.clearTimers();
    this.close();
  }
  clearTimers() {
    clearTimeout(this.timer);
    clearTimeout(this.deadline);
    this.timer = this.deadline = 0;
  }
  // Does the server still hear us? A connection can die without a word: sleep, another network, a proxy that forgot it.
  check() {
    if (this.ready) {
      this.expect();
      this.ask();
    } else if (this.timer) { // waiting to try again: the network may be back
      this.clearTimers();
      this.connect();
    }
  }
  // The server has to say something within `patience` ms.
  expect() { this.deadline = this.deadline || setTimeout(() => this.silent(), this.patience); }
  heard() { clearTimeout(this.deadline); this.deadline = 0; }
  silent() {
    const was = this.ready;
    this.ready = false;
    this.close();
    if (was) this.on.lost();
    if (this.proven) this.failed();
    else this.on.giveUp(); // what stalls once stalls again: another way is found sooner
  }
  up() { this.ready = true; this.on.ready(); }
  // A frame came through: from now on failures are the network's or the server's, not this way's.
  works() { this.failures = 0; this.proven = true; }
  failed() {
    const was = this.ready;
    this.ready = false;
    this.clearTimers();
    this.tokens.forget(); // a restarted server does not know the old one
    if (was) this.on.lost();
    if (this.stopped) return;
    this.failures += 1;
    if (!this.proven && this.failures >= TRIES_BEFORE_GIVING_UP) return this.on.giveUp();
    this.timer = setTimeout(() => { this.timer = 0; this.connect(); }, backoff(this.failures));
  }
  close() {}
}
