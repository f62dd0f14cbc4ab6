// Toolbars are one stop of the Tab key each: the arrow keys go from one control to the next, Home and End to the outermost.
const CONTROLS = "button, input:not([type=hidden]), select, a[href]";
const WAYS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };

export function rove(toolbar) {
  let current = null;
  const controls = () => [...toolbar.querySelectorAll(CONTROLS)].filter((each) => !each.disabled && each.checkVisibility());
  const stop = (control) => {
    current = control;
    for (const each of toolbar.querySelectorAll(CONTROLS)) each.tabIndex = each === control ? 0 : -1;
  };
  toolbar.addEventListener("focusin", (event) => { if (event.target.matches(CONTROLS)) stop(event.target); });
  toolbar.addEventListener("keydown", (event) => {
    const all = controls();
    const at = all.indexOf(event.target);
    // A slider keeps the keys up and down, a list all of them.
    const own = event.target.matches("input[type=range]") ? ["ArrowUp", "ArrowDown"] : event.target.matches("select") ? Object.keys(WAYS) : [];
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey || own.includes(event.key)) return;
    const next = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : WAYS[event.key] ? (at + WAYS[event.key] + all.length) % all.length : -1;
    if (next < 0) return;
    event.preventDefault();
    event.stopPropagation();
    all[next].focus();
  });
  // What is hidden or switched off can't be the stop.
  const check = () => {
    const all = controls();
    if (!all.includes(current) && (all.length || !current)) stop(all[0] || toolbar.querySelector(CONTROLS));
  };
  new MutationObserver(check).observe(toolbar, { subtree: true, attributes: true, attributeFilter: ["disabled", "hidden"], childList: true });
  check();
  return check;
}
