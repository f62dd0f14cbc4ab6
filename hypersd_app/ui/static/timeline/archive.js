// All of a session as one file: a ZIP of session.json and the images, which other programs can look at too.
import { unzipped, zipped } from "../core/zip.js";

const [FORMAT, VERSION] = ["hypersd-session", 1];
const INDEX = "session.json";

// A Blob of frames and named drawings [{id, name, at, recipe, picture}]. A stroke that many frames show is there once.
export async function archived(frames, drawings) {
  const strokes = new Map();
  const index = (operation) => { if (!strokes.has(operation)) strokes.set(operation, strokes.size); return strokes.get(operation); };
  const rows = frames.map(({ blob, operations, ...row }) => ({ ...row, operations: operations && operations.map(index) }));
  const named = drawings.map(({ picture, ...row }) => row);
  const json = JSON.stringify({ format: FORMAT, version: VERSION, frames: rows, strokes: [...strokes.keys()], drawings: named });
  return zipped([
    { name: INDEX, blob: new Blob([json], { type: "application/json" }) },
    ...frames.map(({ id, blob }) => ({ name: `pictures/${id}.jpg`, blob })),
    ...drawings.filter(({ picture }) => picture).map(({ id, picture }) => ({ name: `drawings/${id}.jpg`, blob: picture })),
  ]);
}

// {frames, drawings} of such a file, null if it is none.
export async function unarchived(file) {
  const entries = await unzipped(file);
  if (!entries || !entries.has(INDEX)) return null;
  let index;
  try { index = JSON.parse(await entries.get(INDEX).text()); } catch { return null; }
  if (!index || index.format !== FORMAT || !Array.isArray(index.frames) || !Array.isArray(index.strokes) || !Array.isArray(index.drawings)) return null;
  const picture = (name) => (entries.has(name) ? new Blob([entries.get(name)], { type: "image/jpeg" }) : null);
  const stroke = (i) => index.strokes[i];
  const frames = index.frames.filter((row) => row && row.head && typeof row.head.prompt === "string" && Number.isFinite(row.id) && picture(`pictures/${row.id}.jpg`))
    .map((row) => ({ ...row, blob: picture(`pictures/${row.id}.jpg`), operations: Array.isArray(row.operations) ? row.operations.map(stroke).filter(Boolean) : null }));
  const drawings = index.drawings.filter((row) => row && row.id && typeof row.name === "string" && row.recipe && row.recipe.head)
    .map((row) => ({ ...row, picture: picture(`drawings/${row.id}.jpg`) }));
  return { frames, drawings };
}
