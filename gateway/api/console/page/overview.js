// What happens now: indicators showing, those that ended and why, pauses owed and how late, and who uses how much of
// the limit.

import { at } from "./api.js";
import { card, headline, liveList, make, plural, say } from "./dom.js";
import { moment, now, span } from "./time.js";
import { usageBar } from "./usage.js";

const SHOWN = 100; // rows; a list that nobody can read to its end is only slow
const BUSIEST = 8;
const LATE_S = 0.5; // below this a pause is being sent, not late
const DOING = { typing: "typing", recording: "recording audio", paused: "paused" };
const ENDED_BY = {
  time: "its time",
  pause: "a pause",
  message: "a message",
  natural: "its natural end",
  replaced: "another state in its place",
};

export function overview(session) {
  const isOperator = session.kind === "operator";
  const chosen = accountChoice();
  const showing = tile("Showing now");
  const owed = tile("Pauses owed");
  const late = tile("How late");
  const rows = make("ul", "rows");
  const more = make("p", "hint");
  const nothing = emptyPhone();
  const bars = make("ul", "rows bars");
  const idle = make("p", "hint", "No token has made a request in the last minute.");
  const list = liveList(rows, ({ account, instance, chat }) => `${account} ${instance} ${chat}`, indicatorRow);
  const over = make("ol", "rows ended");
  const noneOver = make("p", "hint", "No indicator has ended lately, or no history is kept.");
  const ends = liveList(over, (end) => `${end.account} ${end.instance} ${end.chat} ${end.state} ${end.ended}`, endRow);
  const usage = liveList(bars, (token) => token.id, usageRow);
  const names = tokenNames();
  let drawn = [];

  const element = make(
    "div",
    "",
    make("div", "heading", headline("h1", "Overview"), ...(isOperator ? [chosen.element] : [])),
    make("div", "tiles", showing.element, owed.element, late.element),
    make(
      "div",
      "columns",
      make("div", "stack", card("Indicators showing now", rows, more, nothing), card("Ended", over, noneOver)),
      card("Rate limit, this minute", bars, idle),
    ),
  );

  async function load(get) {
    const which = chosen.value ? `?account=${encodeURIComponent(chosen.value)}` : "";
    const [{ accounts }, indicators, { tokens }] = await Promise.all([
      isOperator ? get(at("accounts")) : { accounts: [session.account] },
      get(`${at("indicators")}${which}`),
      get(`${at("usage")}${which}`),
    ]);
    const busiest = tokens.filter(({ used }) => used > 0).sort((a, b) => b.used / b.limit - a.used / a.limit);
    const shown = busiest.slice(0, BUSIEST);
    await names.learn(get, shown, accounts);
    return { accounts, ...indicators, tokens: shown };
  }

  function draw({ accounts, indicators, ended, owed: count, oldest_overdue_s: overdue_s, tokens }) {
    const nameOf = new Map(accounts.map(({ id, name }) => [id, name]));
    const sorted = [...indicators].sort((a, b) => b.overdue_s - a.overdue_s || a.since - b.since);
    chosen.offer(accounts);
    showing.show(String(indicators.length), plural(new Set(indicators.map(({ instance }) => instance)).size, "instance"));
    owed.show(String(count), "one for each that ends");
    const isLate = overdue_s >= LATE_S;
    late.show(isLate ? span(overdue_s) : "On time", isLate ? "the oldest pause owed" : "no pause is late", isLate);
    const withOwner = (item) => ({ ...item, owner: isOperator ? nameOf.get(item.account) : "" });
    ends(ended.map(withOwner));
    noneOver.hidden = ended.length > 0;
    drawn = [
      ...list(sorted.slice(0, SHOWN).map(withOwner)),
      ...usage(tokens.map((token) => ({ ...token, ...names.of(token) }))),
    ];
    say(more, `and ${indicators.length - SHOWN} more`);
    more.hidden = indicators.length <= SHOWN;
    nothing.hidden = indicators.length > 0;
    idle.hidden = tokens.length > 0;
  }

  const tick = () => drawn.forEach((row) => row.tick());
  return { title: "Overview", element, load, draw, tick };
}

function tile(label) {
  const value = make("dd", "value");
  const note = make("dd", "note");
  const element = make("dl", "tile card", make("dt", "", label), value, note);
  function show(text, about, alarm = false) {
    say(value, text);
    say(note, about);
    element.classList.toggle("alarm", alarm);
  }
  return { element, show };
}

