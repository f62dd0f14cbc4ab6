// A PNG of a canvas at once. `toBlob` encodes when the page is idle, which it is not while the pen moves, and hands its bytes
// over through another process; this compresses on a thread of its own.
(function (hs) {
  "use strict";
  const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  const CHECKS = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });

  function chunk(kind, data) {
    const bytes = new Uint8Array(12 + data.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    for (let i = 0; i < 4; i += 1) bytes[4 + i] = kind.charCodeAt(i);
    bytes.set(data, 8);
    let check = -1;
    for (let i = 4; i < 8 + data.length; i += 1) check = CHECKS[(check ^ bytes[i]) & 255] ^ (check >>> 8);
    view.setUint32(8 + data.length, ~check);
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

  // Rows without a filter: most of a drawing is empty paper, which needs none.
  async function deflated({ data, width, height }) {
    const rows = new Uint8Array((4 * width + 1) * height);
    for (let y = 0; y < height; y += 1) rows.set(data.subarray(4 * width * y, 4 * width * (y + 1)), (4 * width + 1) * y + 1);
    const stream = new CompressionStream("deflate");
    const writer = stream.writable.getWriter();
    writer.write(rows);
    writer.close();
    return new Uint8Array(await new Response(stream.readable).arrayBuffer());
  }

  function joined(parts) {
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { bytes.set(part, at); at += part.length; }
    return bytes;
  }

  function slowly(canvas) {
    return new Promise((resolve) => canvas.toBlob(async (blob) => resolve(await blob.arrayBuffer()), "image/png"));
  }

  // The canvas as an ArrayBuffer; its pixels are read before this returns.
  hs.pngOf = async function (canvas) {
    if (!window.CompressionStream) return slowly(canvas);
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const parts = [Uint8Array.from(SIGNATURE), chunk("IHDR", header(pixels.width, pixels.height)),
      chunk("IDAT", await deflated(pixels)), chunk("IEND", new Uint8Array(0))];
    return joined(parts).buffer; // not by a Blob, whose bytes come back from another process
  };
})((window.hypersd = window.hypersd || {}));
