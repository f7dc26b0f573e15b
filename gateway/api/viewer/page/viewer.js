// The API reference: Swagger UI on the description beside this page, in the reader's light or dark.
//
// `presence-gateway dev` links here with its demo's token and instance in the address's fragment, which no server is
// sent. They are taken on this machine alone: elsewhere a link could make somebody work with a token of the sender's.

const HERE = ["127.0.0.1", "localhost", "[::1]"];
const FIRST = "#/Presence/sendPresence";
const UNNAMED = { ".examples-select-element": "Example", ".body-param__text": "Body" };

const reference = document.getElementById("reference");

function recolour({ matches }) {
  document.documentElement.classList.toggle("dark-mode", matches);
}

function takeFragment() {
  const brought = new URLSearchParams(location.hash.slice(1));
  if (!brought.has("token")) return new URLSearchParams();
  history.replaceState(null, "", FIRST);
  return HERE.includes(location.hostname) ? brought : new URLSearchParams();
}

function suggest(described, instance) {
  for (const path of Object.values(described.paths)) {
    for (const parameter of path.parameters) {
      if (instance && parameter.name === "instance") parameter.example = instance;
    }
  }
}

// What stands there when nothing moves any more: the operation that the address names, opened, or all of them, closed.
function lastToCome(described) {
  const operations = Object.values(described.paths).flatMap(Object.values);
  const named = operations.find(({ operationId }) => operationId && location.hash.endsWith(`/${operationId}`));
  if (!named) return ".opblock";
  return `.opblock.is-open ${named.requestBody ? ".body-param__text" : ".execute"}`;
}

// For keyboards and screen readers: no link within the button that opens an operation, names for what has none, and
// what scrolls can be scrolled.
const plainly = ({ React: { createElement } }) => ({
  components: { DeepLink: ({ text }) => createElement("span", null, text) },
});

function name() {
  for (const [selector, label] of Object.entries(UNNAMED)) {
    for (const element of reference.querySelectorAll(`${selector}:not([aria-label])`)) element.ariaLabel = label;
  }
  for (const code of reference.querySelectorAll("pre:not([tabindex])")) code.tabIndex = 0;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", recolour);
recolour(dark);

const brought = takeFragment();
const described = await (await fetch("openapi.json")).json();
suggest(described, brought.get("instance"));
document.title = described.info.title;

const last = lastToCome(described);
new MutationObserver(() => {
  name();
  if (reference.querySelector(last)) reference.classList.add("ready");
}).observe(reference, { childList: true, subtree: true });

const ui = SwaggerUIBundle({
  spec: described,
  domNode: reference,
  deepLinking: true,
  plugins: [plainly],
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  onComplete: () => brought.has("token") && ui.preauthorizeApiKey("token", brought.get("token")),
});
