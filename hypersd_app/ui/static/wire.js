// The board's binary messages: u32 sequence, u32 length, JSON of that length, a picture (see server/wire.py).
(function (hs) {
  "use strict";

  hs.pack = function (seq, head, picture) {
    const json = new TextEncoder().encode(JSON.stringify(head));
    const body = picture ? new Uint8Array(picture) : new Uint8Array(0);
    const message = new Uint8Array(8 + json.length + body.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, seq, true);
    view.setUint32(4, json.length, true);
    message.set(json, 8);
    message.set(body, 8 + json.length);
    return message.buffer;
  };

  hs.unpack = function (buffer) {
    const view = new DataView(buffer);
    const end = 8 + view.getUint32(4, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, end - 8)));
    return { seq: view.getUint32(0, true), head, picture: buffer.slice(end) };
  };

  hs.toBase64 = function (buffer) {
    const bytes = new Uint8Array(buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    return btoa(text);
  };

  hs.fromBase64 = function (text) {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  };
})((window.hypersd = window.hypersd || {}));
