// The moderators' page: the door, the frame, and what every view needs. Nothing is ever parsed as HTML.

import { h, icon, keepFocus, toast } from "./dom.js";
import { views } from "./modviews.js";
import { get, newKey, post } from "./net.js";
import { extend, knows, language, load, say } from "./words.js";

const LOOK = "falopitas.look";
const TONGUE = "falopitas.language";
const CHOSEN = "falopitas.mod.language";
const NAMES = ["queue", "usage", "ledger", "gallery", "cases", "rules", "audit", "engine", "whatif"];
const SIGNS = { queue: "queue", usage: "chart", ledger: "book", gallery: "gallery", cases: "flag", rules: "shield", audit: "clock", engine: "bolt", whatif: "wand" };
const root = document.getElementById("root");
let me = null;
let community = null;
let frame = null;
let shown = null;

const t = (key, values) => say(`review.${key}`, values);

/** What went wrong, as a sentence. */
export const problem = (error) => error.text || (knows(`review.error.${error.code}`) ? t(`error.${error.code}`) : t("error.other"));

// -- look ------------------------------------------------------------------------------------------------

const look = () => localStorage.getItem(LOOK) ?? "auto";
const isDark = () => (look() === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : look() === "dark");
const applyLook = () => (document.documentElement.dataset.look = isDark() ? "dark" : "light");
function setLook(value) {
  localStorage.setItem(LOOK, value);
  applyLook();
  redrawFrame();
}

async function speak(value) {
  localStorage.setItem(me ? CHOSEN : TONGUE, me ? `${me.language}>${value}` : value);
  await words(value);
  if (!me) return drawDoor();
  redrawFrame();
  route();
}

/** The language of who sits here; another one chosen on this page counts until they speak a third. */
function spoken() {
  const [theirs, chosen] = (localStorage.getItem(CHOSEN) ?? "").split(">");
  return theirs === me.language && chosen ? chosen : me.language;
}

async function words(wanted) {
  await load(wanted);
  const { texts, known } = await get(`/mod/api/texts?language=${language}`);
  extend("review", texts);
  return known;
}

const tongueButton = () => {
  const other = language === "es" ? "en" : "es";
  return h("button.quiet", { type: "button", lang: other, onclick: () => speak(other) }, h("span.tongue", { text: other.toUpperCase() }), h("span", { text: other === "es" ? "Español" : "English" }));
};

// -- door ------------------------------------------------------------------------------------------------

function drawDoor(error = null) {
  me = frame = null;
  shown?.stop?.();
  shown = null;
  document.title = t("door.title");
  const line = language === "es" ? "/mod página" : "/mod page";
  root.replaceChildren(
    h("main.door", {},
      h("div.door-head", {}, h("img", { src: "/icon.svg", alt: "", width: 84, height: 84 }), h("h1", { text: t("door.title") })),
      error ? h("p.problem", { role: "alert", text: problem(error) }) : null,
      h("p.door-text", { text: t("door.text") }),
      h("section.panel", {}, h("h2", { text: t("door.chat") }), h("p", { text: t("door.chat_text") }), h("code.address", { text: line })),
      h("section.panel", {}, h("h2", { text: t("door.owner") }), h("p", { text: t("door.owner_text") })),
      h("div.door-foot", {}, tongueButton()),
    ),
  );
}

let held = null;

/** Take what a link brought from the address at once: it shall be in no history, and nothing may overtake it. */
function take() {
  held = new URLSearchParams(location.hash.slice(1)).get("seat");
  if (held) history.replaceState(null, "", location.pathname);
  return held;
}

/** Take the seat of the link behind the #, if there is one; else find out whether we sit here already. */
async function knock(known = true) {
  const token = held;
  if (!token && !known) return drawDoor();
  let refused = null;
  held = null;
  if (token) {
    await post("/mod/api/enter", { token }).catch((error) => (refused = error));
  }
  try {
    me = await get("/mod/api/me");
  } catch (error) {
    const plain = error.status === 401 && !refused;
    return drawDoor(plain ? null : (refused ?? error));
  }
  if (refused) toast(problem(refused), "refused");
  community = me.communities.some((each) => each.id === community) ? community : me.community;
  if (spoken() !== language) await words(spoken());
  drawFrame();
  route();
}

async function leave() {
  await post("/mod/api/leave", {}).catch(() => null);
  location.hash = "";
  drawDoor();
}

// -- frame -----------------------------------------------------------------------------------------------

/** The frame made anew; who switched something in it still stands on the switch. */
const redrawFrame = () => keepFocus(root, drawFrame);

const title = (each) => (each.id ? each.title || each.id : t("house"));

