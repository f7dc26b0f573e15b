// The sandbox's phone: listens to /events and shows what a recipient would see, and when it was told.
//
// A call says "typing", "recording" or "paused" about a chat. As on a real phone an indicator that is not refreshed
// goes away by itself: here after DARK_AFTER_S, shown as "(dark)". Real clients take 5 s to 25 s; we act the slowest.

const DARK_AFTER_S = 25;
const TIMELINE_S = 70;
const KEPT_LINES = 100;
const KEPT_CHATS = 30;
const KEPT_CHIPS = 80;
const REOPEN_AFTER_MS = 1000;

const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const DARK = `(dark) not refreshed for ${DARK_AFTER_S} s`;
const SUBLINE = { typing: "typing…", recording: "recording audio…", dark: DARK };
const DOING = { typing: "typing", recording: "recording audio" };
const STREAM = { connecting: "Connecting…", live: "Live", lost: "Connection lost, trying again…" };

const $ = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search).get("instance");

let instance = null; // whose phone this is
let instances = new Set();
let chats = new Map(); // by JID
let lines = []; // of the log, not yet on the page
let told = 0;
let skew_s = 0; // the sandbox's clock minus ours
let epoch_s = 0; // chips are placed relative to this instant

const now = () => Date.now() / 1000 + skew_s;

// The stream.

function listen() {
  const source = new EventSource(asked ? `events?instance=${encodeURIComponent(asked)}` : "events");
  source.addEventListener("snapshot", (event) => begin(JSON.parse(event.data)));
  source.addEventListener("call", (event) => hear(JSON.parse(event.data), apply));
  source.addEventListener("message", (event) => hear(JSON.parse(event.data), receive));
  source.addEventListener("error", () => {
    showStream("lost");
    // The browser tries again by itself, except after an answer that was no event stream (a proxy's 502).
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, REOPEN_AFTER_MS);
  });
}

function begin(snapshot) {
  skew_s = snapshot.now - Date.now() / 1000;
  epoch_s = snapshot.now;
  instances = new Set(snapshot.instances);
  become(snapshot.instance);
  snapshot.calls.forEach(apply);
  snapshot.messages.forEach(receive);
  showStream("live");
  draw();
  $("main").classList.remove("loading"); // what was drawn before it was known would only move
}

function hear(said, take) {
  if (!instances.has(said.instance)) {
    instances.add(said.instance);
    // A phone that nobody asked for and that shows nothing yet becomes the phone of whoever speaks first.
    if (!asked && chats.size === 0) become(said.instance);
    else showInstances();
  }
  if (said.instance === instance) take(said);
}

function become(name) {
  instance = name;
  chats = new Map();
  lines = [];
  told = 0;
  for (const list of ["chats", "lanes", "log"]) $(list).replaceChildren();
  $("owner").textContent = name;
  $("hint").textContent = hint(name);
  showInstances();
}

// What a call means.

function apply(call) {
  told += 1;
  const chat = chats.get(call.chat) ?? meet(call.chat);
  const before = shown(chat, call.at);
  lines.push({ call, before, words: words(before, chat, call) });
  if (lines.length > KEPT_LINES) lines.shift();
  if (call.state !== before) chat.since = call.at;
  chat.state = call.state;
  chat.at = call.at;
  addChip(chat, call);
}

function receive(message) {
  const chat = chats.get(message.chat) ?? meet(message.chat);
  chat.message = message;
  chat.line.querySelector(".said").textContent = message.text;
  chat.drawn = "";
}

const newest = (chat) => Math.max(chat.at, chat.message?.at ?? -Infinity);

function meet(jid) {
  const chat = { jid, state: "paused", at: -Infinity, since: -Infinity, message: null, chips: [], line: null, lane: null, drawn: "" };
  chats.set(jid, chat);
  if (chats.size > KEPT_CHATS) forget([...chats.values()].reduce((a, b) => (newest(a) < newest(b) ? a : b)));
  chat.line = chatLine(chat);
  chat.lane = chatLane(chat);
  return chat;
}

