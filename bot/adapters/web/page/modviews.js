// The moderators' views. Each is a function of what it needs and gives {node, refresh, stop}.

import { fill, h, icon, keepFocus } from "./dom.js";
import { columns } from "./plots.js";
import { ago, credits, knows, language, number, span, spans } from "./words.js";

const FRESH = 5000; // ms between two looks at what moves by itself

// -- pieces ----------------------------------------------------------------------------------------------

const page = (head, ...children) => h("div.page.wide", {}, h("h1", { text: head }), ...children);

function nothing(sign, head, text) {
  return h("div.nothing", {}, h("div.nothing-sign", {}, icon(sign)), h("h2", { text: head }), h("p", { text }));
}

const button = (sign, words, onclick, kind = "") => h(`button.act${kind}`, { type: "button", onclick }, sign ? icon(sign) : null, h("span", { text: words }));

const tile = (value, words) => h("div.stat", {}, h("b", { text: value }), h("span", { text: words }));

const when = (at) => h("time", { datetime: new Date(at * 1000).toISOString(), title: new Date(at * 1000).toLocaleString(language), text: ago(at) });

/** A length of time in as few letters as it has. */
function brief(seconds) {
  const [unit, size] = seconds < 90 ? ["second", 1] : seconds < 5400 ? ["minute", 60] : ["hour", 3600];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 }).format(seconds / size);
}

const person = (who) => h("bdi.who", { text: who });

/** Rows with a bar each: what it is, how large, in words. */
function bars(rows, most) {
  return h("ul.bars", {}, ...rows.map((row) => {
    const bar = h("i", { "aria-hidden": "true" });
    bar.style.width = `${Math.max(0.5, (100 * row.value) / (most || 1))}%`;
    return h("li", {}, h("div.bars-words", {}, person(row.name), h("small", { text: row.text })), h("div.bars-bar", {}, bar));
  }));
}

/** A table that scrolls sideways by itself on a narrow screen. */
function grid(label, heads, rows) {
  return h("div.scroll", { role: "region", "aria-label": label, tabIndex: 0 }, h("table.grid-table", {}, h("caption.unseen", { text: label }), h("thead", {}, h("tr", {}, ...heads.map(([text, kind]) => h("th", { scope: "col", class: kind, text })))), h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell, at) => h("td", { class: heads[at][1], "data-head": heads[at][0] }, cell)))))));
}

/** A grid whose rows are folded on a narrow screen (mod.css): still a table to who listens. */
function foldable(box) {
  const roles = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };
  for (const [name, role] of Object.entries(roles)) for (const each of box.querySelectorAll(name)) each.setAttribute("role", role);
  box.classList.add("foldable");
  return box;
}

const taken = ({ t, link }, name, more = {}) =>
  h("div.taken", {}, h("span", { text: t("export") }), ...["csv", "json"].map((form) => h("a.act", { href: link(`export/${name}.${form}`, more), download: `falopitas-${name}.${form}` }, icon("download"), h("span", { text: t(form) }))));

/** A view that loads itself into a box, says what went wrong, and may look again now and then. */
function living(host, head, name, { draw, query = () => ({}), above = [], every = 0, key = (data) => data }) {
  const box = h("div.stack", { "aria-busy": "true" }, h("p.dim", { text: host.t("loading") }));
  let timer = 0;
  let stopped = false;
  async function refresh() {
    clearTimeout(timer);
    try {
      const data = await host.look(name, query());
      if (stopped) return;
      keepFocus(box, () => fill(box, [key(data), language], () => draw(data, refresh)));
    } catch (error) {
      if (stopped) return;
      fill(box, ["problem", error.code, Math.random()], () => h("div.stack", {}, h("p.problem", { role: "alert", text: host.problem(error) }), button("again", host.t("retry"), refresh)));
    }
    box.removeAttribute("aria-busy");
    if (every && !stopped) timer = setTimeout(refresh, every);
  }
  refresh();
  return { node: page(head, ...above, box), refresh, stop: () => ((stopped = true), clearTimeout(timer)) };
}

