// The admin API. The credential lives in memory and in this tab's sessionStorage, and travels in a header that only
// this page sets. There is no cookie, so a request that another site provokes carries no credential: there is nothing
// to forge. A console in another tab signs in for itself.

import { learnTime } from "./time.js";

const KEPT_AS = "presence-console";
const ANSWER_WITHIN_MS = 8000;

let credential = null;

export function restore() {
  try {
    credential = sessionStorage.getItem(KEPT_AS);
  } catch {
    credential = null; // the browser forbids storage: memory will do
  }
  return credential !== null;
}

export function hold(value) {
  credential = value;
  try {
    sessionStorage.setItem(KEPT_AS, value);
  } catch {
    // As above: a reload asks again.
  }
}

export function forget() {
  credential = null;
  try {
    sessionStorage.removeItem(KEPT_AS);
  } catch {
    // Then there was nothing to remove.
  }
}

// Whether the console is signed in with the token that begins like this.
export const isOurs = (prefix) => Boolean(prefix) && credential.startsWith(prefix.replace(/[.…*]+$/, ""));

// The gateway understood and said no; `message` is its own.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// No answer, or none that a gateway gives.
export class Unreachable extends Error {}

export const get = (path, signal) => call("GET", path, undefined, signal);
export const post = (path, body = {}) => call("POST", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path, body) => call("DELETE", path, body);

// A path of the admin API; each part is encoded, whatever is in it.
export const at = (...parts) => `/admin/${parts.map(encodeURIComponent).join("/")}`;

async function call(method, path, body, signal) {
  const asked_s = Date.now() / 1000;
  const timeout = AbortSignal.timeout(ANSWER_WITHIN_MS);
  let response, answer;
  try {
    response = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${credential}` },
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    learnTime(response.headers.get("Date"), asked_s, Date.now() / 1000);
    answer = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable("The gateway cannot be reached.");
  }
  if (!response.ok) throw new Refusal(response.status, answer?.error?.message ?? `The gateway answered ${response.status}.`);
  return answer;
}
