// Keeps the view that is watched up to date: asks every 2 s, never while the tab is hidden, and says when what is shown
// may be old. A view is `{element, load(get), draw(data), tick?()}`.

import { get, Refusal } from "./api.js";
import { $, say } from "./dom.js";
import { gliding } from "./glide.js";
import { clockTime, now } from "./time.js";

const EVERY_MS = 2000;
const TICK_MS = 100;
const STILL_TICK_MS = 1000;
const WORDS = { waiting: "Connecting…", live: "Live", stale: "Offline" };
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

let view = null;
let answered = null; // when what is shown was true
let asking = new AbortController();
let again = 0;
let changing = false;
let onSignedOut = () => {};

export function whenSignedOut(act) {
  onSignedOut = act;
}

export function watch(next) {
  view = next;
  answered = null;
  $("view").classList.add("loading");
  show("waiting");
  return refresh();
}

export function stopWatching() {
  view = null;
  asking.abort();
  clearTimeout(again);
  $("stale").hidden = true;
}

// Asks now instead of at the next turn; resolves once the answer is on the page.
export async function refresh() {
  asking.abort();
  clearTimeout(again);
  if (view === null || changing || document.hidden) return;
  const mine = (asking = new AbortController());
  const answer = await attempt(view, mine.signal);
  if (mine.signal.aborted) return;
  again = setTimeout(refresh, EVERY_MS);
  if (answer.error) return complain(answer.error);
  answered = now();
  show("live");
  if ($("view").classList.contains("loading")) view.draw(answer.data);
  else gliding($("view"), () => view.draw(answer.data));
  $("view").classList.remove("loading");
}

// Does something that changes what is shown, and shows it. Nothing else is asked meanwhile: the answer could be from
// before the change, or be refused because the change replaced the very token it came with.
export async function change(act) {
  changing = true;
  asking.abort();
  clearTimeout(again);
  try {
    return await act();
  } finally {
    changing = false;
    await refresh();
  }
}

async function attempt(asked, signal) {
  try {
    return { data: await asked.load((path) => get(path, signal)) };
  } catch (error) {
    return { error };
  }
}

function complain(error) {
  if (error instanceof Refusal && error.status === 401) return onSignedOut("That key or token is no longer accepted.");
  const since = answered === null ? "" : ` What you see is from ${clockTime(answered)}.`;
  show("stale");
  say($("stale"), `${error.message}${since} Trying again every ${EVERY_MS / 1000} seconds.`);
}

function show(state) {
  $("status").dataset.live = state;
  say($("status"), WORDS[state]);
  $("stale").hidden = state !== "stale";
  $("view").classList.toggle("old", state === "stale");
}

// Countdowns stand still while nothing is known: what they would say could be wrong.
function tick() {
  if (!document.hidden && $("status").dataset.live === "live") view?.tick?.();
  setTimeout(tick, STILL.matches ? STILL_TICK_MS : TICK_MS);
}

document.addEventListener("visibilitychange", refresh);
tick();