// Which account to look at: all of them, unless one is chosen.
function accountChoice() {
  const select = make("select");
  select.id = "overview-account";
  const label = make("label", "", "Account");
  label.htmlFor = select.id;
  const element = make("div", "filter", label, select);
  const all = { id: "", name: "All accounts" };
  const options = liveList(select, ({ id }) => id, ({ id }) => {
    const option = make("option");
    option.value = id;
    return { element: option, update: ({ name }) => say(option, name) };
  });
  options([all]);
  element.hidden = true;
  return {
    element,
    get value() {
      return select.value;
    },
    offer(accounts) {
      options([all, ...[...accounts].sort((a, b) => a.name.localeCompare(b.name))]);
      element.hidden = accounts.length < 2;
    },
  };
}

// Usage names tokens by id only; their names are asked for once, account by account until all are known.
function tokenNames() {
  const known = new Map();

  async function learn(get, tokens, accounts) {
    const isUnknown = ({ id }) => !known.has(id);
    for (const account of accounts) {
      if (!tokens.some(isUnknown)) return;
      const { tokens: theirs } = await get(at("accounts", account.id, "tokens"));
      for (const { id, name, prefix } of theirs) known.set(id, { name: name || `${prefix}…`, owner: account.name });
    }
    for (const { id } of tokens.filter(isUnknown)) known.set(id, { name: id, owner: "" });
  }

  return { learn, of: ({ id }) => known.get(id) };
}

function usageRow() {
  const name = make("b", "name");
  const owner = make("span", "name soft");
  const { bar, note, update: fill, tick } = usageBar();
  const element = make("li", "usage", make("p", "", name, owner), note, bar);
  function update(token) {
    say(name, token.name);
    say(owner, token.owner);
    fill(token, token.name);
  }
  return { element, update, tick };
}

function chatName(jid) {
  const [user, server] = jid.split("@");
  if (server === "s.whatsapp.net") return `+${user}`;
  if (server === "broadcast") return "Status";
  return `${{ "g.us": "Group", newsletter: "Channel" }[server] ?? "Contact"} …${user.slice(-6)}`;
}

function dots() {
  const element = make("span", "dots", make("i"), make("i"), make("i"));
  element.setAttribute("aria-hidden", "true");
  return element;
}

function indicatorRow() {
  const chat = make("b", "name");
  const words = make("span");
  const doing = make("span", "doing", dots(), words);
  const from = make("span", "name soft");
  const left = make("span", "left");
  const bar = make("span", "bar");
  bar.setAttribute("aria-hidden", "true");
  const element = make("li", "indicator", make("p", "", chat, doing), left, from, bar);
  let item = null;

  function update(given) {
    item = given;
    element.dataset.state = item.state;
    element.dataset.chat = item.chat;
    chat.title = item.chat;
    say(chat, chatName(item.chat));
    say(words, DOING[item.state] ?? item.state);
    say(from, place(item));
    tick();
  }

  function tick() {
    const at = now();
    const isLate = item.overdue_s >= LATE_S;
    element.classList.toggle("late", isLate);
    say(left, timeLeft(item, at, isLate));
    const whole_s = Math.max(1, item.ends - item.since);
    const share = isLate ? 1 : Math.min(1, Math.max(0, (item.ends - at) / whole_s));
    bar.hidden = item.ends === null;
    bar.style.setProperty("--share", share.toFixed(3));
  }

  return { element, update, tick };
}

// When, where, what, and why it is over.
function endRow() {
  const time = make("time", "soft");
  const chat = make("b", "name");
  const what = make("span");
  const from = make("span", "name soft");
  const element = make("li", "entry", time, make("p", "", chat, " ", what), make("p", "", from));
  function update(end) {
    time.dateTime = new Date(end.ended * 1000).toISOString();
    chat.title = end.chat;
    say(time, moment(end.ended));
    say(chat, chatName(end.chat));
    say(what, `${DOING[end.state] ?? end.state}, ended by ${ENDED_BY[end.by] ?? end.by}`);
    say(from, place(end));
  }
  return { element, update };
}

const place = ({ owner, instance }) => [owner, instance].filter(Boolean).join(" / ");

// That a pause is late is the gateway's to say; between two polls an end that has passed is only an end.
function timeLeft(item, at, isLate) {
  if (item.ends === null) return `for ${span(at - item.since)}`;
  if (isLate) return `${span(Math.max(item.overdue_s, at - item.ends))} late`;
  return item.ends > at ? `${(item.ends - at).toFixed(1)} s left` : "ending…";
}

function emptyPhone() {
  const bubble = make("span", "bubble", make("i"), make("i"), make("i"));
  bubble.setAttribute("aria-hidden", "true");
  return make("div", "empty", bubble, make("p", "", "Nobody is typing right now."));
}
