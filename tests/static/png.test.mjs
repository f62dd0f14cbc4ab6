import assert from "node:assert/strict";
import test from "node:test";
import { crc32, inflateSync } from "node:zlib";
import { pngOf } from "../../hypersd_app/ui/static/board/png.js";

const PAINTINGS = {
  blank: () => {},
  "one colour": (data) => data.fill(0xff0000ff),
  lines: (data) => { for (let i = 0; i < data.length; i += 37) data[i] = 0xff000000; },
  "soft edges": (data) => { for (let i = 0; i < data.length; i += 1) if (i % 50 < 9) data[i] = (i % 50) * 0x1a000000; },
  "runs of all lengths": (data) => { for (let i = 0, n = 1; i < data.length; i += n, n = (n % 140) + 1) data.fill((n * 0x01010101) | 0xff000000, i, i + n); },
  "repeated rows": (data, width) => { for (let i = 0; i < data.length; i += 1) data[i] = ((i % width) * 7919) | 0xff000000; },
  noise: (data) => { for (let i = 0, x = 1; i < data.length; i += 1) { x = Math.imul(x, 1103515245) + 12345; data[i] = x | 0xff000000; } },
};
const SIZES = [[1, 1], [3, 2], [64, 65], [65, 64], [256, 256], [255, 31]];

function canvas(painting, width, height) {
  const pixels = { width, height, data: new Uint8ClampedArray(4 * width * height) };
  PAINTINGS[painting](new Uint32Array(pixels.data.buffer), width);
  return { width, height, pixels, getContext: () => ({ getImageData: () => pixels }) };
}

// The pixels of a PNG as the standard reads it: signature, chunks with their checksums, one zlib stream of unfiltered rows.
function decoded(buffer) {
  const bytes = Buffer.from(buffer);
  assert.deepEqual([...bytes.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks = [];
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const [kind, data] = [bytes.toString("latin1", at + 4, at + 8), bytes.subarray(at + 8, at + 8 + length)];
    assert.equal(bytes.readUInt32BE(at + 8 + length), crc32(bytes.subarray(at + 4, at + 8 + length)), `checksum of ${kind}`);
    chunks.push({ kind, data });
    at += 12 + length;
  }
  assert.deepEqual(chunks.map(({ kind }) => kind), ["IHDR", "IDAT", "IEND"]);
  const [width, height] = [chunks[0].data.readUInt32BE(0), chunks[0].data.readUInt32BE(4)];
  assert.deepEqual([...chunks[0].data.subarray(8)], [8, 6, 0, 0, 0]);
  const rows = inflateSync(chunks[1].data);
  assert.equal(rows.length, (4 * width + 1) * height);
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y += 1) {
    assert.equal(rows[(4 * width + 1) * y], 0, "no filter");
    pixels.set(rows.subarray((4 * width + 1) * y + 1, (4 * width + 1) * (y + 1)), 4 * width * y);
  }
  return { width, height, pixels };
}

async function check(painting, width, height) {
  const painted = canvas(painting, width, height);
  const made = decoded(await pngOf(painted));
  assert.deepEqual([made.width, made.height], [width, height]);
  assert.ok(Buffer.from(made.pixels).equals(Buffer.from(painted.pixels.data)), `${painting}, ${width} × ${height}`);
}

for (const painting of Object.keys(PAINTINGS)) {
  test(`every pixel arrives: ${painting}`, async () => { for (const [width, height] of SIZES) await check(painting, width, height); });
}

test("rows of any length can be like the one above", async () => {
  for (const width of [1535, 1536, 2049, 8191, 8192, 9000]) await check("repeated rows", width, 3);
});

test("a drawing is small, and a photograph not larger than it is", async () => {
  const size = async (painting) => (await pngOf(canvas(painting, 256, 256))).byteLength;
  assert.ok(await size("blank") < 3000);
  assert.ok(await size("lines") < 256 * 256);
  assert.ok(await size("noise") < 256 * 256 * 4 * 1.01);
});
