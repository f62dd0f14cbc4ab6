// The check sum of PNG chunks and ZIP entries (CRC-32, ISO 3309).
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

export function crc32(bytes, from = 0, to = bytes.length) {
  let check = -1;
  for (let i = from; i < to; i += 1) check = TABLE[(check ^ bytes[i]) & 255] ^ (check >>> 8);
  return ~check >>> 0;
}
