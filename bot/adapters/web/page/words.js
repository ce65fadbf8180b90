// The page's sentences in the person's language, numbers and times.

let texts = {};
let plurals = new Intl.PluralRules("en");
export let language = "en";

/** Load the sentences; `wanted` empty means what the browser prefers. False: this browser never signed in. */
export async function load(wanted) {
  const answer = await fetch(`/api/texts?language=${encodeURIComponent(wanted ?? "")}`);
  const said = await answer.json();
  ({ texts, language } = said);
  plurals = new Intl.PluralRules(language);
  document.documentElement.lang = language;
  return said.known;
}

/** More sentences, by dotted keys, under `root`; the next `load` takes them away again. */
export function extend(root, more) {
  for (const [key, text] of Object.entries(more)) {
    const parts = [root, ...key.split(".")];
    const last = parts.pop();
    parts.reduce((table, part) => (table[part] ??= {}), texts)[last] = text;
  }
}

/** say("queue.ahead", {n: 3}); a missing key shows itself. */
export function say(key, values = {}) {
  let found = key.split(".").reduce((table, part) => table?.[part], texts);
  if (found && typeof found === "object") found = found[plurals.select(values.n ?? 0)] ?? found.other;
  if (typeof found !== "string") return key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? shown(values[name]) : whole));
}

/** Whether there is such a sentence. */
export const knows = (key) => key.split(".").reduce((table, part) => table?.[part], texts) !== undefined;

const shown = (value) => (typeof value === "number" ? number(value) : String(value));

/** As the language writes it, with the decimals that a chat shows. */
export const number = (value, digits = 2) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

/** Ledger units as credits. */
export const credits = (units) => number(units / 1000);

/** A file's size, "2.4 MB". */
export function bytes(size) {
  const [unit, scale] = size < 1e6 ? ["kilobyte", 1e3] : ["megabyte", 1e6];
  return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: 1 }).format(size / scale);
}

/** A length of time, roughly: people do not need the milliseconds. */
export function span(seconds) {
  if (seconds < 90) return say("time.seconds", { n: Math.max(1, Math.round(seconds)) });
  return say("time.minutes", { n: Math.round(seconds / 60) });
}

/** A range of times, "8–14 s". */
export function spans(low, high) {
  const unit = high < 90 ? "second" : "minute";
  const size = unit === "second" ? 1 : 60;
  const format = new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 });
  return format.formatRange(Math.max(1, Math.round(low / size)), Math.max(1, Math.round(high / size)));
}

/** "in 3 hours", "20 minutes ago". */
export function ago(at, now = Date.now() / 1000) {
  const seconds = at - now;
  if (Math.abs(seconds) < 45) return say("time.now");
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(Math.round(seconds), "second");
}
