// Every account: the operator's list, and what the operator does to one.

import { at, patch, post, remove } from "./api.js";
import { ask, nameField, showSecret } from "./dialogs.js";
import { button, headline, link, liveList, make, nameButton, plural, say } from "./dom.js";
import { day } from "./time.js";

const LIMITS = [
  ["per_minute", "Requests a minute, per token"],
  ["creation_per_minute", "New instances a minute, per token"],
  ["account_per_minute", "Over all its tokens, a minute"],
  ["instances_quota", "Instances at most"],
  ["tokens_quota", "Tokens of its own at most"],
];

export const accountHref = ({ id }) => `#/accounts/${encodeURIComponent(id)}`;

export function accounts() {
  const rows = make("ul", "rows");
  const empty = make("p", "hint", "There is no account yet. Create the first; its token is shown once.");
  const total = make("span", "soft");
  const list = liveList(rows, ({ id }) => id, accountRow);
  const head = make("div", "heading", headline("h1", "Accounts"), total, button("New account", createAccount, "primary"));
  const element = make("div", "", head, make("section", "card", rows, empty));

  function draw({ accounts: all }) {
    list([...all].sort((a, b) => a.name.localeCompare(b.name)));
    say(total, all.length ? plural(all.length, "account") : "");
    empty.hidden = all.length > 0;
  }

  return { title: "Accounts", element, load: (get) => get(at("accounts")), draw };
}

function accountRow(first) {
  const name = link(first.name, accountHref(first), "name");
  const chip = statusChip();
  const facts = make("p", "soft");
  const actions = accountActions();
  const element = make("li", "row", make("p", "title", name, chip.element), facts, actions.element);
  element.dataset.account = first.id;

  function update(account) {
    say(name, account.name);
    chip.update(account.status);
    say(facts, accountFacts(account));
    actions.update(account);
  }

  return { element, update };
}

// What something is, as a word with a coloured dot.
export function statusChip() {
  const element = make("span", "chip");
  function update(status) {
    element.dataset.is = status;
    say(element, status);
  }
  return { element, update };
}

export function accountFacts({ instances, instances_quota: quota, per_minute: perMinute, tokens, created }) {
  const room = quota === null ? plural(instances, "instance") : `${instances} of ${plural(quota, "instance")}`;
  const pace = perMinute === null ? [] : [`${perMinute} requests/min`];
  return [room, plural(tokens, "token"), ...pace, `since ${day(created)}`].join(" · ");
}

// What the operator can do to an account, the same in the list and on its own page.
export function accountActions() {
  let account = null;
  const isActive = () => account.status === "active";
  const limits = button("Limits", () => changeLimits(account));
  const suspend = button("Suspend", () => (isActive() ? suspendAccount : resumeAccount)(account));
  const drop = button("Delete", () => deleteAccount(account), "risky");
  const element = make("div", "actions", limits, suspend, drop);

  function update(given) {
    account = given;
    nameButton(limits, "Limits", `of account ${account.name}`);
    nameButton(suspend, isActive() ? "Suspend" : "Resume", `account ${account.name}`);
    nameButton(drop, "Delete", `account ${account.name}`);
  }

  return { element, update };
}

// An empty field is the service's default.
function limitFields(account = {}) {
  return LIMITS.map(([name, label]) => ({
    name,
    label,
    value: account[name] ?? "",
    type: "number",
    min: ["instances_quota", "account_per_minute"].includes(name) ? 0 : 1,
    step: 1,
    inputMode: "numeric",
    placeholder: "the service's default",
  }));
}

function limitsFrom(values, before = {}) {
  const given = LIMITS.map(([name]) => [name, values[name] === "" ? null : Number(values[name])]);
  return Object.fromEntries(given.filter(([name, value]) => value !== (before[name] ?? null)));
}

async function createAccount() {
  const made = await ask({
    title: "New account",
    text: "A tenant with instances and tokens of its own.",
    fields: [nameField(), ...limitFields()],
    action: "Create account",
    run: (values) => post(at("accounts"), { name: values.name, ...limitsFrom(values) }),
    done: "Account created",
  });
  if (made) await showSecret(`Token of account ${made.account.name}`, made.token);
}

function changeLimits(account) {
  return ask({
    title: `Limits of ${account.name}`,
    text: "They hold from the next request on.",
    fields: limitFields(account),
    action: "Save limits",
    run: (values) => patch(at("accounts", account.id), limitsFrom(values, account)),
    done: "Limits saved",
  });
}

function suspendAccount(account) {
  return ask({
    title: `Suspend ${account.name}?`,
    text: "Its tokens are refused from the next request on. Nothing is deleted, and pauses that are owed are still sent.",
    action: "Suspend account",
    danger: true,
    run: () => post(at("accounts", account.id, "suspend")),
    done: "Account suspended",
  });
}

function resumeAccount(account) {
  return ask({
    title: `Resume ${account.name}?`,
    text: "Its tokens are accepted again from the next request on.",
    action: "Resume account",
    run: () => post(at("accounts", account.id, "resume")),
    done: "Account resumed",
  });
}

function deleteAccount(account) {
  const kept = `${plural(account.instances, "instance")} and ${plural(account.tokens, "token")}`;
  return ask({
    title: `Delete ${account.name}?`,
    text: `Its ${kept} go with it, for good. Pauses that are owed are sent first.`,
    fields: [{ name: "confirm", label: "Type the account's name to confirm", mustBe: account.name, required: true }],
    action: "Delete account",
    danger: true,
    run: ({ confirm }) => remove(at("accounts", account.id), { confirm }),
    done: "Account deleted",
  });
}
