// Which styles are chosen, {name: weight}, after a click.

// This one alone; again, none. One of a mixture that is clicked stays, with its weight, and the others go.
export function switched(styles, name) {
  const alone = name in styles && Object.keys(styles).length === 1;
  return alone ? {} : { [name]: styles[name] ?? 1 };
}

// The rows that have a card, `most` of those with all the words and the chosen ones, and how many there are: {rows, count}.
export function within(styles, { words, most, chosen }) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const found = styles.filter((style) => { const own = `${style.title} ${style.name} ${style.trigger}`.toLowerCase(); return wanted.every((word) => own.includes(word)); });
  const shown = found.slice(0, most);
  const kept = styles.filter((style) => style.name in chosen && !shown.includes(style));
  return { rows: [...kept, ...shown], count: found.length };
}

// This one with the others, or without it.
export function mixed(styles, name) {
  const { [name]: before, ...others } = styles;
  return before === undefined ? { ...others, [name]: 1 } : others;
}
