// The side views: gallery, queue, credits, settings.

import { fill, h, icon, keepFocus, toast } from "./dom.js";
import { actionButton } from "./card.js";
import { schemaForm, stepOf } from "./form.js";
import { get, post } from "./net.js";
import { ago, credits, language, number, say, spans } from "./words.js";
import { hide, show as view } from "./viewer.js";

/** An empty state: a sign, a sentence, and a way on. */
function nothing(sign, title, text, draw) {
  return h("div.nothing", {}, h("div.nothing-sign", {}, icon(sign)), h("h2", { text: title }), h("p", { text }), draw ? h("a.act.main", { href: "#chat" }, h("span", { text: say("gallery.draw") })) : null);
}

const page = (name, ...children) => h("div.page", {}, h("h1", { text: say(`${name}.title`) }), ...children);
const failed = (error) => h("p.problem", { role: "alert", text: say(`error.${error.code ?? "other"}`) });

// -- gallery ---------------------------------------------------------------------------------------------

export function gallery({ press }) {
  let starred = false;
  const wall = h("div.wall");
  const foot = h("div.foot");
  const tabs = h("div.tabs", { role: "group" });
  const pieces = [];

  const extra = (piece) =>
    piece.buttons.flat().filter((button) => button.kind !== "original").map((button) => actionButton(button, { act: { press: (pressed) => (hide(), press(pressed, { message: { reply: { prompt: piece.prompt } } })) }, message: { reply: { prompt: piece.prompt } }, parts: {} }));

  function tile(piece) {
    const open = h("button.piece", { type: "button", title: piece.prompt, onclick: () => view(pieces, pieces.indexOf(piece), { extra }) }, h("img", { src: piece.small, alt: piece.prompt, loading: "lazy", width: piece.width, height: piece.height }), piece.starred ? h("span.starred", { "aria-hidden": "true" }, icon("star")) : null, piece.private ? h("span.kept-private", { title: say("gallery.private") }, icon("lock")) : null, h("span.piece-words", { "aria-hidden": "true" }, h("bdi", { text: piece.prompt })));
    return open;
  }

  async function load(before = null) {
    try {
      const answer = await get(`/api/gallery?starred=${starred ? 1 : 0}${before ? `&before=${before}` : ""}`);
      if (!before) pieces.length = 0;
      const known = pieces.length;
      pieces.push(...answer.pieces);
      wall.replaceChildren(...pieces.map(tile));
      const more = answer.more ? h("button.act", { type: "button", onclick: () => load(answer.more) }, h("span", { text: say("gallery.more") })) : null;
      const none = starred ? nothing("star", say("gallery.empty_starred"), say("gallery.empty_starred_text")) : nothing("gallery", say("gallery.empty"), say("gallery.empty_text"), true);
      foot.replaceChildren(...[pieces.length ? more : none].filter(Boolean));
      if (before) wall.children[known]?.focus({ preventScroll: true });
    } catch (error) {
      foot.replaceChildren(failed(error));
    }
  }

  const choose = (only) => {
    starred = only;
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String((tab.dataset.only === "1") === only));
    load();
  };
  tabs.append(...[false, true].map((only) => h("button.tab", { type: "button", "data-only": only ? 1 : 0, onclick: () => choose(only) }, only ? icon("star") : null, h("span", { text: say(only ? "gallery.starred" : "gallery.all") }))));
  choose(false);
  return { node: page("gallery", tabs, wall, foot), refresh: () => load() };
}

// -- queue -----------------------------------------------------------------------------------------------

export function queue({ press }) {
  const box = h("div.jobs");
  async function load() {
    try {
      const { jobs } = await get("/api/queue");
      const shown = [jobs.map((one) => ({ ...one, low: Math.round(one.low), high: Math.round(one.high), created: ago(one.created) })), language];
      keepFocus(box, () => fill(box, shown, () => (jobs.length ? jobs.map(job) : nothing("queue", say("queue.empty"), say("queue.empty_text"), true))));
    } catch (error) {
      fill(box, [error.code, Math.random()], () => failed(error));
    }
  }
  function job(one) {
    const place = one.running ? say("queue.running") : one.ahead ? say("queue.ahead", { n: one.ahead }) : say("queue.next");
    const eta = one.high ? spans(one.low, one.high) : "";
    const act = { act: { press: (button) => (press(button, { message: { reply: { prompt: one.prompt } } }), setTimeout(load, 600)) }, message: {}, parts: {} };
    return h(`article.job${one.running ? ".running" : ""}`, { "aria-label": `#${one.job}: ${one.prompt}`.slice(0, 120) }, h("div.job-place", { text: one.running ? "" : number(one.ahead + 1), "aria-hidden": "true" }, one.running ? h("i.spin") : null), h("div.job-words", {}, h("p", { dir: "auto" }, h("bdi", { text: one.prompt })), h("small", { text: [place, eta, ago(one.created)].filter(Boolean).join(" · ") })), h("div.row", {}, ...one.buttons.flat().map((button) => actionButton(button, act))));
  }
  load();
  const timer = setInterval(load, 4000);
  return { node: page("queue", box), refresh: load, stop: () => clearInterval(timer) };
}

