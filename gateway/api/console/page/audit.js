// The last changes, newest first: who did what to what, and when.

import { at } from "./api.js";
import { headline, liveList, make, say } from "./dom.js";
import { moment } from "./time.js";

const COUNT = 100;

export function audit() {
  const rows = make("ol", "rows audit");
  const empty = make("p", "hint", "Nothing has been changed yet.");
  const list = liveList(rows, ({ id }) => id, entryRow);
  const head = make("div", "heading", headline("h1", "Audit"), make("span", "soft", `the last ${COUNT} changes`));
  const element = make("div", "", head, make("section", "card", rows, empty));

  function draw({ entries }) {
    list([...entries].sort((a, b) => b.at - a.at));
    empty.hidden = entries.length > 0;
  }

  return { title: "Audit", element, load: (get) => get(`${at("audit")}?count=${COUNT}`), draw };
}

function entryRow() {
  const time = make("time", "soft");
  const action = make("b", "name");
  const subject = make("span", "name");
  const actor = make("span", "name soft");
  const detail = make("span", "name soft");
  const element = make("li", "entry", time, make("p", "", action, " ", subject), make("p", "", actor, detail));

  function update(entry) {
    time.dateTime = new Date(entry.at * 1000).toISOString();
    say(time, moment(entry.at));
    say(action, entry.action);
    say(subject, inWords(entry.subject));
    say(actor, `by ${inWords(entry.actor)}`);
    say(detail, inWords(entry.detail));
  }

  return { element, update };
}

// A detail may be a sentence or a handful of facts.
function inWords(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map(([key, fact]) => `${key} ${inWords(fact)}`).join(", ");
}