// -- queue -----------------------------------------------------------------------------------------------

function queue(host) {
  const { t, act, ask } = host;
  const stop = async (job) => {
    const sure = await ask({ title: t("queue.stop_sure", { job: String(job.id), who: job.who }), yes: t("queue.stop"), danger: true, reason: false });
    if (sure !== null) act("mod cancel", { job: job.id });
  };
  const one = (job) => {
    const place = job.ahead === null ? "" : job.ahead ? t("queue.ahead", { n: job.ahead }) : t("queue.next");
    const facts = [t(`queue.state_${job.state}`), t("queue.since", { time: span(job.waited) }), place, job.high ? spans(job.low, job.high) : "", t("queue.pictures", { n: job.count }), job.model];
    return h(`article.job${job.state === "running" ? ".running" : ""}${job.state === "held" ? ".is-held" : ""}`, { "aria-label": `#${job.id}` },
      h("div.job-place", { "aria-hidden": "true" }, job.state === "running" ? h("i.spin") : job.state === "held" ? icon("pause") : number(job.ahead + 1)),
      h("div.job-words", {}, h("p", { dir: "auto" }, job.prompt === null ? h("i", { text: t("private") }) : h("bdi", { text: job.prompt })), h("small", {}, `#${job.id} · `, person(job.who), ` · ${facts.filter(Boolean).join(" · ")}`)),
      h("div.row", {},
        job.state === "queued" ? button("pause", t("queue.hold"), () => act("mod hold", { job: job.id })) : null,
        job.state === "held" ? button("play", t("queue.release"), () => act("mod release", { job: job.id })) : null,
        button("close", t("queue.stop"), () => stop(job), ".danger")));
  };
  const draw = (data) => {
    const running = data.jobs.filter((job) => job.state === "running").length;
    const most = Math.max(...data.people.map((each) => each.seconds), 0);
    const fair = data.people.map((each) => ({ name: each.who, value: each.seconds, text: t("queue.fair_line", { share: number(each.share * 100, 0), time: span(each.seconds), waited: span(each.waited) }) }));
    return [
      h("div.stats", {}, tile(number(running), t("queue.running")), tile(number(data.waiting), t("queue.waiting")), tile(data.waiting ? brief(data.longest) : "–", t("queue.longest"))),
      data.jobs.length ? h("div.jobs", {}, ...data.jobs.map(one)) : nothing("queue", t("queue.empty"), t("queue.empty_text")),
      h("section.panel", {}, h("h2", { text: t("queue.fair") }), h("p", { text: t("queue.fair_text") }), fair.length ? bars(fair, most) : h("p.dim", { text: t("queue.fair_none") })),
    ];
  };
  const key = (data) => ({ ...data, longest: Math.round(data.longest), jobs: data.jobs.map((job) => ({ ...job, waited: Math.round(job.waited / 5), low: Math.round(job.low), high: Math.round(job.high) })) });
  return living(host, t("queue.title"), "queue", { draw, every: FRESH, key });
}

// -- use -------------------------------------------------------------------------------------------------

