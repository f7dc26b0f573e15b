// The page for three in the morning: what needs a person, what chats show and were told, what is owed and how late, and who
// uses how much of the limit.

import { accountHref } from "./accounts.js";
import { at } from "./api.js";
import { chats, LATE_S } from "./chats.js";
import { card, headline, liveList, make, plural, say } from "./dom.js";
import { refresh } from "./live.js";
import { span } from "./time.js";
import { isFailing, troubles } from "./troubles.js";
import { usageBar } from "./usage.js";

const BUSIEST = 8;

export function overview(session) {
  const isOperator = session.kind === "operator";
  const chosen = accountChoice();
  const showing = tile("Showing now");
  const owed = tile("Pauses owed");
  const late = tile("How late");
  const failing = tile("Failing upstreams");
  const needs = troubles();
  const told = chats();
  const bars = make("ul", "rows bars");
  const idle = make("p", "hint", "No token has made a request in the last minute.");
  const usage = liveList(bars, (token) => token.id, usageRow);
  const names = tokenNames();
  let drawn = [];

  const element = make(
    "div",
    "",
    make("div", "heading", headline("h1", "Overview"), ...(isOperator ? [chosen.element] : [])),
    make("div", "tiles", failing.element, late.element, owed.element, showing.element),
    make("div", "night", needs.element, told.element, card("Rate limit, this minute", bars, idle)),
  );

  async function load(get) {
    const which = chosen.value ? `account=${encodeURIComponent(chosen.value)}` : "";
    const asking = (name, ...more) => `${at(name)}?${[which, ...more].filter(Boolean).join("&")}`;
    const [{ accounts }, needed, history, { tokens }] = await Promise.all([
      isOperator ? get(at("accounts")) : { accounts: [session.account] },
      get(asking("troubles")),
      get(asking("history", told.query())),
      get(asking("usage")),
    ]);
    const busiest = tokens.filter(({ used }) => used > 0).sort((a, b) => b.used / b.limit - a.used / a.limit);
    const shown = busiest.slice(0, BUSIEST);
    await names.learn(get, shown, accounts);
    return { accounts, needed, history, tokens: shown };
  }

  function draw({ accounts, needed, history, tokens }) {
    const nameOf = new Map(accounts.map(({ id, name }) => [id, name]));
    const withOwner = (item) => ({ ...item, ...(isOperator && { owner: nameOf.get(item.account), href: accountHref({ id: item.account }) }) });
    chosen.offer(accounts);
    drawTiles(needed, history);
    needs.draw({ ...needed, upstreams: needed.upstreams.map(withOwner) });
    told.draw({ ...history, chats: history.chats.map(withOwner) });
    drawn = usage(tokens.map((token) => ({ ...token, ...names.of(token) })));
    idle.hidden = tokens.length > 0;
  }

  function drawTiles({ upstreams, owed: count, oldest_overdue_s: overdue_s }, { showing: shown }) {
    const isLate = overdue_s >= LATE_S;
    const bad = upstreams.filter(isFailing);
    const owners = plural(new Set(bad.map(({ account }) => account)).size, "account");
    failing.show(String(bad.length), bad.length ? `for ${owners}` : "all calls go well", bad.length > 0);
    late.show(isLate ? span(overdue_s) : "On time", isLate ? "the oldest pause owed" : "no pause is late", isLate);
    owed.show(String(count), "one for each that ends");
    showing.show(String(shown), "typing or recording");
  }

  function tick() {
    told.tick();
    drawn.forEach((row) => row.tick());
  }

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
  select.addEventListener("change", refresh);
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
