// Films of the timeline: a GIF that the server joins, or a video that the browser records itself.
(function (hs) {
  "use strict";
  const MOST = 400; // frames
  const SIDE = 512; // px
  const LAST = 600; // ms that the last frame stays
  const TYPES = ["video/mp4;codecs=avc1.42E01E", "video/mp4;codecs=vp9", "video/mp4", "video/webm"];

  // At most as many as a film takes, evenly spread over all of them.
  function spread(frames) {
    const step = Math.max(1, (frames.length - 1) / (MOST - 1));
    return Array.from({ length: Math.min(frames.length, MOST) }, (_, i) => frames[Math.round(i * step)]);
  }
  function sleep(milliseconds) { return new Promise((resolve) => setTimeout(resolve, milliseconds)); }

  // Each takes frames, milliseconds a frame and `cancelled()`, and resolves to {blob, name}, or to null if it was cancelled. A
  // video also calls `told(share)`. They throw an Error whose message is for people.
  hs.films = {
    async gif(frames, milliseconds, cancelled) {
      const bytes = await hs.packParts(spread(frames).map((frame) => frame.blob));
      const answer = await hs.callServer("make_gif", { milliseconds }, bytes);
      if (!answer.gif) throw new Error(answer.message);
      return cancelled() ? null : { blob: new Blob([hs.fromBase64(answer.gif)], { type: "image/gif" }), name: "session.gif" };
    },
    async video(frames, milliseconds, cancelled, told) {
      const type = window.MediaRecorder && TYPES.find((each) => MediaRecorder.isTypeSupported(each)); // MP4 where it can
      if (!type) throw new Error(hs.texts["timeline.novideo"]);
      const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
      const context = canvas.getContext("2d");
      const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: type, videoBitsPerSecond: 4e6 });
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
          told((i + 1) / shown.length);
          await sleep(milliseconds);
        }
        if (!cancelled()) await sleep(LAST);
      } finally {
        recorder.stop(); // also after a frame that can't be decoded
      }
      await stopped;
      return cancelled() ? null : { blob: new Blob(chunks, { type }), name: `session.${type.match(/\/(\w+)/)[1]}` };
    },
  };
})((window.hypersd = window.hypersd || {}));
