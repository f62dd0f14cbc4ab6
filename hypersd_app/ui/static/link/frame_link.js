// Which frame to send when: the newest state only, one running plus one waiting, and never an older image shown.
import { chooseTransport } from "./transports.js";

const IN_FLIGHT = 2;
const [SHORTEST_GAP, LONGEST_GAP] = [34, 1000]; // ms between snapshots while the pen moves
const EARLY = 8; // ms that a state may wait for the device: later ones would sometimes come too late
const TOGETHER = 2; // ms: movements that the browser tells of at once
const STILL = 50; // ms without a movement: the pen does not move on
const SOON = 0.6; // of the time between two movements: the next one is worth waiting for
const LATE = 4; // ms by which it may come later than that
const OVERDUE = 2500; // ms without an answer: does the server still hear us?
const LOST_AFTER = 120000; // ms, the server's own patience with an image: forget the frame and ask again

export class FrameLink {
  // board: {key() -> string, snapshot() -> Promise<{head, picture}>, show(answer, sent), loading(answer), problem(answer), state(name)}
  constructor(connection, board, meter, choose = chooseTransport) {
    Object.assign(this, { board, meter, seq: 0, shown: 0, sentKey: "", wanted: false, running: true });
    this.inFlight = new Map();
    this.encoding = false; this.lastSent = 0; this.timer = 0; this.again = 0; this.watching = 0;
    this.gap = 60;
    this.movedAt = 0; this.beat = 0; // when the pen moved last, and the usual ms from one movement to the next
    this.hold = 0; this.notBefore = 0; // ms from an image to the next state, and when that is over
    this.chosen = choose(connection, {
      ready: () => this.resume(),
      lost: () => this.lost(),
      answer: (answer) => this.receive(answer),
    });
  }
  get transport() { return this.chosen.current; }
  get idle() { return this.inFlight.size === 0 && !this.encoding && !this.wanted; }

  // Something changed; `urgent` (pen up, a setting) does not wait for the gap, a movement of the pen does.
  request(urgent) {
    if (!urgent) this.moved(performance.now());
    if (!this.running) return;
    this.wanted = true;
    this.pump(urgent, true);
  }
  moved(now) {
    const since = now - this.movedAt;
    if (since < TOGETHER) return;
    this.movedAt = now;
    if (since < STILL) this.beat += 0.2 * (since - this.beat);
  }
  // Send the current state again whatever was sent before: after a lost connection the server knows nothing.
  resume() {
    this.inFlight.clear();
    this.sentKey = "";
    this.board.state(this.running ? "ready" : "stopped");
    this.request(true);
  }
  lost() {
    clearTimeout(this.watching); // what is on its way will not arrive; resume() sends the newest again
    this.board.state("offline");
  }
  stop() {
    this.running = false; this.wanted = false;
    this.shown = this.seq; // what is still on its way is not shown
    clearTimeout(this.timer);
    this.board.state("stopped");
  }
  start() { this.running = true; this.sentKey = ""; this.board.state("ready"); this.request(true); }

  // `fresh`: the drawing changed just now.
  pump(urgent, fresh) {
    if (!this.wanted || !this.running || this.encoding || !this.transport || !this.transport.ready) return;
    if (this.inFlight.size >= IN_FLIGHT) return;
    const now = performance.now();
    const wait = Math.max(this.lastSent + this.gap, this.notBefore) - now;
    if (!urgent && wait > 0) return this.pumpIn(wait);
    const next = this.untilMoved(now);
    if (!urgent && !fresh && next > 0) return this.pumpIn(next + LATE);
    this.send();
  }
  pumpIn(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pump(false), milliseconds);
  }
  // ms until the pen's next movement where that is due soon, else 0: a state sent just before it would show it a whole
  // image later.
  untilMoved(now) {
    const next = this.movedAt + this.beat - now;
    return next < SOON * this.beat ? Math.max(0, next) : 0;
  }
  async send() {
    const key = this.board.key();
    this.wanted = false;
    if (key === this.sentKey || key === "") return;
    this.encoding = true;
    const started = performance.now();
    try {
      const { head, picture, operations } = await this.board.snapshot();
      const now = performance.now();
      const seq = ++this.seq;
      if (!this.running) return;
      if (!this.transport.send(seq, head, picture)) { this.wanted = true; this.later(); return; }
      this.sentKey = key; this.lastSent = now;
      this.inFlight.set(seq, { at: now, encoded: now - started, head, key, operations });
      this.watch();
      this.board.state("busy");
    } finally {
      this.encoding = false;
    }
    if (this.wanted) this.pump(false);
  }
  // The next state should reach the server just when the device is free: sooner it grows old in the mailbox, later the
  // device idles. So snapshots follow each other as fast as images are made.
  pace({ rendered, waited = 0 }) {
    if (!rendered) return;
    // A state that waited could have been sent, and drawn, so much later. One that did not may have kept the device idle.
    const early = Math.max(EARLY, 0.1 * rendered);
    this.hold = Math.min(rendered, Math.max(0, this.hold + 0.3 * (waited < 1 ? -early : waited - early)));
    this.notBefore = this.inFlight.size ? performance.now() + this.hold : 0;
    this.gap = Math.min(LONGEST_GAP, Math.max(SHORTEST_GAP, 0.7 * this.gap + 0.3 * rendered));
  }
  later() { clearTimeout(this.again); this.again = setTimeout(() => this.pump(true), 250); }
  // While answers are due: an image may take its time, but a dead connection must not look like a slow one.
  watch() {
    clearTimeout(this.watching);
    if (this.inFlight.size) this.watching = setTimeout(() => this.overdue(), OVERDUE);
  }
  overdue() {
    this.transport.check();
    this.expire();
    this.watch();
  }
  expire() {
    const limit = performance.now() - LOST_AFTER;
    for (const [seq, sent] of this.inFlight) if (sent.at < limit) this.inFlight.delete(seq);
    if (!this.inFlight.size) this.resume();
  }
  receive(answer) {
    const sent = this.inFlight.get(answer.seq);
    if (answer.type === "loading") {
      if (!sent || !this.running) return;
      sent.at = performance.now(); // a download may take longer than any image
      return this.board.loading(answer);
    }
    this.inFlight.delete(answer.seq);
    this.watch();
    if (answer.type === "dropped") {
      this.meter.dropped();
      // Many draw at once: the next state goes out halfway to our turn, where it is fresh and seldom replaced.
      if (answer.turn) this.gap = Math.min(LONGEST_GAP, Math.max(SHORTEST_GAP, answer.turn / 2));
      // Over the rate nothing newer may be on its way: ask again, with the newest.
      if (sent && sent.key === this.sentKey) { this.sentKey = ""; this.wanted = this.running; this.later(); }
    } else if (answer.type === "error") {
      if (answer.seq > this.shown) this.board.problem(answer);
      if (answer.retry_after && sent && sent.key === this.sentKey) this.comeBack(answer.retry_after * 1000);
    } else if (answer.seq <= this.shown || !sent) {
      this.meter.late();
    } else {
      this.shown = answer.seq;
      this.pace(answer.ms || {});
      this.board.show(answer, sent);
    }
    if (this.running) this.board.state(this.inFlight.size ? "busy" : "ready");
    this.pump(answer.type !== "dropped" && answer.type !== "picture");
  }
  // The server was busy or starting again: the same state once more when it said, unless the visitor draws before.
  comeBack(milliseconds) {
    this.sentKey = "";
    clearTimeout(this.again);
    this.again = setTimeout(() => this.request(true), milliseconds);
  }
}