function usage(host) {
  const { t } = host;
  let days = 30;
  const tabs = h("div.tabs", { role: "group", "aria-label": t("usage.range") });
  const draw = (data) => {
    const { totals } = data;
    if (!totals.jobs) return nothing("chart", t("usage.none"), t("usage.none_text"));
    const short = (day) => new Date(`${day}T00:00:00Z`).toLocaleDateString(language, { day: "numeric", month: "short", timeZone: "UTC" });
    const best = data.days.reduce((a, b) => (b.pictures > a.pictures ? b : a));
    const label = t("usage.chart", { total: totals.pictures, first: short(data.days[0].day), last: short(data.days.at(-1).day), most: best.pictures, day: short(best.day) });
    const width = Math.max(300, Math.min(880, document.querySelector(".view")?.clientWidth - 110 || 640));
    const every = Math.max(1, Math.ceil(data.days.length / (width / 64)));
    const plot = columns(data.days.map((each) => ({ value: each.pictures, label: short(each.day), title: `${short(each.day)}: ${number(each.pictures)}` })), { label, format: (value) => number(value, 0), width, every });
    const heads = [[t("usage.day")], [t("usage.pictures", { n: 2 }), "num"], [t("usage.jobs", { n: 2 }), "num"], [t("usage.people", { n: 2 }), "num"], [t("usage.credits", { n: 2 }), "num"], [t("usage.failed"), "num"]];
    const rows = data.days.filter((each) => each.jobs).reverse().map((each) => [each.day, number(each.pictures), number(each.jobs), number(each.people), credits(each.units), number(each.failed)]);
    const line = (each) => t("usage.line", { n: each.pictures, credits: credits(each.units) });
    return [
      h("div.stats", {}, ...["pictures", "people", "jobs"].map((name) => tile(number(totals[name]), t(`usage.${name}`, { n: totals[name] }))), tile(credits(totals.units), t("usage.credits", { n: totals.units / 1000 })), tile(number(totals.failed), t("usage.failed"))),
      h("section.panel", {}, h("h2", { text: t("usage.by_day") }), plot, h("details.more", {}, h("summary", { text: t("table") }), grid(t("usage.by_day"), heads, rows))),
      data.people.length ? h("section.panel", {}, h("h2", { text: t("usage.by_person") }), bars(data.people.map((each) => ({ name: each.who, value: each.units || each.pictures, text: line(each) })), Math.max(...data.people.map((each) => each.units || each.pictures)))) : null,
      data.communities.length ? h("section.panel", {}, h("h2", { text: t("usage.by_community") }), bars(data.communities.map((each) => ({ name: each.id ? each.title || each.id : t("house"), value: each.units || each.pictures, text: line(each) })), Math.max(...data.communities.map((each) => each.units || each.pictures)))) : null,
      taken(host, "usage", { days }),
    ].filter(Boolean);
  };
  const view = living(host, t("usage.title"), "usage", { draw, query: () => ({ days }), above: [tabs] });
  const choose = (count) => {
    days = count;
    tabs.replaceChildren(...[7, 30, 90].map((each) => h("button.tab", { type: "button", "aria-pressed": String(each === days), onclick: () => choose(each) }, h("span", { text: t("usage.days", { n: each }) }))));
    view.refresh();
  };
  tabs.append(...[7, 30, 90].map((each) => h("button.tab", { type: "button", "aria-pressed": String(each === days), onclick: () => choose(each) }, h("span", { text: t("usage.days", { n: each }) }))));
  return view;
}

// -- ledger ----------------------------------------------------------------------------------------------

