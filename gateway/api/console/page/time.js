// The gateway's clock, and times in words. All times are Unix seconds.

let ahead_s = 0; // the gateway's clock minus this machine's
let atLeast_s = -Infinity;
let atMost_s = Infinity;

export const now = () => Date.now() / 1000 + ahead_s;

// A `Date` header says the gateway's second at some moment between asking and being answered. Each answer narrows the
// range that the difference of the clocks is in; while 0 is in it, this machine's clock is taken to be right.
export function learnTime(header, asked_s, answered_s) {
  const said_s = Date.parse(header) / 1000;
  if (!Number.isFinite(said_s)) return;
  const least_s = said_s - answered_s;
  const most_s = said_s + 1 - asked_s;
  const contradicts = least_s > atMost_s || most_s < atLeast_s; // one of the clocks was set
  atLeast_s = contradicts ? least_s : Math.max(atLeast_s, least_s);
  atMost_s = contradicts ? most_s : Math.min(atMost_s, most_s);
  ahead_s = Math.min(Math.max(0, atLeast_s), atMost_s);
}

export const clockTime = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

const DAY = { day: "numeric", month: "short", year: "numeric" };
export const day = (at) => new Date(at * 1000).toLocaleDateString("en-GB", DAY);

export const moment = (at) => (now() - at < 12 * 3600 ? clockTime(at) : `${day(at)}, ${clockTime(at)}`);

const UNITS = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
];

// "4.2 s" below ten seconds, "42 s" below a minute, else the one or two largest units: "1 h 5 min".
export function span(seconds) {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  let left = Math.round(seconds);
  if (left < 60) return `${left} s`;
  const parts = [];
  for (const [name, size] of [...UNITS, ["s", 1]]) {
    if (left >= size && parts.length < 2) parts.push(`${Math.floor(left / size)} ${name}`);
    left %= size;
  }
  return parts.join(" ");
}

export function ago(at) {
  const passed_s = now() - at;
  if (passed_s < 10) return "just now";
  const [name, size] = UNITS.find(([, unit]) => passed_s >= unit) ?? ["s", 1];
  return `${Math.floor(passed_s / size)} ${name} ago`;
}
