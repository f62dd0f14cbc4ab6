// Which styles are chosen, {name: weight}, after a click.

// This one alone; again, none. One of a mixture that is clicked stays, with its weight, and the others go.
export function switched(styles, name) {
  const alone = name in styles && Object.keys(styles).length === 1;
  return alone ? {} : { [name]: styles[name] ?? 1 };
}

// This one with the others, or without it.
export function mixed(styles, name) {
  const { [name]: before, ...others } = styles;
  return before === undefined ? { ...others, [name]: 1 } : others;
}
