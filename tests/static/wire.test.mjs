import assert from "node:assert/strict";
import test from "node:test";
import { fromBase64, pack, packParts, toBase64, unpack } from "../../hypersd_app/ui/static/core/wire.js";

test("a message is two little-endian numbers, JSON and an image", () => {
  const bytes = new Uint8Array(pack(0x01020304, { a: "ü" }, Uint8Array.of(9, 8).buffer));
  const json = new TextEncoder().encode('{"a":"ü"}');
  assert.deepEqual([...bytes], [4, 3, 2, 1, json.length, 0, 0, 0, ...json, 9, 8]);
});

test("what is packed is unpacked", () => {
  const picture = Uint8Array.from({ length: 300 }, (_, i) => i & 255);
  const { seq, head, picture: back } = unpack(pack(4294967295, { prompt: "ein Käfer 🐞", steps: 1 }, picture.buffer));
  assert.deepEqual([seq, head], [4294967295, { prompt: "ein Käfer 🐞", steps: 1 }]);
  assert.deepEqual(new Uint8Array(back), picture);
  assert.equal(unpack(pack(1, {}, null)).picture.byteLength, 0);
});

test("base64 of more bytes than a call has arguments", () => {
  const bytes = Uint8Array.from({ length: 200_001 }, (_, i) => (i * 7) & 255);
  assert.equal(toBase64(bytes.buffer), Buffer.from(bytes).toString("base64"));
  assert.deepEqual(new Uint8Array(fromBase64(toBase64(bytes.buffer))), bytes);
});

test("parts are led by their lengths, a missing one by 0", async () => {
  const packed = new Uint8Array(await packParts([new Blob([Uint8Array.of(5, 6, 7)]), null, new Blob([Uint8Array.of(1)])]));
  assert.deepEqual([...packed], [3, 0, 0, 0, 5, 6, 7, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
});