function drawFrame() {
  const dark = isDark();
  const chooser = h("select.chooser", { id: "community", onchange: (event) => choose(event.target.value) }, ...me.communities.map((each) => h("option", { value: each.id, text: title(each) + (each.open ? ` (${each.open})` : "") })));
  chooser.value = community;
  frame = {
    nav: h("nav.nav", { "aria-label": t("nav.label") }, ...NAMES.map((name) => h("a.nav-link", { href: `#${name}`, "data-view": name }, icon(SIGNS[name]), h("span", { text: t(`nav.${name}`) }), name === "cases" ? badge() : null))),
    main: h("main.room", { id: "main" }, h("section.view", { tabIndex: -1 })),
  };
  const place = me.communities.length > 1
    ? h("div.place", {}, h("label", { for: "community", text: t("community") }), chooser)
    : h("div.place", {}, h("span", { text: t("community") }), h("b", { dir: "auto", text: title(me.communities[0]) }));
  root.replaceChildren(
    h("div.app.mod", {},
      h("header.rail", {},
        h("a.skip", { href: "#main", onclick: (event) => (event.preventDefault(), frame.main.firstChild.focus()), text: t("skip") }),
        h("a.brand", { href: "#queue", "aria-label": `Falopitas ${t("title")}` }, h("img", { src: "/icon.svg", alt: "", width: 36, height: 36 }), h("span", {}, "Falopitas ", h("small", { text: t("title") }))),
        place,
        frame.nav,
        h("div.rail-foot", {},
          h("div.switches", {}, tongueButton(), h("button.quiet", { type: "button", title: say(dark ? "settings.light" : "settings.dark"), "aria-label": say(dark ? "settings.light" : "settings.dark"), onclick: () => setLook(dark ? "light" : "dark") }, icon(dark ? "light" : "dark"))),
          h("button.quiet", { type: "button", onclick: leave, hidden: me.who.startsWith("web:") }, icon("leave"), h("span", { text: t("leave") })),
          h("a.quiet", { href: "/", hidden: !me.who.startsWith("web:") }, icon("picture"), h("span", { text: t("draw") }))),
      ),
      frame.main,
    ),
  );
  if (shown) frame.main.firstChild.replaceChildren(shown.node);
  mark();
}

const badge = () => {
  const open = me.communities.find((each) => each.id === community)?.open ?? 0;
  return h("b.count", { hidden: !open, text: open });
};

function choose(value) {
  community = value;
  drawFrame();
  route();
  document.getElementById("community")?.focus();
}

const current = () => (NAMES.includes(location.hash.slice(1)) ? location.hash.slice(1) : "queue");

function mark() {
  for (const link of frame.nav.children) {
    if (link.dataset.view === current()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(`nav.${current()}`)} · ${t("title")}`;
}

function route() {
  if (!frame) return;
  shown?.stop?.();
  const name = current();
  shown = views[name]({ t, look: fetchView, act, ask, me, community, link, problem, whatif });
  frame.main.firstChild.replaceChildren(shown.node);
  frame.main.firstChild.scrollTop = 0;
  mark();
  frame.nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

// -- what views use --------------------------------------------------------------------------------------

const asked = (more) => new URLSearchParams({ c: community, language, ...more });

/** The address of something of this community. */
const link = (path, more = {}) => `/mod/api/${path}?${asked(more)}`;

/** A view's data; whoever may not look any more is shown the door. */
async function fetchView(name, more = {}) {
  try {
    return await get(link(`view/${name}`, more));
  } catch (error) {
    if (error.status === 401 || error.code === "not_moderator") drawDoor(error);
    throw error;
  }
}

/** Say a command; what it answered stands in a note with the way back, unless its view shows it. Null: not done. */
async function act(command, fields, { quiet = false } = {}) {
  try {
    const reply = await post("/mod/api/do", { command, fields, community, language }, newKey());
    const undo = reply.buttons?.find((button) => button.command === "mod undo");
    if (!quiet) toast(reply.text, reply.tone, undo ? [[t("undo"), () => act(undo.command, undo.fields)]] : []);
    await shown?.refresh?.();
    recount();
    return reply;
  } catch (error) {
    if (error.status === 401 || error.code === "not_moderator") drawDoor(error);
    else toast(problem(error), "refused");
    return null;
  }
}

/** Begin a simulation. */
async function whatif(question) {
  try {
    return await post("/mod/api/whatif", { ...question, community, language });
  } catch (error) {
    if (error.status === 401 || error.code === "not_moderator") drawDoor(error);
    throw error;
  }
}

async function recount() {
  const now = await get("/mod/api/me").catch(() => null);
  if (!now || !frame) return;
  me = now;
  frame.nav.querySelector(".count")?.replaceWith(badge());
}

/** Ask before something is done: a dialog with a text; with `reason` also why. Resolves to the reason or null. */
function ask({ title: head, text, yes, danger = false, reason = true }) {
  return new Promise((resolve) => {
    const box = h("textarea", { id: "reason", rows: 2, maxlength: 200, dir: "auto", "aria-describedby": "reason-hint" });
    const done = (value) => (dialog.close(), dialog.remove(), resolve(value));
    const dialog = h("dialog.sheet", { "aria-labelledby": "ask-title", oncancel: (event) => (event.preventDefault(), done(null)) },
      h("form", { onsubmit: (event) => (event.preventDefault(), done(box.value.trim())) },
        h("h2", { id: "ask-title", text: head, dir: "auto" }),
        text ? h("p", { text, dir: "auto" }) : null,
        reason ? h("div.field", {}, h("label", { for: "reason", text: t("gallery.reason") }), box, h("small", { id: "reason-hint", text: t("gallery.reason_hint") })) : null,
        h("div.row.end", {}, h("button.act", { type: "button", onclick: () => done(null) }, h("span", { text: t("cancel") })), h(`button.act.${danger ? "danger" : "main"}`, { type: "submit" }, h("span", { text: yes }))),
      ));
    document.body.append(dialog);
    dialog.showModal();
  });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (applyLook(), me && drawFrame()));
window.addEventListener("hashchange", () => (take() ? knock() : me ? route() : null));
take();
applyLook();
await knock(await words(localStorage.getItem(TONGUE) ?? ""));
