// Two dialogs: one asks before something is done, one shows a secret once. The browser keeps the focus inside and gives
// it back to whatever opened the dialog.

import { $, announce, focusHeading, make } from "./dom.js";
import { change } from "./live.js";

const COPIED = "Copied.";
const COPY_YOURSELF = "This browser does not let the page copy: the token is selected, copy it yourself.";

// Asks with `fields`, then does `run(values)` and says what was done. Resolves to what `run` resolved to, or to null if
// nothing was done. A refusal is shown and the dialog stays, so that nothing typed is lost.
export function ask({ title, text = "", fields = [], action, danger = false, run, done }) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-refused").textContent = "";
  $("ask-fields").replaceChildren(...fields.map(fieldRow));
  $("ask-do").textContent = action;
  $("ask-do").className = danger ? "danger" : "primary";
  showDependents();
  dialog.showModal();
  dialog.querySelector(".fields :is(input, select):enabled, #ask-cancel").focus();
  return new Promise((resolve) => {
    let result = null;
    let busy = false;
    $("ask-form").onsubmit = async (event) => {
      event.preventDefault();
      if (busy) return;
      busy = true;
      $("ask-refused").textContent = "";
      $("ask-do").setAttribute("aria-disabled", "true");
      try {
        const values = Object.fromEntries(new FormData($("ask-form")));
        result = await change(() => run(values));
        dialog.close();
        announce(done);
      } catch (error) {
        $("ask-refused").textContent = error.message;
      } finally {
        busy = false;
        $("ask-do").removeAttribute("aria-disabled");
      }
    };
    // Once something is under way its answer is awaited: it may hold a secret that is shown this once.
    dialog.oncancel = (event) => {
      if (busy) event.preventDefault();
    };
    $("ask-cancel").onclick = () => {
      if (!busy) dialog.close();
    };
    dialog.onclose = () => {
      $("ask-fields").replaceChildren(); // what was typed may be a credential
      returnFocus();
      resolve(result);
    };
  });
}

// `{name, label, hint?, value?, options?, mustBe?, shownWith?}`; everything else is an attribute of the input.
function fieldRow({ name, label, hint = "", value = "", options, mustBe, shownWith, ...attributes }) {
  const id = `ask-${name}`;
  const input = make(options ? "select" : "input", "", ...(options ?? []).map(choice));
  Object.assign(input, { id, name, autocomplete: "off", spellcheck: false, ...attributes });
  input.setAttribute("autocapitalize", "none");
  input.value = value;
  if (mustBe !== undefined) demand(input, mustBe);
  const caption = make("label", "", label);
  caption.htmlFor = id;
  const row = make("div", "field", caption, input);
  if (shownWith) row.dataset.shownWith = shownWith;
  if (hint) describe(input, row, hint);
  if (options) input.addEventListener("change", showDependents);
  return row;
}

// What accounts and instances may be called.
export const nameField = () => ({
  name: "name",
  label: "Name",
  hint: "Letters, digits, “_”, “.” and “-”.",
  pattern: "[A-Za-z0-9_.\\-]{1,100}",
  required: true,
});

function choice([value, text]) {
  const option = make("option", "", text);
  option.value = value;
  return option;
}

function describe(input, row, text) {
  const hint = make("p", "hint", text);
  hint.id = `${input.id}-hint`;
  input.setAttribute("aria-describedby", hint.id);
  row.append(hint);
}

function demand(input, text) {
  const check = () => input.setCustomValidity(input.value === text ? "" : `Type “${text}” to go on.`);
  input.addEventListener("input", check);
  check();
}

// Fields that belong to a choice show, and count, only while it is made.
function showDependents() {
  for (const row of $("ask-fields").querySelectorAll("[data-shown-with]")) {
    row.hidden = !$(`ask-${row.dataset.shownWith}`).value;
    row.querySelector("input").disabled = row.hidden;
  }
}

// Show a secret until it is dismissed; afterwards the page holds it nowhere.
export function showSecret(title, secret) {
  const dialog = $("secret");
  $("secret-title").textContent = title;
  $("secret-value").value = secret;
  $("secret-copied").textContent = "";
  dialog.showModal();
  $("secret-copy").focus();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      $("secret-value").value = "";
      returnFocus();
      resolve();
    };
  });
}

// What opened the dialog may be gone by now, deleted for instance.
function returnFocus() {
  if (document.activeElement === document.body) focusHeading($("view"));
}

async function copySecret() {
  try {
    await navigator.clipboard.writeText($("secret-value").value); // offered to https and localhost only
    $("secret-copied").textContent = COPIED;
  } catch {
    $("secret-value").select();
    $("secret-copied").textContent = document.execCommand("copy") ? COPIED : COPY_YOURSELF;
  }
}

$("secret-copy").addEventListener("click", copySecret);
$("secret-done").addEventListener("click", () => $("secret").close());
$("secret-value").addEventListener("focus", () => $("secret-value").select());