// -- credits ---------------------------------------------------------------------------------------------

export function quota() {
  const box = h("div.quota");
  async function load() {
    try {
      box.replaceChildren(...draw(await get("/api/quota")));
    } catch (error) {
      box.replaceChildren(failed(error));
    }
  }
  load();
  return { node: page("quota", box), refresh: load };
}

function draw(mine) {
  const part = mine.daily ? Math.max(0, Math.min(1, mine.balance / mine.daily)) : 1;
  const meter = h("div.meter", { role: "meter", "aria-valuemin": 0, "aria-valuemax": mine.daily / 1000, "aria-valuenow": Math.max(0, mine.balance / 1000), "aria-label": say("quota.title") }, h("i"));
  meter.firstChild.style.transform = `scaleX(${part})`;
  const purse = mine.unlimited
    ? [h("p.big", { text: "∞" }), h("p.purse-words", { text: say("quota.unlimited") }), h("small", { text: say("quota.unlimited_text") })]
    : [h("p.big", { text: credits(mine.balance) }), h("p.purse-words", { text: say("quota.left", { n: mine.balance / 1000, daily: mine.daily / 1000 }) }), meter, h("small", { text: say("quota.refills", { time: ago(mine.refills) }) })];
  const rows = mine.entries.map((entry) =>
    h("li.entry", {}, h("span.entry-why", { text: say(`quota.why.${entry.why}`) }), h("bdi.entry-words", { text: entry.prompt }), h("span.entry-at", { text: ago(entry.at) }), h(`b.entry-units${entry.units > 0 ? ".plus" : ""}`, { text: `${entry.units > 0 ? "+" : entry.units < 0 ? "−" : ""}${credits(Math.abs(entry.units))}` })),
  );
  return [h("section.purse", {}, ...purse), h("p.explain", { text: say("quota.explain") }), h("h2", { text: say("quota.entries") }), rows.length ? h("ul.entries", {}, ...rows) : h("p.none", { text: say("quota.empty") })];
}

// -- settings --------------------------------------------------------------------------------------------

export function settings({ about, look, setLook, speak, leave }) {
  const radios = (name, options, chosen, choose) => {
    const buttons = options.map(([value, words, sign]) => h("button.choice", { type: "button", role: "radio", "aria-checked": String(value === chosen), tabIndex: value === chosen ? 0 : -1, lang: name === "language" ? value : undefined, onclick: () => choose(value) }, sign ? icon(sign) : null, words));
    const move = (event) => {
      const step = stepOf(event);
      if (!step) return;
      event.preventDefault();
      const next = (buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length;
      buttons[next].focus();
      choose(options[next][0]);
    };
    return h(`div.choices.choose-${name}`, { role: "radiogroup", "aria-labelledby": `choose-${name}`, onkeydown: move }, ...buttons);
  };
  const form = schemaForm(about.settings, { initial: about.defaults ?? {}, only: ["model", "style", "ar", "n", "steps", "cfg", "sampler", "no"], extras: { shapes: about.shapes } });
  async function save(event) {
    event.preventDefault();
    const now = form.values();
    try {
      await post("/api/settings", { fields: now });
      toast(say("settings.saved"), "good");
      about.defaults = now;
    } catch (error) {
      toast(error.text || say(`error.${error.code ?? "other"}`), "refused");
    }
  }
  const usual = Object.keys(about.settings?.properties ?? {}).length
    ? h("form.panel", { onsubmit: save }, h("h2", { text: say("settings.usual") }), h("p", { text: say("settings.usual_text") }), form.node, h("button.act.main", { type: "submit" }, h("span", { text: say("settings.save") })))
    : null;
  return {
    node: page(
      "settings",
      h("section.panel", {}, h("h2", { id: "choose-language", text: say("settings.language") }), radios("language", [["en", "English"], ["es", "Español"]], language, speak)),
      h("section.panel", {}, h("h2", { id: "choose-look", text: say("settings.look") }), radios("look", [["auto", say("settings.auto")], ["light", say("settings.light"), "light"], ["dark", say("settings.dark"), "dark"]], look, setLook)),
      usual,
      h("section.panel.leave", {}, h("div", {}, h("h2", { text: say("settings.leave") }), h("p", { text: say("settings.leave_text") })), h("button.act", { type: "button", onclick: leave }, icon("leave"), h("span", { text: say("settings.leave") }))),
    ),
    refresh: () => {},
  };
}
