// Ways for a frame to reach the server: which of them is used.
import { config } from "../core/bridge.js";
import { CallTransport, EventTransport } from "./fallbacks.js";
import { SocketTransport } from "./socket.js";
import { TokenSource } from "./transport.js";

// Tries socket, call, event in this order, from the server's usual one on; `?transport=` begins with another.
export function chooseTransport({ props, trigger, server }, on) {
  const tokens = new TokenSource(server);
  const make = [
    ["socket", (handlers) => new SocketTransport(tokens, handlers)],
    ["call", (handlers) => new CallTransport(server, tokens, handlers)],
    ["event", (handlers) => new EventTransport(props, trigger, tokens, handlers)],
  ];
  const place = (name) => make.findIndex(([each]) => each === name);
  const chosen = { current: null };
  function use(index) {
    if (chosen.current) chosen.current.stop();
    chosen.current = make[index][1]({ ...on, giveUp: () => use(Math.min(index + 1, make.length - 1)) });
    chosen.current.start();
  }
  const check = () => chosen.current.check();
  for (const name of ["online", "offline"]) window.addEventListener(name, check);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) check(); });
  const wanted = place(new URLSearchParams(location.search).get("transport"));
  use(Math.max(0, wanted < 0 ? place(config.transport) : wanted));
  return chosen;
}
