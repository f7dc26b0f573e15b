// One account: its tokens, and its instances with their connection.

import { at, hold, isOurs, post, Refusal, remove } from "./api.js";
import { accountActions, accountFacts, statusChip } from "./accounts.js";
import { ask, nameField, showSecret } from "./dialogs.js";
import { button, card, headline, link, liveList, make, nameButton, say } from "./dom.js";
import { ago, day, moment } from "./time.js";
import { usageBar } from "./usage.js";

const GRACE = {
  name: "grace",
  label: "The old token works for",
  options: [
    ["0", "not another moment"],
    ["60", "one more minute"],
    ["3600", "one more hour"],
    ["86400", "one more day"],
  ],
  value: "0",
};
const CONNECTION = { loggedout: "logged out" };

export function account(session, id) {
  const path = (...rest) => at("accounts", id, ...rest);
  const title = headline("h1", "Account");
  const chip = statusChip();
  const facts = make("p", "soft");
  const actions = accountActions();
  const tokenRows = make("ul", "rows");
  const instanceRows = make("ul", "rows");
  const noToken = make("p", "hint", "There is no token: nothing can act for this account.");
  const noInstance = make("p", "hint", "There is no instance yet. One instance is one WhatsApp number.");
  const listTokens = liveList(tokenRows, ([token]) => token.id, tokenRow);
  const listInstances = liveList(instanceRows, (instance) => instance.id, instanceRow);
  const gone = make("p", "gone card", "There is no such account, or not any more. ", link("Back to the overview", "#/overview"));
  const about = make("div", "", make("div", "title", title, chip.element), facts);
  const head = make("div", "heading", about, ...(session.kind === "operator" ? [actions.element] : []));
  const body = make(
    "div",
    "stack",
    head,
    card("Instances", button("New instance", () => createInstance(path("instances"), kinds), "primary"), instanceRows, noInstance),
    card("Tokens", button("New token", () => issueToken(path("tokens")), "primary"), tokenRows, noToken),
  );
  const element = make("div", "", body, gone);
  let drawn = [];
  let kinds = null; // of upstreams: they change with a new build only, so one question will do

  async function load(get) {
    try {
      kinds ??= (await get(at("upstreams"))).upstreams;
      const [{ accounts }, { tokens }, { instances }, usage] = await Promise.all([
        get(at("accounts")),
        get(path("tokens")),
        get(path("instances")),
        get(`${at("usage")}?account=${encodeURIComponent(id)}`),
      ]);
      return { it: accounts.find((one) => one.id === id), tokens, instances, usage: usage.tokens };
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) return {};
      throw error;
    }
  }

  function draw({ it, tokens, instances, usage }) {
    gone.hidden = Boolean(it);
    body.hidden = !it;
    if (!it) return;
    const quotas = new Map(usage.map((quota) => [quota.id, quota]));
    say(title, it.name);
    chip.update(it.status);
    say(facts, accountFacts(it));
    actions.update(it);
    const nameOf = new Map(instances.map((instance) => [instance.id, instance.name]));
    const named = tokens.map((token) => ({ ...token, name: token.name || nameOf.get(token.instance) || "unnamed" }));
    drawn = listTokens(named.sort((a, b) => a.created - b.created).map((token) => [token, quotas.get(token.id)]));
    listInstances([...instances].sort((a, b) => a.name.localeCompare(b.name)));
    noToken.hidden = tokens.length > 0;
    noInstance.hidden = instances.length > 0;
  }

  const tick = () => drawn.forEach((row) => row.tick());
  return { title: "Account", element, load, draw, tick };
}

// Tokens.

function tokenRow() {
  const name = make("b", "name");
  const chip = make("span", "chip");
  const ours = make("span", "chip", "signed in with this");
  const prefix = make("code");
  const facts = make("span", "soft");
  const { bar, note, update: fill, tick } = usageBar();
  const usage = make("div", "usage", note, bar);
  const rotate = button("Rotate", () => rotateToken(token));
  const revoke = button("Revoke", () => revokeToken(token), "risky");
  const title = make("p", "title", name, chip, ours);
  const element = make("li", "row", title, make("p", "", prefix, facts), usage, make("div", "actions", rotate, revoke));
  let token = null;

  function update([given, quota]) {
    token = given;
    element.dataset.token = token.id;
    say(name, token.name);
    say(chip, token.kind);
    ours.hidden = !isOurs(token.prefix);
    say(prefix, `${token.prefix}…`);
    say(facts, tokenFacts(token));
    usage.hidden = !quota;
    if (quota) fill(quota, token.name);
    rotate.hidden = token.expires !== null; // it was rotated already and lives on for a while
    nameButton(rotate, "Rotate", `token ${token.name}`);
    nameButton(revoke, "Revoke", `token ${token.name}`);
  }

  return { element, update, tick };
}

