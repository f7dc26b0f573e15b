// What a chat was told in the last minutes, drawn as on the sandbox's phone: chips stand still on a strip as wide as the
// lane, and the strip moves. The details of the row tell the same in words.

import { liveList, make } from "./dom.js";
import { now } from "./time.js";

export function lane(history_s) {
  const epoch_s = now();
  const percent = (seconds) => (seconds / history_s) * 100;
  const strip = make("div", "strip");
  const element = make("div", "lane", strip);
  element.setAttribute("aria-hidden", "true");
  const chips = liveList(strip, ({ state, since }) => `${state} ${since}`, chip);

  function chip() {
    const mark = make("i");
    function update({ state, since, until, failed }) {
      mark.dataset.state = failed ? "failed" : state;
      mark.style.left = `${percent(since - epoch_s)}%`;
      mark.style.width = failed ? "" : `${percent(Math.max(0, until - since))}%`;
    }
    return { element: mark, update };
  }

  function draw(chat) {
    const at = now();
    const past = chat.told.map(({ state, since, ended, by }) => ({ state, since, until: ended, failed: by === "failed" }));
    const present = chat.showing ? [{ ...chat.showing, until: at }] : [];
    chips([...present, ...past]);
    strip.style.transform = `translateX(${100 - percent(at - epoch_s)}%)`;
  }

  return { element, draw };
}