function ledger(host) {
  const { t } = host;
  const found = [];
  let wanted = {};
  const input = (name, props = {}) => h("input", { id: `find-${name}`, name, type: "text", autocomplete: "off", ...props });
  const whys = h("select", { id: "find-why", name: "why" }, h("option", { value: "", text: t("ledger.any") }));
  const field = (name, box, hint) => h("div.field", {}, h("label", { for: `find-${name}`, text: t(`ledger.${name}`) }), box, hint ? h("small", { id: `hint-${name}`, text: hint }) : null);
  const form = h("form.panel.finder", { onsubmit: (event) => (event.preventDefault(), search()), onreset: () => setTimeout(search), role: "search" },
    h("div.fields", {}, field("who", input("who", { dir: "auto", maxlength: 300, "aria-describedby": "hint-who" }), t("ledger.who_hint")), field("job", input("job", { inputmode: "numeric", maxlength: 17 })), field("why", whys), field("since", input("since", { type: "date" })), field("until", input("until", { type: "date" }))),
    h("div.row", {}, h("button.act.main", { type: "submit" }, h("span", { text: t("ledger.search") })), h("button.act", { type: "reset" }, h("span", { text: t("ledger.clear") }))));
  const search = () => {
    wanted = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    found.length = 0;
    view.refresh();
  };
  const draw = (data) => {
    if (whys.children.length === 1) whys.append(...data.whys.map(([value, text]) => h("option", { value, text })));
    if (!wanted.before) found.length = 0;
    found.push(...data.entries);
    if (data.nobody) return nothing("search", t("ledger.empty"), t("ledger.nobody"));
    if (!found.length) return nothing("book", t("ledger.empty"), t("ledger.empty_text"));
    const heads = [[t("ledger.at")], [t("ledger.units"), "num"], [t("ledger.who")], [t("ledger.why")], [t("ledger.job"), "num"], [t("ledger.note")]];
    const sign = (units) => h(`b${units > 0 ? ".plus" : ""}`, { text: `${units > 0 ? "+" : units < 0 ? "−" : ""}${credits(Math.abs(units))}` });
    const rows = found.map((each) => [when(each.at), sign(each.units), person(each.who), each.why, each.job ? `#${each.job}` : "", h("bdi", { text: each.note })]);
    const { before: _, ...plain } = wanted;
    const more = data.more ? button("", t("older"), () => ((wanted = { ...wanted, before: data.more }), view.refresh())) : null;
    return [foldable(grid(t("ledger.title"), heads, rows)), more ? h("div.foot", {}, more) : null, taken(host, "ledger", plain)].filter(Boolean);
  };
  const view = living(host, t("ledger.title"), "ledger", { draw, query: () => wanted, above: [h("p.explain", { text: t("ledger.text") }), form], key: (data) => [data, wanted] });
  return view;
}

// -- pictures --------------------------------------------------------------------------------------------

function faces(host, job, covered) {
  const strip = h(`div.faces${job.pictures.length === 1 ? ".one" : ""}`, {}, ...job.pictures.map((each) => h("img", { src: host.link(`small/${each.digest}`), alt: covered ? "" : job.prompt, loading: "lazy", width: each.width, height: each.height })));
  if (!covered) return strip;
  strip.classList.add("covered");
  const open = button("eye", host.t("gallery.uncover"), () => (strip.classList.remove("covered"), open.remove()));
  strip.append(open);
  return strip;
}

function gallery(host) {
  const { t, act, ask } = host;
  let hidden = false;
  let before = "";
  const found = [];
  const tabs = h("div.tabs", { role: "group" });
  async function decide(job, way, danger = false) {
    const name = way === "spoiler" ? "cover" : way;
    const reason = await ask({ title: t(`gallery.${name}_title`, { job: String(job.id) }), text: t(`gallery.${name}_text`), yes: t(`gallery.${name}`), danger });
    if (reason !== null) act("mod picture", { job: job.id, way, ...(reason ? { reason } : {}) });
  }
  const card = (job) =>
    h("article.review", { "aria-label": `#${job.id}` },
      faces(host, job, job.shown !== ""),
      h("div.review-words", {}, h("p", { dir: "auto" }, h("bdi", { text: job.prompt })), h("small", {}, `#${job.id} · `, person(job.who), " · ", when(job.at)), job.shown ? h("b.mark", { text: t(`gallery.is_${job.shown}`) }) : null),
      h("div.row", {},
        job.shown ? button("eye", t("gallery.show"), () => act("mod picture", { job: job.id, way: "show" })) : null,
        job.shown === "spoiler" ? null : button("cover", t("gallery.cover"), () => decide(job, "spoiler")),
        job.shown === "withheld" ? null : button("pause", t("gallery.hold"), () => decide(job, "hold")),
        button("trash", t("gallery.delete"), () => decide(job, "delete", true), ".danger")));
  const draw = (data) => {
    if (!before) found.length = 0;
    found.push(...data.jobs);
    if (!found.length) return hidden ? nothing("eye", t("gallery.empty_hidden"), t("gallery.empty_hidden_text")) : nothing("gallery", t("gallery.empty"), t("gallery.empty_text"));
    const more = data.more ? button("", t("older"), () => ((before = data.more), view.refresh())) : null;
    return [h("div.reviews", {}, ...found.map(card)), more ? h("div.foot", {}, more) : null].filter(Boolean);
  };
  const view = living(host, t("gallery.title"), "gallery", { draw, query: () => ({ shown: hidden ? "hidden" : "all", before }), above: [h("p.explain", { text: t("gallery.text") }), tabs], key: (data) => [data, before, hidden] });
  const again = view.refresh;
  const first = () => ((before = ""), again());
  const choose = (only) => {
    hidden = only;
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String((tab.dataset.only === "1") === only));
    first();
  };
  tabs.append(...[false, true].map((only) => h("button.tab", { type: "button", "data-only": only ? 1 : 0, "aria-pressed": String(only === hidden), onclick: () => choose(only) }, h("span", { text: t(only ? "gallery.hidden" : "gallery.all") }))));
  return { ...view, refresh: first };
}

