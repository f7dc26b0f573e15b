// How much of this minute's rate limit a token has used, as a bar.

import { make, say } from "./dom.js";
import { now } from "./time.js";

const BUSY = 0.8; // of the limit

export function usageBar() {
  const element = make("div", "meter");
  const note = make("span", "figures");
  element.setAttribute("role", "meter");
  element.setAttribute("aria-valuemin", "0");
  let quota = null;

  function update(given, subject) {
    quota = given;
    const share = Math.min(1, quota.used / quota.limit);
    element.style.setProperty("--share", share.toFixed(3));
    element.dataset.load = share >= 1 ? "full" : share >= BUSY ? "busy" : "calm";
    element.setAttribute("aria-valuemax", quota.limit);
    element.setAttribute("aria-valuenow", Math.min(quota.used, quota.limit));
    element.setAttribute("aria-label", `Requests this minute of ${subject}`);
    tick();
  }

  function tick() {
    if (quota === null) return;
    const wait_s = Math.ceil(quota.reset - now());
    const full = quota.used >= quota.limit && wait_s > 0;
    say(note, `${quota.used} of ${quota.limit}${full ? `, room again in ${wait_s} s` : ""}`);
  }

  return { bar: element, note, update, tick };
}
