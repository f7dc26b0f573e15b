// Why a presence did not show, asked of the gateway and its upstream: one sentence, and what it was found by.

import { at, post } from "./api.js";
import { liveList, make, say } from "./dom.js";

const VERDICT = { ok: "well", bad: "not well", unknown: "not known" };

export function diagnosis() {
  const answer = make("p", "answer");
  const findings = make("ul", "findings");
  const list = liveList(findings, ({ check }) => check, finding);
  const element = make("div", "diagnosis", answer, findings);
  answer.setAttribute("role", "status");
  element.hidden = true;

  async function examine(instanceId, chat) {
    tell("Asking the upstream…");
    try {
      const told = await post(at("instances", instanceId, "doctor"), chat ? { chat } : {});
      tell(told.answer, told.findings);
    } catch (error) {
      tell(error.message);
    }
  }

  function tell(text, found = []) {
    element.hidden = false;
    say(answer, text);
    list(found);
  }

  return { element, examine, tell };
}

function finding() {
  const check = make("b");
  const chip = make("span", "chip");
  const detail = make("span", "name soft");
  function update(found) {
    chip.dataset.is = found.verdict;
    say(check, found.check);
    say(chip, VERDICT[found.verdict] ?? found.verdict);
    say(detail, found.detail);
  }
  return { element: make("li", "", check, chip, detail), update };
}
