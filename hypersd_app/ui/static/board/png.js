// A PNG of a canvas at once. `toBlob` encodes when the page is idle, which it is not while the pen moves, and hands its bytes
// over through another process.
import { crc32 } from "../core/crc.js";
import { joined } from "../core/wire.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function chunk(kind, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i += 1) bytes[4 + i] = kind.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes, 4, 8 + data.length));
  return bytes;
}

function header(width, height) {
  const data = new Uint8Array(13);
  const view = new DataView(data.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  data.set([8, 6, 0, 0, 0], 8); // eight bits of red, green, blue, alpha
  return data;
}

// Bits of a deflate stream, the lowest first.
class Bits {
  constructor(room) { Object.assign(this, { bytes: new Uint8Array(room), length: 0, held: 0, count: 0 }); }
  put(value, count) {
    this.held |= value << this.count;
    this.count += count;
    while (this.count >= 8) {
      this.bytes[this.length] = this.held & 255;
      this.length += 1;
      this.held >>>= 8;
      this.count -= 8;
    }
  }
  // Codes, other than numbers, come with their highest bit first.
  code(value, count) { this.put(REVERSED[value] >>> (9 - count), count); }
}
const REVERSED = Uint16Array.from({ length: 512 }, (_, n) => {
  let turned = 0;
  for (let bit = 0; bit < 9; bit += 1) turned |= ((n >>> bit) & 1) << (8 - bit);
  return turned;
});
// Deflate's codes without a table of their own (RFC 1951, 3.2.6), and what lengths and distances stand for (3.2.5).
const LENGTHS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const DISTANCES = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
  8193, 12289, 16385, 24577];
const extra = (values, at, first) => (at < first ? 0 : Math.floor((at - first) / (first / 2)) + 1);
const LENGTH_OF = new Uint8Array(259);
for (let length = 3, at = 0; length <= 258; length += 1) { if (length === LENGTHS[at + 1]) at += 1; LENGTH_OF[length] = at; }

const FARTHEST = 32768; // bytes back

function literal(bits, byte) {
  if (byte < 144) bits.code(0x30 + byte, 8); else bits.code(0x190 + byte - 144, 9);
}
// `bytes` that are the same as those `distance` before.
function copy(bits, bytes, distance) {
  let near = DISTANCES.length - 1;
  while (DISTANCES[near] > distance) near -= 1;
  while (bytes > 0) {
    const length = bytes > 258 && bytes < 261 ? 255 : Math.min(258, bytes); // what is left must be three again
    const at = LENGTH_OF[length];
    if (at < 23) bits.code(at + 1, 7); else bits.code(0xc0 + at - 23, 8);
    bits.put(length - LENGTHS[at], at === 28 ? 0 : extra(LENGTHS, at, 8));
    bits.code(near, 5);
    bits.put(distance - DISTANCES[near], extra(DISTANCES, near, 4));
    bytes -= length;
  }
}

// Most of a drawing is empty paper: pixels like the one before or the one above. Nothing else is looked for, which is
// what makes this fast. null for an image of which that leaves more than half.
function quicklyDeflated({ data, width, height }) {
  const pixels = new Uint32Array(data.buffer, data.byteOffset, width * height);
  const row = 4 * width + 1;
  const most = (row * height) / 2;
  const bits = new Bits(most + 2 * row + 64);
  const reach = row <= FARTHEST;
  bits.put(0x0178, 16); // zlib's header
  bits.put(3, 3); // the last block, with the codes that need no table
  for (let y = 0; y < height; y += 1) {
    if (bits.length > most) return null;
    const start = y * width;
    let rows = 0; // that are the same as the one above, no filter included
    while (reach && y > 0 && y + rows < height && same(pixels, start + rows * width, width)) rows += 1;
    if (rows) { copy(bits, rows * row, row); y += rows - 1; continue; }
    literal(bits, 0); // the row has no filter
    for (let x = 0; x < width;) {
      const at = start + x;
      const before = x ? run(pixels, at, 1, width - x) : 0;
      const above = reach && y ? run(pixels, at, width, width - x) : 0;
      const longest = Math.max(before, above);
      if (longest) copy(bits, 4 * longest, before >= above ? 4 : row);
      else pixel(bits, data, 4 * at, x > 0);
      x += longest || 1;
    }
  }
  bits.code(0, 7); // the end
  bits.put(0, (8 - bits.count) & 7);
  const check = checksum(data, row - 1, height);
  for (let shift = 24; shift >= 0; shift -= 8) bits.put((check >>> shift) & 255, 8);
  return bits.bytes.subarray(0, bits.length);
}
// At the edge of a stroke the colour stays and the alpha changes.
function pixel(bits, data, at, hasBefore) {
  let first = at;
  if (hasBefore && data[at] === data[at - 4] && data[at + 1] === data[at - 3] && data[at + 2] === data[at - 2]) {
    copy(bits, 3, 4);
    first += 3;
  }
  for (let i = first; i < at + 4; i += 1) literal(bits, data[i]);
}
function run(pixels, at, back, most) {
  let length = 0;
  while (length < most && pixels[at + length] === pixels[at + length - back]) length += 1;
  return length;
}
function same(pixels, start, width) { return run(pixels, start, width, width) === width; }
// Adler-32 of the rows, each with a zero before it.
function checksum(data, row, height) {
  let [a, b] = [1, 0];
  for (let y = 0; y < height; y += 1) {
    b += a;
    for (let at = y * row, end = at + row; at < end;) {
      for (const stop = Math.min(end, at + 3000); at < stop; at += 1) { a += data[at]; b += a; }
      a %= 65521;
      b %= 65521;
    }
  }
  return ((b << 16) | a) >>> 0;
}

// Packs whatever it is given better, but hands its work to another thread and back, which takes longer than the work.
async function deflated({ data, width, height }) {
  const rows = new Uint8Array((4 * width + 1) * height);
  for (let y = 0; y < height; y += 1) rows.set(data.subarray(4 * width * y, 4 * width * (y + 1)), (4 * width + 1) * y + 1);
  const stream = new CompressionStream("deflate");
  const writer = stream.writable.getWriter();
  writer.write(rows);
  writer.close();
  return new Uint8Array(await new Response(stream.readable).arrayBuffer());
}

// The canvas as an ArrayBuffer; its pixels are read before this returns.
export async function pngOf(canvas) {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const parts = [Uint8Array.from(SIGNATURE), chunk("IHDR", header(pixels.width, pixels.height)),
    chunk("IDAT", quicklyDeflated(pixels) || await deflated(pixels)), chunk("IEND", new Uint8Array(0))];
  return joined(parts).buffer;
}
