// What needs a person now: which upstreams fail and for whom, and what else is wrong with the installation.

import { diagnosis } from "./diagnosis.js";
import { button, card, link, liveList, make, nameButton, plural, say } from "./dom.js";
import { ago, clockTime } from "./time.js";

export function troubles() {
  const problems = make("ul", "rows");
  const failing = make("ul", "rows");
  const calm = make("p", "calm", "Nothing: no upstream fails, and no pause is late.");
  const element = card("Needs attention", calm, problems, failing);
  const listProblems = liveList(problems, (text) => text, problemRow);
  const listFailing = liveList(failing, (one) => one.instance_id, troubleRow);

  function draw({ problems: found, upstreams }) {
    listProblems(found);
    listFailing(upstreams);
    calm.hidden = found.length + upstreams.length > 0;
  }

  return { element, draw };
}

// One that answered after its last failure is over it, unless it fails again.
export const isFailing = ({ ok }) => ok === null;

function problemRow() {
  const words = make("p");
  return { element: make("li", "problem", words), update: (text) => say(words, text) };
}

function troubleRow(first) {
  const name = first.href ? link("", first.href, "name") : make("b", "name");
  const chip = make("span", "chip");
  const reason = make("p", "reason");
  const facts = make("p", "soft name");
  const why = diagnosis();
  const examine = button("Examine", () => why.examine(first.instance_id));
  const head = make("p", "title", name, chip);
  const element = make("li", "row trouble", head, reason, facts, make("div", "actions", examine), why.element);

  function update(one) {
    element.dataset.instance = one.instance_id;
    element.classList.toggle("over", !isFailing(one));
    say(name, [one.owner, one.instance].filter(Boolean).join(" / "));
    chip.dataset.is = isFailing(one) ? "failing" : "well";
    say(chip, isFailing(one) ? (one.open ? "failing, left alone" : "failing") : `well since ${clockTime(one.ok)}`);
    say(reason, one.reason);
    say(facts, factsOf(one));
    nameButton(examine, "Examine", `instance ${one.instance}`);
  }

  return { element, update };
}

function factsOf({ failed, since, last, upstream }) {
  const calls = `${plural(failed, "call")} failed since ${clockTime(since)}, the last ${ago(last)}`;
  return [calls, upstream.kind, upstream.url].filter(Boolean).join(" · ");
}
