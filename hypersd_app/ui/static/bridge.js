// The page's one door to Python: an invisible Gradio component whose server functions and events all parts share.
(function (hs) {
  "use strict";
  let opened;
  hs.bridgeReady = new Promise((resolve) => { opened = resolve; });

  // Told once the catalogue of now is there, by hs.newCatalogue, or does not come.
  const PATIENCE = 5000; // ms
  hs.catalogueReady = new Promise((resolve) => { hs.catalogueCame = resolve; setTimeout(resolve, PATIENCE); });

  hs.mountBridge = function (element, props, trigger, server) {
    hs.bridge = { element, props, trigger, server };
    hs.config = { ...props.config }; // ours to renew, see hs.newCatalogue
    hs.texts = props.config.texts;
    document.documentElement.lang = props.config.language;
    hs.theme.apply();
    opened();
    hs.readLink();
  };

  // So many things, as in "1 step" and "3 steps": pictures, steps, models or styles.
  hs.counted = (things, count) => hs.texts[`count.${things}.${count === 1 ? "one" : "other"}`].replace("{count}", count);

  // One picture outside the live link (style strip, compare): resolves to the answer, {type: "error"} if the call failed.
  let calls = 0;
  let token = null;
  async function call(name, message, bytes) {
    await hs.bridgeReady;
    const { server } = hs.bridge;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      token = token || (await server.board_token(null).catch(() => null)); // rejects when the network is down
      const file = new File([bytes], "frame.bin");
      const answer = await server[name]({ binary: true, data: { message: JSON.stringify({ ...message, token }), file } }).catch(() => null);
      if (answer && answer.type !== "refused") return answer;
      token = null; // a restarted server doesn't know it
    }
    return { type: "error", message: hs.texts["board.state.offline"] };
  }
  hs.callFrame = (head, picture, lane) => call("board_frame", { lane }, hs.pack(++calls, head, picture));
  // A task of ui/tasks.py on some bytes (an empty file would not be sent).
  hs.callServer = (task, values, bytes) => call("page_call", { task, values }, bytes && bytes.byteLength ? bytes : new Uint8Array(1));

  hs.download = function (blob, name) {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  hs.say = function (message) {
    const toast = Object.assign(document.createElement("div"), { className: "hs-toast", textContent: message });
    toast.setAttribute("role", "status");
    document.body.append(toast);
    setTimeout(() => toast.remove(), 2600);
  };
})((window.hypersd = window.hypersd || {}));
