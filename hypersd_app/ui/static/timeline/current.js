// The timeline of this page.
import { Timeline } from "./timeline.js";

export const timeline = new Timeline();