function forget(chat) {
  chats.delete(chat.jid);
  chat.line?.remove();
  chat.lane?.remove();
}

function shown(chat, at) {
  return chat.state !== "paused" && at - chat.at >= DARK_AFTER_S ? "dark" : chat.state;
}

function words(before, chat, call) {
  const gap = `${(call.at - chat.at).toFixed(1)} s`;
  if (call.state === before) {
    if (before === "paused") return Number.isFinite(chat.at) ? "is paused again" : "is paused";
    return `still ${DOING[before]}, refreshed after ${gap}`;
  }
  if (before === "dark") return `${call.state === "paused" ? "is paused" : `is ${DOING[call.state]}`}, had gone dark`;
  if (call.state === "paused") return `stops ${DOING[before]} after ${(call.at - chat.since).toFixed(1)} s`;
  return before === "paused" ? `starts ${DOING[call.state]}` : `changes to ${DOING[call.state]}`;
}

// Names and times.

function nameOf(jid) {
  const [user, server] = jid.split("@");
  if (server === "s.whatsapp.net") return `+${user}`;
  if (server === "broadcast") return "Status";
  return `${{ "g.us": "Group", newsletter: "Channel" }[server] ?? "Contact"} …${user.slice(-6)}`;
}

function hueOf(jid) {
  let hash = 7;
  for (const letter of jid) hash = (hash * 31 + letter.charCodeAt(0)) % 3600;
  return (hash * 47) % 360;
}

function clockTime(at, options) {
  return new Date(at * 1000).toLocaleTimeString("en-GB", options);
}

