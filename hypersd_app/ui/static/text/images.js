// The text tab's images on their way to the timeline.
import { remember } from "../core/session.js";
import { fromBase64 } from "../core/wire.js";
import { timeline } from "../timeline/current.js";
import { promptSeen } from "./prompts.js";

// They arrive as JSON [{head, picture}]. A page begins with the images of before, or with an example: one that is there already is not added again.
export async function collectImages(value) {
  if (!value) return;
  const made = JSON.parse(value);
  await timeline.loaded;
  for (const { head, picture } of made) {
    if (timeline.has(head, null)) continue;
    timeline.add(new Blob([fromBase64(picture)], { type: "image/jpeg" }), head, null);
  }
  if (!made.length) return;
  promptSeen(made[0].head.prompt);
  remember(made[0].head);
}
