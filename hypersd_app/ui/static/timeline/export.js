// The timeline as an animation: a GIF or WebP that the server joins, or a video that the browser records itself.
import { callServer, texts } from "../core/bridge.js";
import { fromBase64, packParts } from "../core/wire.js";

const MOST = 400; // frames
const SIDE = 512; // px
const LAST = 600; // ms that the last frame stays
const RATE = [25, 4e6]; // frames and bits per second of a video
const TYPES = ["video/mp4;codecs=avc1.42E01E", "video/mp4;codecs=vp9", "video/mp4", "video/webm"];

// At most as many frames as an animation takes, evenly spread over all of them.
export function spread(frames, most = MOST) {
  const step = Math.max(1, (frames.length - 1) / (most - 1));
  return Array.from({ length: Math.min(frames.length, most) }, (_, i) => frames[Math.round(i * step)]);
}
function sleep(milliseconds) { return new Promise((resolve) => setTimeout(resolve, milliseconds)); }

// All take frames, milliseconds per frame and `cancelled()`, and resolve to {blob, name}, or to null if it was cancelled. A
// video also calls `progress(share)`. They throw an Error whose message is for people.
export const animatedGif = (...about) => joinedBy("gif", ...about);
export const animatedWebp = (...about) => joinedBy("webp", ...about);
async function joinedBy(format, frames, milliseconds, cancelled) {
  const bytes = await packParts(spread(frames).map((frame) => frame.blob));
  const answer = await callServer("animation", { milliseconds, format }, bytes);
  if (!answer.file) throw new Error(answer.message);
  return cancelled() ? null : { blob: new Blob([fromBase64(answer.file)], { type: `image/${format}` }), name: `session.${format}` };
}

export async function video(frames, milliseconds, cancelled, progress) {
  const type = window.MediaRecorder && TYPES.find((each) => MediaRecorder.isTypeSupported(each)); // MP4 where it can
  if (!type) throw new Error(texts["timeline.novideo"]);
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d");
  const [framesPerSecond, videoBitsPerSecond] = RATE;
  const recorder = new MediaRecorder(canvas.captureStream(framesPerSecond), { mimeType: type, videoBitsPerSecond });
  const chunks = [];
  recorder.ondataavailable = (event) => chunks.push(event.data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  const shown = spread(frames);
  try {
    for (let i = 0; i < shown.length && !cancelled(); i += 1) {
      const bitmap = await createImageBitmap(shown[i].blob);
      context.drawImage(bitmap, 0, 0, SIDE, SIDE);
      bitmap.close();
      progress((i + 1) / shown.length);
      await sleep(milliseconds);
    }
    if (!cancelled()) await sleep(LAST);
  } finally {
    recorder.stop(); // also after a frame that can't be decoded
  }
  await stopped;
  return cancelled() ? null : { blob: new Blob(chunks, { type }), name: `session.${type.match(/\/(\w+)/)[1]}` };
}
