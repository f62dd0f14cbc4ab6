import assert from "node:assert/strict";
import test from "node:test";
import { bridge, openBridge } from "../../hypersd_app/ui/static/core/bridge.js";
import { animatedGif, spread, video } from "../../hypersd_app/ui/static/timeline/export.js";
import { openPage } from "./support/page.mjs";

const frames = (count) => Array.from({ length: count }, (_, i) => ({ blob: new Blob([Uint8Array.of(i & 255)]) }));

function serve(answer) {
  const asked = [];
  const server = { board_token: async () => "token", page_call: async ({ data }) => { asked.push(data); return answer; } };
  openPage();
  globalThis.setTimeout = ((set) => (call, after, ...values) => { const timer = set(call, after, ...values); timer.unref?.(); return timer; })(setTimeout);
  openBridge(null, { config: { texts: { "timeline.novideo": "no video" } } }, null, server);
  assert.equal(bridge.server, server);
  return asked;
}

test("an animation of many frames takes some of them, evenly, the first and the last too", () => {
  const all = Array.from({ length: 1001 }, (_, i) => i);
  const some = spread(all, 11);
  assert.deepEqual(some, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
  assert.deepEqual(spread([1, 2, 3], 11), [1, 2, 3]);
  assert.deepEqual(spread([1], 11), [1]);
  assert.equal(spread(all).length, 400);
});

test("a GIF is made of the frames' bytes", async () => {
  const asked = serve({ file: Buffer.from("GIF89a").toString("base64") });
  const { blob, name } = await animatedGif(frames(3), 120, () => false);
  assert.deepEqual([name, blob.type, await blob.text()], ["session.gif", "image/gif", "GIF89a"]);
  const message = JSON.parse(asked[0].message);
  assert.deepEqual([message.task, message.values], ["animation", { milliseconds: 120, format: "gif" }]);
  assert.deepEqual([...new Uint8Array(await asked[0].file.arrayBuffer())], [1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 2]);
});

test("a cancelled one is thrown away, and a failed one says why", async () => {
  serve({ file: "" + Buffer.from("GIF89a").toString("base64") });
  assert.equal(await animatedGif(frames(1), 120, () => true), null);
  serve({ type: "error", message: "too many" });
  await assert.rejects(animatedGif(frames(1), 120, () => false), { message: "too many" });
});

test("a browser that records no video says so", async () => {
  serve({});
  await assert.rejects(video(frames(1), 60, () => false, () => {}), { message: "no video" });
});
