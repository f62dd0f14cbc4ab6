import { signed } from "./visitor_key.js";

// The board's binary messages: u32 sequence, u32 length, JSON of that length, an image (see server/http/wire.py).
export function pack(seq, head, picture) {
  const json = new TextEncoder().encode(JSON.stringify(signed(head)));
  const body = picture ? new Uint8Array(picture) : new Uint8Array(0);
  const message = new Uint8Array(8 + json.length + body.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, seq, true);
  view.setUint32(4, json.length, true);
  message.set(json, 8);
  message.set(body, 8 + json.length);
  return message.buffer;
}

export function unpack(buffer) {
  const view = new DataView(buffer);
  const end = 8 + view.getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, end - 8)));
  return { seq: view.getUint32(0, true), head, picture: buffer.slice(end) };
}

// Several bytes one after another.
export function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { bytes.set(part, at); at += part.length; }
  return bytes;
}

export function toBase64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
}

// The bytes of images, each led by its length: what the server's contact_sheet and make_animation read.
export async function packParts(blobs) {
  const parts = [];
  for (const blob of blobs) parts.push(new Uint32Array([blob ? blob.size : 0]), ...(blob ? [blob] : []));
  return new Blob(parts).arrayBuffer();
}
