// The text tab's pictures on their way to the timeline.
import { remember } from "../core/session.js";
import { fromBase64 } from "../core/wire.js";
import { timeline } from "../timeline/current.js";
import { promptSeen } from "./prompts.js";

const AT_ONCE = 8; // pictures of the text tab, at most

// They arrive as JSON [{head, picture}]. After a reload the pictures of before come once more.
export async function collectPictures(value) {
  if (!value) return;
  const made = JSON.parse(value);
  await timeline.loaded;
  const before = new Set(timeline.frames.slice(-AT_ONCE).map((frame) => JSON.stringify(frame.head)));
  for (const { head, picture } of made) {
    if (before.has(JSON.stringify(head))) continue;
    timeline.add(new Blob([fromBase64(picture)], { type: "image/jpeg" }), head, null);
  }
  if (!made.length) return;
  promptSeen(made[0].head.prompt);
  remember(made[0].head);
}
