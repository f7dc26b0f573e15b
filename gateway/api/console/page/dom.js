// Elements made of text: nothing that the API says is ever read as markup.

export const $ = (id) => document.getElementById(id);

export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// A button that says what it does and, to those who cannot see where it stands, to what.
export function button(verb, act, className = "") {
  const element = make("button", className, document.createTextNode(verb), make("span", "visually-hidden"));
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

export function nameButton(element, verb, subject) {
  say(element.firstChild, verb);
  say(element.lastChild, ` ${subject}`);
}

export function link(text, href, className = "") {
  const element = make("a", className, text);
  element.href = href;
  return element;
}

// A heading that can be given the focus when what had it is gone.
export function headline(tag, title) {
  const element = make(tag, "name", title);
  element.tabIndex = -1;
  return element;
}

export function card(title, ...children) {
  const heading = headline("h2", title);
  const element = make("section", "card", heading, ...children);
  heading.id = `card-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  element.setAttribute("aria-labelledby", heading.id);
  return element;
}

// Touches the page only where something changed: a poll that brings nothing new costs nothing.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export function announce(text) {
  $("announcer").textContent = text;
}

export function focusHeading(within) {
  const heading = within.querySelector("h1, h2");
  heading?.focus();
}

// Shows items as the children of `parent` and keeps each one's element from poll to poll, so that focus and selection
// stay where they are. `create(item)` returns `{element, update(item)}`.
export function liveList(parent, keyOf, create) {
  let rows = new Map();
  return (items) => {
    const kept = new Map();
    for (const item of items) {
      const key = keyOf(item);
      const row = rows.get(key) ?? create(item);
      row.update(item);
      kept.set(key, row);
    }
    for (const [key, row] of rows) if (!kept.has(key)) leave(row.element);
    place(parent, [...kept.values()]);
    rows = kept;
    return [...kept.values()];
  };
}

function leave(element) {
  const section = element.contains(document.activeElement) && element.closest("section");
  element.remove();
  if (section) focusHeading(section);
}

function place(parent, rows) {
  let next = parent.firstElementChild;
  for (const { element } of rows) {
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}