// -- reports and appeals ---------------------------------------------------------------------------------

function cases(host) {
  const { t, act, ask } = host;
  const decide = async (each, way) => {
    const sure = way !== "remove" || (await ask({ title: t("gallery.delete_title", { job: String(each.job) }), text: t("gallery.delete_text"), yes: t("gallery.delete"), danger: true, reason: false })) !== null;
    if (sure) act("decide", { matter: each.id, way });
  };
  const kinds = { block: "mod unblock", freeze: "mod quota unfreeze" };
  const field = { block: "person", freeze: "subject" };
  const one = (each) =>
    h("article.review.case", { "aria-label": `${each.kind === "report" ? t("cases.report", { job: String(each.job) }) : t("cases.appeal")}: ${each.prompt}`.slice(0, 160) },
      each.pictures.length ? faces(host, each, true) : null,
      h("div.review-words", {},
        h("h2", { text: each.kind === "report" ? t("cases.report", { job: String(each.job) }) : t("cases.appeal") }),
        h("blockquote.quote", { dir: "auto" }, h("bdi", { text: each.prompt })),
        each.kind === "refusal" ? h("p.dim", { dir: "auto", text: t("cases.found", { rule: knows(`review.cases.rule_${each.rule}`) ? t(`cases.rule_${each.rule}`) : each.rule, matched: each.matched }) }) : null,
        h("small", {}, t("cases.of", { who: each.who }), " · ", when(each.at))),
      h("div.row", {}, ...each.ways.map(([way, label], at) => button("", label, () => decide(each, way), way === "remove" ? ".danger" : at === 0 ? ".main" : ""))));
  const barred = (each) =>
    h("li.entry.barred", {}, h("span.entry-why", { text: t(`cases.kind_${each.kind}`) }), h("span.entry-words", {}, person(each.who), each.reason ? h("bdi", { text: ` · ${each.reason}` }) : null), h("span.entry-at", { text: each.until ? t("cases.until", { time: ago(each.until) }) : t("cases.open") }), each.kind in kinds && each.whos ? button("", t("cases.end"), () => act(kinds[each.kind], { [field[each.kind]]: each.whos })) : h("span"));
  const draw = (data) => [
    data.cases.length ? h("div.reviews", {}, ...data.cases.map(one)) : nothing("check", t("cases.empty"), t("cases.empty_text")),
    h("section.stack", {}, h("h2", { text: t("cases.sanctions") }), data.sanctions.length ? h("ul.entries", {}, ...data.sanctions.map(barred)) : h("p.dim", { text: t("cases.no_sanctions") })),
  ];
  return living(host, t("cases.title"), "cases", { draw, every: 4 * FRESH });
}

// -- rules -----------------------------------------------------------------------------------------------

