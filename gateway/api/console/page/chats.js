// The chats that show something or were told something lately: late ones first. Each opens to what it was told in words,
// and to what can be done about it.

import { at, post } from "./api.js";
import { diagnosis } from "./diagnosis.js";
import { announce, button, card, liveList, make, nameButton, plural, say } from "./dom.js";
import { lane } from "./lane.js";
import { change, refresh } from "./live.js";
import { ago, clockTime, now, span } from "./time.js";

export const LATE_S = 0.5; // below this a pause is being sent, not late
const NUMBER = /^\+?[\d\s().-]{7,}$|@/;
const DOING = { typing: "typing", recording: "recording audio", paused: "pause" };
const ENDED_BY = {
  time: "its time",
  pause: "a pause",
  message: "a message",
  natural: "its natural end",
  replaced: "another state in its place",
};

export function chats() {
  const search = searchBox();
  const rows = make("ul", "rows chats");
  const none = make("p", "hint");
  const more = make("p", "hint");
  const axis = make("p", "axis", make("span"), make("span", "", "now"));
  axis.setAttribute("aria-hidden", "true");
  const nothing = emptyPhone();
  const list = liveList(rows, ({ account, instance, chat }) => `${account} ${instance} ${chat}`, chatRow);
  const element = card("Chats", search.element, axis, rows, more, none, nothing);
  let drawn = [];

  function draw({ history_s, chats: found, more: others }) {
    const fitting = found.filter(search.fits);
    drawn = list(fitting.map((chat) => ({ ...chat, history_s })));
    say(axis.firstChild, `−${span(history_s)}`);
    say(more, `and ${plural(others, "more chat")}; choose an account, or find a number`);
    say(none, search.isEmpty() ? "" : "No such chat shows anything or was told anything lately.");
    axis.hidden = fitting.length === 0 || history_s === 0;
    more.hidden = others === 0;
    none.hidden = fitting.length > 0;
    nothing.hidden = fitting.length > 0 || !search.isEmpty();
  }

  return { element, draw, query: search.query, tick: () => drawn.forEach((row) => row.tick()) };
}

// A whole number is looked up by the gateway, in a body and not in an address; anything else filters what is listed.
function searchBox() {
  const input = make("input");
  const refused = make("p", "refused");
  const label = make("label", "visually-hidden", "Find a chat");
  const form = make("form", "search", label, input, make("button", "", "Find"), refused);
  let wanted = ""; // a chat's id
  let text = "";
  Object.assign(input, { id: "find-chat", type: "search", autocomplete: "off", spellcheck: false });
  input.placeholder = "A number, its end, or an instance";
  label.htmlFor = input.id;
  form.setAttribute("role", "search");
  refused.setAttribute("role", "alert");

  async function find(event) {
    event?.preventDefault();
    const given = input.value.trim();
    say(refused, "");
    try {
      wanted = NUMBER.test(given) ? (await post(at("chats", "find"), { number: given })).chat : "";
      text = wanted ? "" : given.toLowerCase();
    } catch (error) {
      say(refused, error.message);
    }
    await refresh();
  }

  form.addEventListener("submit", find);
  input.addEventListener("input", () => input.value || find());
  const words = ({ number, instance, owner }) => `${number} ${owner ?? ""} ${instance}`.toLowerCase();
  return {
    element: form,
    query: () => (wanted ? `chat=${wanted}` : ""),
    fits: (chat) => words(chat).includes(text),
    isEmpty: () => !wanted && !text,
  };
}

function chatRow(first) {
  const number = make("b", "name");
  const dots = make("span", "dots", make("i"), make("i"), make("i"));
  const words = make("span");
  const left = make("span", "left");
  const from = make("span", "name soft");
  const who = make("span", "who", number, " ", from);
  const head = make("button", "head", who, left, make("span", "doing", dots, words));
  const line = lane(first.history_s || 600);
  const open = details(first, () => tick());
  const element = make("li", "chat", head, line.element, open.element);
  let item = first;
  head.type = "button";
  dots.setAttribute("aria-hidden", "true");
  open.element.hidden = true;
  toggle(false);
  head.addEventListener("click", () => toggle(open.element.hidden));

  function toggle(isOpen) {
    open.element.hidden = !isOpen;
    head.setAttribute("aria-expanded", String(isOpen));
  }

  function update(given) {
    item = given;
    element.dataset.chat = item.chat;
    element.dataset.state = item.showing?.state ?? "";
    dots.hidden = !item.showing;
    say(from, [item.owner, item.instance].filter(Boolean).join(" / "));
    line.draw(item);
    open.update(item);
    tick();
  }

  function tick() {
    const at = now();
    const isLate = (item.showing?.overdue_s ?? 0) >= LATE_S;
    const hasFailed = !item.showing && item.told[0] && !isEnd(item.told[0]);
    element.classList.toggle("late", isLate);
    element.classList.toggle("failed", Boolean(hasFailed));
    say(number, open.number() ?? item.number);
    say(words, summary(item, isLate));
    say(left, item.showing ? timeLeft(item.showing, at, isLate) : ago(item.told[0].ended));
  }

  return { element, update, tick };
}