function hint(name) {
  const url = new URL(`instances/${encodeURIComponent(name)}/presence`, location.href);
  return `curl ${url.origin}${url.pathname} -d '{"chat":"5511999999999@s.whatsapp.net","state":"typing"}'`;
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

function dots() {
  const element = make("span", "dots", make("i", ""), make("i", ""), make("i", ""));
  element.setAttribute("aria-hidden", "true");
  return element;
}

// The phone.

function chatLine(chat) {
  const avatar = make("span", "avatar", chat.jid.split("@")[0].slice(-2));
  avatar.setAttribute("aria-hidden", "true");
  avatar.style.setProperty("--hue", hueOf(chat.jid));
  const name = make("span", "name", nameOf(chat.jid));
  const line = make("li", "chat", avatar, name, make("time", "when"), make("span", "subline"), make("span", "said"));
  line.dataset.chat = chat.jid;
  return line;
}

function drawChat(chat) {
  const state = shown(chat, now());
  const note = SUBLINE[state] ?? (Number.isFinite(chat.at) ? `last paused ${clockTime(chat.at)}` : "");
  if (chat.drawn === note && chat.line.isConnected) return;
  const changed = note && chat.line.dataset.state !== state;
  chat.drawn = note;
  chat.line.dataset.state = state;
  chat.line.querySelector(".subline").replaceChildren(...(DOING[state] ? [dots()] : []), note);
  chat.line.querySelector(".when").textContent = clockTime(Math.max(chat.since, chat.message?.at ?? -Infinity), { hour: "2-digit", minute: "2-digit" });
  if (!chat.line.isConnected || (changed && state !== "dark")) $("chats").prepend(chat.line);
  if (changed) announce(`${nameOf(chat.jid)}: ${note}`);
}

function announce(text) {
  $("announcer").textContent = text;
}

// The timeline: chips stand still on a strip as wide as the lane, and the strip moves.

function chatLane(chat) {
  const strip = make("div", "strip");
  strip.setAttribute("aria-hidden", "true"); // the log tells the same in words
  const lane = make("div", "lane", make("span", "name", nameOf(chat.jid)), make("div", "window", strip));
  lane.dataset.chat = chat.jid;
  return lane;
}

const percent = (seconds) => (seconds / TIMELINE_S) * 100;

function addChip(chat, call) {
  const last = chat.chips.at(-1);
  if (last) {
    last.next = call.at;
    stretch(last, call.at);
  }
  const element = make("i", "chip");
  element.dataset.state = call.state;
  element.title = `${call.state} at ${clockTime(call.at)}`;
  element.style.left = `${percent(call.at - epoch_s)}%`;
  chat.chips.push({ at: call.at, next: Infinity, state: call.state, element });
  chat.lane.querySelector(".strip").append(element);
  if (chat.chips.length > KEPT_CHIPS) chat.chips.shift().element.remove();
}

const endOf = (chip) => Math.min(chip.next, chip.at + (chip.state === "paused" ? 0 : DARK_AFTER_S));

function stretch(chip, at) {
  const shown_s = Math.max(0, Math.min(at, endOf(chip)) - chip.at);
  if (chip.state !== "paused") chip.element.style.width = `${percent(shown_s)}%`;
}

function drawLane(chat, at) {
  while (chat.chips.length && endOf(chat.chips[0]) < at - TIMELINE_S - 1) chat.chips.shift().element.remove();
  if (chat.chips.length === 0) return chat.lane.remove();
  if (!chat.lane.isConnected) $("lanes").append(chat.lane);
  stretch(chat.chips.at(-1), at);
  chat.lane.querySelector(".strip").style.transform = `translateX(${100 - percent(at - epoch_s)}%)`;
}

// The log.

function logLine({ call, words: text }) {
  const at = new Date(call.at * 1000);
  const time = make("time", "", `${clockTime(call.at)}.${String(at.getMilliseconds()).padStart(3, "0")}`);
  time.dateTime = at.toISOString();
  const line = make("li", "", time, make("span", "name", nameOf(call.chat)), make("span", "words", text));
  line.dataset.chat = call.chat;
  line.dataset.state = call.state;
  return line;
}

function drawLog() {
  if (lines.length === 0) return;
  $("log").prepend(...lines.map(logLine).reverse());
  while ($("log").childElementCount > KEPT_LINES) $("log").lastElementChild.remove();
  lines = [];
  $("total").textContent = `${told} call${told === 1 ? "" : "s"}`;
}

// The rest of the page.

function showStream(state) {
  $("stream").dataset.stream = state;
  $("stream").textContent = STREAM[state];
}

function showInstances() {
  const names = [...new Set([instance, ...instances])].sort();
  $("instances").hidden = names.length < 2;
  $("instances").replaceChildren(...names.map(instanceLink));
}

function instanceLink(name) {
  const link = make("a", "", name);
  link.href = `?instance=${encodeURIComponent(name)}`;
  if (name === instance) link.setAttribute("aria-current", "page");
  return link;
}

function draw() {
  const at = now();
  for (const chat of [...chats.values()].sort((a, b) => a.since - b.since)) {
    drawChat(chat);
    drawLane(chat, at);
  }
  drawLog();
  $("clock").textContent = clockTime(at, { hour: "2-digit", minute: "2-digit" });
  $("empty").hidden = instance === null || chats.size > 0;
  $("silence").hidden = told > 0;
  $("quiet").hidden = $("lanes").childElementCount > 0;
  $("axis").hidden = !$("quiet").hidden;
}

function keepDrawing() {
  draw();
  if (STILL.matches) setTimeout(keepDrawing, 500);
  else requestAnimationFrame(keepDrawing);
}

// The page's own message goes the way that everybody's goes: its indicator ends because it was reported.
async function send(event) {
  event.preventDefault();
  const body = JSON.stringify({ number: $("to").value, message: $("text").value });
  const answer = await fetch(`api/message/text/${encodeURIComponent(instance)}`, { method: "POST", body }).catch(() => null);
  $("refusal").hidden = answer?.ok ?? false;
  if (answer?.ok) $("text").value = "";
  else $("refusal").textContent = "The sandbox did not take it: is that a number?";
}

async function copyHint() {
  await navigator.clipboard.writeText($("hint").textContent);
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy the command"), 2000);
}

$("copy").hidden = !navigator.clipboard; // browsers offer it to https and localhost only
$("copy").addEventListener("click", copyHint);
$("compose").addEventListener("submit", send);
listen();
keepDrawing();