function rules(host) {
  const { t, act } = host;
  const kind = h("select", { id: "rule-kind" }, ...["word", "pattern", "allow"].map((value) => h("option", { value, text: t(`rules.${value}`) })));
  const text = h("input", { id: "rule-text", type: "text", required: true, maxlength: 200, dir: "auto", autocomplete: "off", spellcheck: "false", "aria-describedby": "rule-hint" });
  const add = async (event) => {
    event.preventDefault();
    if (await act("mod rules add", { kind: kind.value, text: text.value })) text.value = "";
  };
  const prompt = h("textarea", { id: "rule-prompt", rows: 2, required: true, maxlength: 4000, dir: "auto", "aria-describedby": "test-hint" });
  const verdict = h("p.verdict", { role: "status", hidden: true, dir: "auto" });
  const test = async (event) => {
    event.preventDefault();
    const reply = await host.act("mod rules test", { prompt: prompt.value }, { quiet: true });
    verdict.hidden = !reply;
    verdict.className = `verdict ${reply?.tone ?? ""}`;
    verdict.replaceChildren(icon(reply?.tone === "good" ? "check" : "hand"), reply?.text ?? "");
  };
  const forms = h("div.two", {},
    h("form.panel", { onsubmit: test }, h("h2", { text: t("rules.test") }), h("div.field", {}, h("label", { for: "rule-prompt", text: t("rules.prompt") }), prompt, h("small", { id: "test-hint", text: t("rules.test_hint") })), h("button.act.main", { type: "submit" }, h("span", { text: t("rules.try") })), verdict),
    h("form.panel", { onsubmit: add }, h("h2", { text: t("rules.add") }), h("div.field", {}, h("label", { for: "rule-kind", text: t("rules.kind") }), kind), h("div.field", {}, h("label", { for: "rule-text", text: t("rules.words") }), text, h("small", { id: "rule-hint", text: t("rules.words_hint") })), h("button.act.main", { type: "submit" }, h("span", { text: t("rules.save") }))));
  const draw = (data) => [
    h("p.explain", { text: `${t("rules.text", { n: data.rules.length })} ${t("rules.house", { n: data.house })}.` }),
    data.rules.length
      ? h("ul.entries", {}, ...data.rules.map((each) => h("li.entry.rule", {}, h("span.entry-why", { text: t(`rules.${each.kind}`) }), h("code", { dir: "auto", text: each.text }), button("close", t("rules.remove"), () => act("mod rules remove", { number: each.id })))))
      : nothing("shield", t("rules.empty"), t("rules.empty_text")),
  ];
  return living(host, t("rules.title"), "rules", { draw, above: [forms] });
}

// -- record ----------------------------------------------------------------------------------------------

function audit(host) {
  const { t, act } = host;
  let before = 0;
  const found = [];
  const one = (each) =>
    h(`li.entry.done${each.undone ? ".undone" : ""}`, {}, h("span.entry-at", {}, when(each.at)), h("div", {}, h("p", { dir: "auto", text: each.text }), h("small", {}, `${each.id} · `, t("audit.by", { who: each.who }), each.undone ? h("b.mark", { text: t("audit.undone") }) : null)), each.undoable ? button("again", t("undo"), () => act("mod undo", { act: each.id })) : h("span"));
  const draw = (data) => {
    if (!before) found.length = 0;
    found.push(...data.acts);
    if (!found.length) return nothing("clock", t("audit.empty"), t("audit.empty_text"));
    const more = data.more ? button("", t("older"), () => ((before = data.more), view.refresh())) : null;
    return [h("ul.entries", {}, ...found.map(one)), more ? h("div.foot", {}, more) : null, taken(host, "audit")].filter(Boolean);
  };
  const view = living(host, t("audit.title"), "audit", { draw, query: () => (before ? { before } : {}), above: [h("p.explain", { text: t("audit.text") })], key: (data) => [data, before] });
  return { ...view, refresh: () => ((before = 0), view.refresh()) };
}

// -- engine ----------------------------------------------------------------------------------------------