// What is told of a chat in words, and what can be done about it.
function details(first, changed) {
  const why = diagnosis();
  const entries = make("ol", "told");
  const list = liveList(entries, ({ state, since, ended }) => `${state} ${since} ${ended}`, toldRow);
  const pause = button("Pause now", pauseNow, "primary");
  const reveal = button("Show the number", toggleNumber);
  const ask = button("Why did it not show?", () => why.examine(item.instance_id, item.chat));
  const note = make("p", "hint", "Who pauses here, and who sees a number, stands in the audit log.");
  const element = make("div", "details", make("div", "actions", pause, reveal, ask), why.element, note, entries);
  let item = first;
  let shown = null; // the number, while it was asked for

  function update(given) {
    item = given;
    pause.setAttribute("aria-disabled", String(!item.showing));
    for (const one of [pause, reveal, ask]) one.hidden = item.instance_id === null;
    nameButton(pause, "Pause now", `chat ${item.number}`);
    nameButton(reveal, shown ? "Hide the number" : "Show the number", `of chat ${item.number}`);
    nameButton(ask, "Why did it not show?", `on chat ${item.number}`);
    list(item.told);
  }

  const path = (act) => at("instances", item.instance_id, "chats", item.chat, act);

  async function pauseNow() {
    if (!item.showing) return;
    try {
      await change(() => post(path("pause")));
      announce(`Paused chat ${item.number}`);
    } catch (error) {
      why.tell(`The pause was not taken: ${error.message}`);
    }
  }

  async function toggleNumber() {
    try {
      shown = shown ? null : (await post(path("number"))).number;
    } catch (error) {
      why.tell(error.message);
    }
    update(item);
    changed();
  }

  return { element, update, number: () => shown && chatName(shown) };
}

function toldRow() {
  const time = make("time", "soft");
  const what = make("p");
  const how = make("p", "soft");
  const element = make("li", "", time, what, how);
  function update(one) {
    time.dateTime = new Date(one.since * 1000).toISOString();
    element.dataset.state = isEnd(one) ? one.state : "failed";
    say(time, clockTime(one.since));
    say(what, inWords(one));
    say(how, inDetail(one));
  }
  return { element, update };
}

const isEnd = ({ by }) => by !== "failed" && by !== "abandoned";
const doing = (state) => DOING[state] ?? state;

function summary({ showing, told: [last] }, isLate) {
  if (isLate) return `${doing(showing.state)}, and its pause is late: ${showing.why || "a worker is about to send it"}`;
  return showing ? doing(showing.state) : inWords(last);
}

function inWords(one) {
  if (one.by === "failed") return `${doing(one.state)} came to nothing: ${one.reason}`;
  if (one.by === "abandoned") return `${doing(one.state)}, its pause was given up: ${one.reason}`;
  return `${doing(one.state)} for ${span(one.ended - one.since)}, ended by ${ENDED_BY[one.by] ?? one.by}`;
}

function inDetail(one) {
  if (!isEnd(one)) return "";
  const late_s = one.by === "time" && one.asked !== null ? one.ended - one.asked : 0;
  const parts = [one.asked === null ? "no end was asked for" : `asked for ${span(Math.max(0, one.asked - one.since))}`];
  if (one.sent !== null && one.sent - one.since >= 1) parts.push(`refreshed until ${clockTime(one.sent)}`);
  if (late_s >= LATE_S) parts.push(`paused ${span(late_s)} late`);
  if (one.tries > 0) parts.push(`after ${plural(one.tries, "pause")} that failed`);
  if (!one.sure) parts.push("the upstream did not say whether it showed");
  return parts.join(" · ");
}

// That a pause is late is the gateway's to say; between two polls an end that has passed is only an end.
function timeLeft(showing, at, isLate) {
  if (showing.ends === null) return `for ${span(at - showing.since)}`;
  if (isLate) return `${span(Math.max(showing.overdue_s, at - showing.ends))} late`;
  const left_s = showing.ends - at;
  if (left_s <= 0) return "ending…";
  return `${left_s < 60 ? `${left_s.toFixed(1)} s` : span(left_s)} left`;
}

function chatName(jid) {
  const [user, server] = jid.split("@");
  return server === "s.whatsapp.net" ? `+${user}` : jid;
}

function emptyPhone() {
  const bubble = make("span", "bubble", make("i"), make("i"), make("i"));
  bubble.setAttribute("aria-hidden", "true");
  return make("div", "empty", bubble, make("p", "", "Nobody is typing right now, and nothing was told lately."));
}
