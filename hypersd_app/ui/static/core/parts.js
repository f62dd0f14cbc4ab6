// The page's parts by name ("board", "compare", ...). Gradio builds a tab when it is first opened: others wait for a part here,
// or do without it.
const entries = new Map();

function entry(name) {
  if (!entries.has(name)) {
    const made = { part: null };
    made.ready = new Promise((resolve) => { made.resolve = resolve; });
    entries.set(name, made);
  }
  return entries.get(name);
}

// The part is there from now on.
export function provide(name, part) {
  entry(name).part = part;
  entry(name).resolve();
  return part;
}

// The part, or null if it isn't there yet.
export function part(name) { return entry(name).part; }

// Resolves to the part once it is there.
export async function ready(name) {
  await entry(name).ready;
  return entry(name).part;
}
