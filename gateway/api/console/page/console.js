// The console: sign in, then the view that the address asks for.

import { account } from "./account.js";
import { accountHref, accounts } from "./accounts.js";
import { at, forget, get, hold, Refusal, restore } from "./api.js";
import { audit } from "./audit.js";
import { $, focusHeading, link } from "./dom.js";
import { stopWatching, watch, whenSignedOut } from "./live.js";
import { overview } from "./overview.js";

const TRY_AGAIN_MS = 2000;
const SENDABLE = /^[!-~]+$/; // what a header can carry
const NOT_ACCEPTED = "Not accepted: this is neither the operator's key nor a valid token of an account.";

let session = null;

// Signing in and out.

async function start() {
  if (!restore()) return askToSignIn();
  try {
    session = await get(at("session"));
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return signOut("That key or token is no longer accepted.");
    $("stale").textContent = `${error.message} Trying again every ${TRY_AGAIN_MS / 1000} seconds.`;
    $("stale").hidden = false;
    return setTimeout(start, TRY_AGAIN_MS);
  }
  enter();
}

async function signIn(event) {
  event.preventDefault();
  const given = $("credential").value.trim();
  $("refused").textContent = "";
  try {
    if (!SENDABLE.test(given)) throw new Refusal(401);
    hold(given);
    session = await get(at("session"));
  } catch (error) {
    forget();
    $("refused").textContent = error.status === 401 ? NOT_ACCEPTED : error.message;
    return $("credential").select();
  }
  arrive(enter());
}

function enter() {
  $("credential").value = "";
  $("sign-in").hidden = true;
  $("stale").hidden = true;
  $("top").hidden = false;
  $("main").classList.remove("loading");
  $("who").textContent = session.kind === "operator" ? "Operator" : session.account.name;
  $("nav").replaceChildren(...pagesOf(session).map(([name, href]) => link(name, href)));
  return go();
}

function signOut(why = "") {
  forget();
  stopWatching();
  session = null;
  history.replaceState(null, "", location.pathname);
  if ($("ask").open) $("ask").close();
  $("view").replaceChildren();
  $("top").hidden = true;
  askToSignIn(why);
}

function askToSignIn(why = "") {
  document.title = "Sign in · Presence gateway";
  $("sign-in").hidden = false;
  $("main").classList.remove("loading");
  $("refused").textContent = why;
  $("credential").focus();
}

// Views.

function pagesOf({ kind, account: own }) {
  if (kind === "operator") return [["Overview", "#/overview"], ["Accounts", "#/accounts"], ["Audit", "#/audit"]];
  return [["Overview", "#/overview"], ["Account", accountHref(own)]];
}

function viewOf(hash) {
  const [, name, id] = hash.split("/");
  if (name === "accounts" && id) return account(session, decoded(id));
  if (name === "accounts" && session.kind === "operator") return accounts();
  if (name === "audit" && session.kind === "operator") return audit();
  return overview(session);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function go() {
  const view = viewOf(location.hash);
  document.title = `${view.title} · Presence gateway`;
  for (const page of $("nav").children) markCurrent(page, view.title);
  $("view").replaceChildren(view.element);
  return watch(view);
}

// The focus goes to where one has come, once that is there, unless it has been moved on meanwhile.
async function arrive(shown) {
  const before = document.activeElement;
  await shown;
  if ([before, document.body].includes(document.activeElement)) focusHeading($("view"));
}

// An account's page belongs to the list of accounts.
function markCurrent(page, title) {
  const isCurrent = page.textContent === title || page.textContent === `${title}s`;
  if (isCurrent) page.setAttribute("aria-current", "page");
  else page.removeAttribute("aria-current");
}

function navigate() {
  if (session === null) return;
  arrive(go());
  scrollTo(0, 0);
}

function skip(event) {
  event.preventDefault(); // the address stays the view's
  $("main").focus();
}

addEventListener("hashchange", navigate);
$("skip").addEventListener("click", skip);
$("sign-in-form").addEventListener("submit", signIn);
$("sign-out").addEventListener("click", () => signOut());
whenSignedOut(signOut);
start();