function tokenFacts({ created, last_used: lastUsed, expires }) {
  const use = lastUsed === null ? "never used" : `used ${ago(lastUsed)}`;
  const end = expires === null ? [] : [`works until ${moment(expires)}`];
  return [use, `created ${day(created)}`, ...end].join(" · ");
}

async function issueToken(path) {
  const issued = await ask({
    title: "New token",
    text: "It may do everything that this account may do. Give each client one of its own.",
    fields: [{ name: "name", label: "What is it for?", required: true, maxLength: 100 }],
    action: "Issue token",
    run: ({ name }) => post(path, { name: name.trim() }),
    done: "Token issued",
  });
  if (issued) await showSecret(`Token ${issued.token.name}`, issued.secret);
}

async function rotateToken(token) {
  const rotated = await ask({
    title: `Rotate ${token.name}?`,
    text: "A new token takes its place.",
    fields: [GRACE],
    action: "Rotate token",
    run: async ({ grace }) => {
      const wasOurs = isOurs(token.prefix);
      const answer = await post(at("tokens", token.id, "rotate"), { grace: Number(grace) });
      if (wasOurs) hold(answer.secret); // stay signed in
      return answer;
    },
    done: "Token rotated",
  });
  if (rotated) await showSecret(`New token ${token.name}`, rotated.secret);
}

function revokeToken(token) {
  return ask({
    title: `Revoke ${token.name}?`,
    text: isOurs(token.prefix)
      ? "You are signed in with this token: you will be signed out, and every client that uses it is refused."
      : "Every client that uses it is refused from its next request on.",
    action: "Revoke token",
    danger: true,
    run: () => remove(at("tokens", token.id)),
    done: "Token revoked",
  });
}

// Instances.

function instanceRow() {
  const name = make("b", "name");
  const chip = statusChip();
  const upstream = make("p", "name soft");
  const rotate = button("New token", () => rotateInstance(instance));
  const drop = button("Delete", () => deleteInstance(instance), "risky");
  const element = make("li", "row", make("p", "title", name, chip.element), upstream, make("div", "actions", rotate, drop));
  let instance = null;

  function update(given) {
    instance = given;
    element.dataset.instance = instance.id;
    const state = instance.connection?.state ?? "unknown";
    say(name, instance.name);
    chip.update(CONNECTION[state] ?? state);
    say(upstream, upstreamInWords(instance.upstream));
    nameButton(rotate, "New token", `for instance ${instance.name}`);
    nameButton(drop, "Delete", `instance ${instance.name}`);
  }

  return { element, update };
}

function upstreamInWords(upstream) {
  if (!upstream?.kind) return "the default upstream";
  return [upstream.kind, upstream.url, upstream.session && `session ${upstream.session}`].filter(Boolean).join(" · ");
}

async function createInstance(path, kinds) {
  const made = await ask({
    title: "New instance",
    text: "One WhatsApp number, with a token of its own.",
    fields: [
      nameField(),
      { name: "token", label: "Token (optional)", hint: "Your own, 16 characters or more; else one is made.", minLength: 16 },
      { name: "kind", label: "Upstream", options: [["", "the default"], ...kinds.map(({ kind, name: product }) => [kind, product])] },
      { name: "url", label: "Its address", type: "url", required: true, shownWith: "kind" },
      { name: "session", label: "Session there (optional)", shownWith: "kind" },
      { name: "credential", label: "Credential there (optional)", type: "password", autocomplete: "new-password", shownWith: "kind" },
    ],
    action: "Create instance",
    run: ({ name, ...rest }) => post(path, { name, ...instanceOptions(rest) }),
    done: "Instance created",
  });
  if (made) await showSecret(`Token of instance ${made.instance.name}`, made.instance.token);
}

function instanceOptions({ token, kind, url, session, credential }) {
  const upstream = kind ? { kind, url, ...(session && { session }), ...(credential && { credential }) } : null;
  return { ...(token && { token }), ...(upstream && { upstream }) };
}

async function rotateInstance(instance) {
  const rotated = await ask({
    title: `New token for ${instance.name}?`,
    text: "It takes the place of the instance's token.",
    fields: [GRACE],
    action: "Rotate token",
    run: ({ grace }) => post(at("instances", instance.id, "token"), { grace: Number(grace) }),
    done: "Token rotated",
  });
  if (rotated) await showSecret(`New token of instance ${instance.name}`, rotated.secret);
}

function deleteInstance(instance) {
  return ask({
    title: `Delete ${instance.name}?`,
    text: "Its tokens die at once. Pauses that are owed are sent first.",
    fields: [{ name: "confirm", label: "Type the instance's name to confirm", mustBe: instance.name, required: true }],
    action: "Delete instance",
    danger: true,
    run: ({ confirm }) => remove(at("instances", instance.id), { confirm }),
    done: "Instance deleted",
  });
}
