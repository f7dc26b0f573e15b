// What moves because something came or went glides to its place, so that nobody loses the line that they were reading.

const MOVING = ".card, .rows > li";
const GLIDE = { duration: 250, easing: "ease-out" };
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

export function gliding(view, change) {
  const before = new Map([...view.querySelectorAll(MOVING)].map((element) => [element, element.offsetTop]));
  change();
  if (STILL.matches) return;
  const moved = [...before].map(([element, top]) => [element, top - element.offsetTop]).filter(([element, by]) => by && element.isConnected);
  for (const [element, by] of moved) element.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], GLIDE);
}
