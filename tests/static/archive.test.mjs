import assert from "node:assert/strict";
import { deflateRawSync } from "node:zlib";
import test from "node:test";
import { crc32 } from "../../hypersd_app/ui/static/core/crc.js";
import { unzipped, zipped } from "../../hypersd_app/ui/static/core/zip.js";
import { archived, unarchived } from "../../hypersd_app/ui/static/timeline/archive.js";

test("a check sum as everybody computes it", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

test("what is zipped is unzipped", async () => {
  const zip = await zipped([{ name: "a/ä.txt", blob: new Blob(["hello"]) }, { name: "empty", blob: new Blob([]) }]);
  const found = await unzipped(zip);
  assert.deepEqual([...found.keys()], ["a/ä.txt", "empty"]);
  assert.equal(await found.get("a/ä.txt").text(), "hello");
});

test("entries that another program packed are read", async () => {
  const bytes = new Uint8Array(await (await zipped([{ name: "x", blob: new Blob(["?????"]) }])).arrayBuffer());
  const packed = deflateRawSync("once and again and again");
  const view = new DataView(bytes.buffer);
  const central = view.getUint32(bytes.length - 6, true);
  // The same file with another entry: its bytes stand first, then the directory that says where and how.
  const local = bytes.slice(0, 31);
  const directory = bytes.slice(central);
  const end = new DataView(directory.buffer);
  end.setUint16(10, 8, true);
  end.setUint32(20, packed.length, true);
  end.setUint32(directory.length - 6, local.length + packed.length, true);
  const found = await unzipped(new Blob([local, packed, directory]));
  assert.equal(await found.get("x").text(), "once and again and again");
});

test("no ZIP, and one cut short, is none", async () => {
  assert.equal(await unzipped(new Blob(["hello"])), null);
  const zip = await zipped([{ name: "a", blob: new Blob(["hello"]) }]);
  assert.equal(await unzipped(zip.slice(4)), null);
  assert.equal(await unarchived(zip), null, "nor is a ZIP of something else a session");
  assert.equal(await unarchived(await zipped([{ name: "session.json", blob: new Blob(["{"]) }])), null);
});

test("a session comes back with its images, strokes and drawings", async () => {
  const stroke = { tool: "brush", points: [1, 2, 0.5] };
  const frames = [1, 2].map((id) => ({ id, blob: new Blob([`picture ${id}`]), head: { prompt: "a cat", seed: id }, operations: id === 2 ? [stroke, stroke] : [stroke], at: 5, pinned: id === 2 }));
  frames.push({ id: 3, blob: new Blob(["words"]), head: { prompt: "a dog" }, operations: null, at: 6, pinned: false });
  const drawings = [{ id: "d", name: "Cat", at: 7, recipe: { head: { prompt: "a cat" }, operations: [stroke] }, picture: new Blob(["thumb"]) }];
  const file = await archived(frames, drawings);
  assert.equal(JSON.parse(await (await unzipped(file)).get("session.json").text()).strokes.length, 1, "a shared stroke once");
  const back = await unarchived(file);
  assert.deepEqual(back.frames.map(({ blob, ...rest }) => rest), frames.map(({ blob, ...rest }) => rest));
  assert.equal(await back.frames[1].blob.text(), "picture 2");
  assert.equal(back.frames[1].operations[0], back.frames[0].operations[0]);
  assert.deepEqual(back.drawings.map(({ picture, ...rest }) => rest), drawings.map(({ picture, ...rest }) => rest));
  assert.equal(await back.drawings[0].picture.text(), "thumb");
});