function engine(host) {
  const { t } = host;
  const times = (value) => number(value, 2);
  const draw = (data) => {
    const { calibration } = data;
    const named = calibration.bins.map(([low, n], at) => ({ value: n, label: at + 1 < calibration.bins.length ? `${times(low)}–${times(calibration.bins[at + 1][0])}` : `≥ ${times(low)}` }));
    const best = named.reduce((a, b) => (b.value > a.value ? b : a));
    const width = Math.max(300, Math.min(880, document.querySelector(".view")?.clientWidth - 110 || 640));
    const line = t("engine.calibration_line", { n: calibration.count, low: times(calibration.low ?? 0), middle: times(calibration.middle ?? 0), high: times(calibration.high ?? 0) });
    const chart = t("engine.chart", { total: calibration.count, most: best.label });
    const heads = [[t("engine.model")], [t("engine.state")], [t("engine.speed"), "num"], [t("engine.size")], [t("engine.price"), "num"]];
    const rows = data.models.map((each) => [h("span", {}, h("b", { text: each.name }), each.title ? ` ${each.title}` : "", each.default ? h("b.mark", { text: t("engine.usual") }) : null), h(`span.state.${each.state}`, { text: each.state_text }), each.seconds === null ? t("engine.unmeasured") : `${new Intl.NumberFormat(language, { maximumSignificantDigits: 2 }).format(each.seconds)} s`, each.size, number(each.price, 2)]);
    return [
      data.engines.length
        ? h("div.engines", {}, ...data.engines.map((each) => h("section.panel", {}, h("h2", {}, h("bdi", { text: each.name.replace(/^engine/, `${t("engine.title")} `).trim() }), " ", h(`span.state.${each.device && !each.lost ? "ready" : "broken"}`, { text: t(each.device && !each.lost ? "engine.here" : "engine.away") })), h("p", { text: [each.device, t("engine.drawing", { n: each.drawing }), t("engine.room", { n: each.room }), each.left ? t("engine.left", { time: span(each.left) }) : "", each.lost ? t("engine.lost", { n: each.lost }) : ""].filter(Boolean).join(" · ") }))))
        : h("p.dim", { text: t("engine.none") }),
      h("section.panel", {}, h("h2", { text: t("engine.calibration") }), h("p", { text: t("engine.calibration_text") }), calibration.count ? columns(named.map((each) => ({ ...each, title: `${each.label}: ${number(each.value)}` })), { label: chart, format: (value) => number(value, 0), tint: "mint", width, every: width < 480 ? 2 : 1 }) : null, h("p", { text: calibration.count ? line : t("engine.calibration_none") })),
      h("section.stack", {}, h("h2", { text: t("engine.models") }), grid(t("engine.models"), heads, rows)),
    ];
  };
  return living(host, t("engine.title"), "engine", { draw, every: 2 * FRESH, key: (data) => ({ ...data, engines: data.engines.map((each) => ({ ...each, left: Math.round(each.left) })) }) });
}

// -- what if -----------------------------------------------------------------------------------------------

const MIXES = ["evening", "flood", "newcomers", "roles", "models"];
let question = null; // what was asked last: it is still there when one comes back to this view

