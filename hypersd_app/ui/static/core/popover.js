// Panels that a button opens beside itself: `[data-opens="id"]`. One is open at a time; Escape, a click elsewhere or the button close it.
let open = null;

export function closePopover(refocus) {
  if (!open) return false;
  const { back, panel, button } = open;
  open = null;
  panel.hidden = true;
  button.setAttribute("aria-expanded", "false");
  if (refocus) back.focus();
  return true;
}

// The right edge of what is seen: of the window, or of an element around `panel` that cuts its content off.
function seenUntil(panel) {
  let right = innerWidth;
  for (let each = panel.parentElement; each && each !== document.body; each = each.parentElement) {
    if (getComputedStyle(each).overflowX !== "visible") right = Math.min(right, each.getBoundingClientRect().right);
  }
  return right;
}

// Below the button where there is room, and inside of what is seen. On a phone it lies at the window's lower edge (studio.css).
function place(at, panel) {
  if (getComputedStyle(panel).position === "fixed") return;
  const [own, space] = [panel.getBoundingClientRect(), panel.offsetParent.getBoundingClientRect()];
  const left = Math.min(Math.max(8, at.left), seenUntil(panel) - own.width - 8);
  const below = at.bottom + 6 + own.height <= innerHeight ? at.bottom + 6 : Math.max(8, Math.min(at.top, innerHeight - own.height - 8));
  Object.assign(panel.style, { left: `${left - space.left}px`, top: `${below - space.top}px` });
}

export function watchPopovers(element) {
  for (const button of element.querySelectorAll("[data-opens]")) {
    const panel = element.querySelector(`#${button.dataset.opens}`);
    button.addEventListener("click", (event) => {
      const own = open && open.panel === panel;
      const at = button.getBoundingClientRect();
      const from = open && open.panel.contains(button) ? open.back : button; // a menu that closes takes its buttons with it
      closePopover();
      if (own) return;
      open = { button, panel, back: from };
      panel.hidden = false;
      button.setAttribute("aria-expanded", "true");
      place(at, panel);
      panel.dispatchEvent(new CustomEvent("hs-open"));
      if (!event.detail) panel.querySelector("button:not([disabled]), input, select")?.focus(); // opened by a key
    });
  }
  // Before anybody else: wherever the focus is, Escape closes what is open first.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !closePopover(true)) return;
    event.stopPropagation();
    event.preventDefault();
  }, true);
  document.addEventListener("pointerdown", (event) => {
    if (open && !open.panel.contains(event.target) && !open.button.contains(event.target)) closePopover();
  });
}
