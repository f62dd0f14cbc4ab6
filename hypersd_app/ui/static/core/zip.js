// ZIP files: written without compression (images are compressed already), read as any program writes them, but for encrypted ones.
import { crc32 } from "./crc.js";

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const UTF8 = 0x800; // names are UTF-8
const [STORED, DEFLATED] = [0, 8];
const LONGEST_COMMENT = 65535;

// A header of `fields` [bytes, value], little endian.
function header(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true); else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

// A Blob of entries [{name, blob}].
export async function zipped(entries) {
  const [parts, directory] = [[], []];
  let at = 0;
  for (const { name, blob } of entries) {
    const [words, bytes] = [new TextEncoder().encode(name), new Uint8Array(await blob.arrayBuffer())];
    const common = [[2, 20], [2, UTF8], [2, STORED], [4, 0x21 << 16], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, words.length], [2, 0]];
    const local = header([[4, LOCAL], ...common]);
    directory.push(header([[4, CENTRAL], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), words);
    parts.push(local, words, blob);
    at += local.length + words.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = header([[4, END], [2, 0], [2, 0], [2, entries.length], [2, entries.length], [4, size], [4, at], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// A Map of names and Blobs of a ZIP file's entries; null if it is none.
export async function unzipped(blob) {
  const view = new DataView(await blob.arrayBuffer());
  const end = endOf(view);
  if (end < 0) return null;
  const found = new Map();
  let at = view.getUint32(end + 16, true);
  try {
    for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
      if (view.getUint32(at, true) !== CENTRAL) return null;
      const [words, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
      const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, words));
      found.set(name, await entry(blob, view, at));
      at += 46 + words + extra + comment;
    }
  } catch {
    return null; // cut short
  }
  return found;
}

function endOf(view) {
  for (let at = view.byteLength - 22; at >= 0 && at >= view.byteLength - 22 - LONGEST_COMMENT; at -= 1) if (view.getUint32(at, true) === END) return at;
  return -1;
}

async function entry(blob, view, at) {
  const [method, size, local] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const part = blob.slice(from, from + size);
  if (method === STORED) return part;
  if (method !== DEFLATED) throw new Error("a ZIP entry that is packed in another way");
  return new Response(part.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}