function whatif(host) {
  const { t, problem } = host;
  const input = (name, most) => h("input", { id: `what-${name}`, name, type: "number", inputmode: "numeric", min: 1, max: most, required: true, value: String(question?.[name] ?? { engines: 1, members: 50 }[name]) });
  const mix = h("select", { id: "what-mix", name: "mix", onchange: () => (members.disabled = mix.value !== "evening") }, ...MIXES.map((each) => h("option", { value: each, text: t(`whatif.${each}`) })));
  const [engines, members] = [input("engines", 16), input("members", 10000)];
  members.setAttribute("aria-describedby", "what-hint");
  mix.value = question?.mix ?? "evening";
  members.disabled = mix.value !== "evening";
  const field = (name, box, hint) => h("div.field", {}, h("label", { for: box.id, text: t(`whatif.${name}`) }), box, hint ? h("small", { id: "what-hint", text: hint }) : null);
  const go = h("button.act.main", { type: "submit" }, icon("play"), h("span", { text: t("whatif.play") }));
  const form = h("form.panel.asking", { "aria-label": t("whatif.form"), onsubmit: (event) => (event.preventDefault(), play()) },
    h("div.fields", {}, field("mix", mix), field("engines", engines), field("members", members, t("whatif.members_hint"))), h("div.row", {}, go));
  const said = (text) => h("p.problem", { role: "alert", text });
  const draw = (data) => {
    go.disabled = data.state === "running";
    if (data.problem) return said(data.problem);
    if (data.state === "none") return nothing("wand", t("whatif.empty"), t("whatif.empty_text"));
    if (data.state === "running") return h("p.playing", { role: "status" }, h("i.spin", { "aria-hidden": "true" }), h("span", { text: t("whatif.running", { n: data.seconds }) }));
    if (data.state === "failed") return said(data.text);
    return answer(t, data);
  };
  const view = living(host, t("whatif.title"), "whatif", { draw, query: () => question ?? {}, above: [h("p.explain", { text: t("whatif.text") }), form] });
  let timer = 0;
  let over = false;
  /** Look again each second while it is played. */
  async function follow() {
    await view.refresh();
    if (over) return;
    if (view.node.querySelector(".playing")) timer = setTimeout(follow, 1000);
    else if (matchMedia("(max-width: 52rem)").matches) view.node.lastChild.scrollIntoView({ block: "start" });
  }
  async function play() {
    question = { mix: mix.value, engines: Number(engines.value), members: Number(members.value) };
    try {
      await host.whatif(question);
    } catch (error) {
      fill(view.node.lastChild, ["problem", Math.random()], () => draw({ problem: problem(error) }));
      return;
    }
    clearTimeout(timer);
    view.node.lastChild.scrollIntoView({ block: "nearest" });
    follow();
  }
  if (question) timer = setTimeout(follow, 300);
  return { ...view, stop: () => ((over = true), clearTimeout(timer), view.stop()) };
}

/** The sentence, the table and the plots. */
function answer(t, data) {
  const fixed = (value, digits) => new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
  const times = (value) => `×${fixed(value, value < 10 ? 1 : 0)}`;
  const percent = (value) => `${value > 0 && value < 0.01 ? "<" : ""}${new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(value > 0 ? Math.max(value, 0.01) : value)}`;
  const ours = data.rows.filter((each) => each.ours);
  const heads = [[t("whatif.way")], [t("whatif.who")], [t("whatif.median"), "num"], [t("whatif.slowest"), "num"], [t("whatif.equal"), "num"], [t("whatif.drawn"), "num"]];
  const rows = data.rows.map((each) => [each.ours ? h("b", { text: each.policy }) : each.policy, each.group, times(each.median), times(each.slowest), fixed(each.equal, 2), percent(each.drawn)]);
  const within = (value) => (value < 1.05 ? t("whatif.alone") : t("whatif.times", { n: fixed(value, value < 10 ? 1 : 0) }));
  const verdict = (each) => t(ours.length > 1 ? "whatif.verdict_of" : "whatif.verdict", { group: each.group, median: within(each.median), slowest: within(each.slowest) });
  return [
    h("section.panel", {}, h("h2", { text: t("whatif.machines", { n: question?.engines ?? 1 }) }), ...ours.map((each) => h("p.big-words", { text: verdict(each) })), h("p.dim", { text: data.machine === "measured" ? t("whatif.measured") : t("whatif.preset", { machine: data.machine }) })),
    h("section.stack", {}, h("h2", { text: t("whatif.table") }), h("p.dim", { text: t("whatif.explained") }), grid(t("whatif.table"), heads, rows)),
    h("section.stack", {}, h("h2", { text: t("whatif.plots") }), h("div.scroll.plots", { role: "region", "aria-label": t("whatif.plots"), tabIndex: 0 }, h("img", { src: data.sheet, alt: t("whatif.plots_alt"), width: 1440, height: 1180 })), h("div.taken", {}, h("a.act", { href: data.sheet, download: "falopitas-simulation.png" }, icon("download"), h("span", { text: t("whatif.png") })))),
  ];
}

export const views = { queue, usage, ledger, gallery, cases, rules, audit, engine, whatif };
