// The page: the door, then a chat and its side views. Everything is drawn here; nothing is ever parsed as HTML.

import { h, icon, keepFocus, toast } from "./dom.js";
import * as chat from "./chat.js";
import { makeComposer } from "./composer.js";
import { follow, get, post } from "./net.js";
import * as views from "./views.js";
import { credits, language, load, say } from "./words.js";

const LOOK = "falopitas.look";
const TONGUE = "falopitas.language";
const VIEWS = ["chat", "gallery", "queue", "quota", "settings"];
const root = document.getElementById("root");
let about = { commands: [], form: {}, settings: {}, defaults: {} };
let shown = null;
let conversation = null;
let composer = null;
let frame = null;
let stopStream = null;

// -- look ------------------------------------------------------------------------------------------------

const look = () => localStorage.getItem(LOOK) ?? "auto";
const applyLook = () => (document.documentElement.dataset.look = isDark() ? "dark" : "light");
const isDark = () => (look() === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : look() === "dark");
function setLook(value) {
  localStorage.setItem(LOOK, value);
  applyLook();
  drawFrame();
  route();
}

/** Change the language of the page, and of the bot's answers. */
async function speak(value) {
  localStorage.setItem(TONGUE, value);
  if (!conversation) return load(value).then(() => drawDoor());
  await post("/api/settings", { language: value }).catch(() => null);
  await load(value);
  about = await get("/api/me");
  drawFrame();
  conversation.redraw();
  composer.set(about);
  route();
}

// -- door ------------------------------------------------------------------------------------------------

function drawDoor(code = "") {
  document.title = say("title");
  const problem = h("p.problem", { role: "alert", hidden: !code, text: code ? say(`error.${code}`) : "" });
  const box = h("input", { id: "code", autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false", maxlength: 16, required: true, placeholder: "ABCD2345", "aria-describedby": "code-hint" });
  const enter = async (event) => {
    event.preventDefault();
    try {
      await post("/api/link", { code: box.value, language });
      await start();
    } catch (error) {
      problem.textContent = say(`error.${error.code}`);
      problem.hidden = false;
      box.select();
    }
  };
  root.replaceChildren(
    h("main.door", {},
      h("div.door-head", {}, h("img", { src: "/icon.svg", alt: "", width: 84, height: 84 }), h("h1", { text: "Falopitas" }), h("p", { text: say("tagline") })),
      problem,
      h("p.door-text", { text: say("door.text") }),
      h("section.panel", {}, h("h2", { text: say("door.own") }), h("p", { text: say("door.own_text") }), h("code.address", { text: `${location.origin}/#enter=…` }), h("p.dim", { text: say("door.own_lost") })),
      h("section.panel", {}, h("h2", { text: say("door.code") }), h("p", { text: say("door.code_text") }),
        h("form.code-form", { onsubmit: enter }, h("label", { for: "code", text: say("door.code_label") }), h("div.code-line", {}, box, h("button.act.main", { type: "submit" }, h("span", { text: say("door.enter") }))), h("small", { id: "code-hint", text: say("door.code_hint") }))),
      h("div.door-foot", {}, tongueButton()),
    ),
  );
}

const tongueButton = () => {
  const other = language === "es" ? "en" : "es";
  return h("button.quiet", { type: "button", lang: other, onclick: () => speak(other) }, h("span.tongue", { text: other.toUpperCase() }), h("span", { text: other === "es" ? "Español" : "English" }));
};

/** Sign in with the token behind the #, if there is one; else find out whether we are in already. */
async function knock(known = true) {
  const token = new URLSearchParams(location.hash.slice(1)).get("enter");
  let code = "";
  if (!token && !known) return drawDoor();
  if (token) {
    history.replaceState(null, "", location.pathname);
    try {
      await post("/api/enter", { token, language });
    } catch (error) {
      code = error.code;
    }
  }
  try {
    await start();
    if (code === "token") return;
    if (code) toast(say(`error.${code}`), "refused");
  } catch (error) {
    if (error.status === 401) drawDoor(code);
    else drawDoor(error.code ?? "other");
  }
}

// -- frame -----------------------------------------------------------------------------------------------

async function start() {
  about = await get("/api/me");
  if (about.language !== language) await load(about.language);
  composer = makeComposer({ send: (text, fields, picture) => (location.hash = "#chat", chat.sayLine(text, fields, picture)) });
  conversation = chat.makeChat({ suggest: (text) => (composer.put(text), composer.submit()), over: settled });
  frame = {
    nav: h("nav.nav"),
    foot: h("div.rail-foot"),
    offline: h("p.offline", { role: "status", hidden: true }),
    main: h("main.room", { id: "main" }),
    chat: h("section.view.view-chat", { onscroll: chat.scrolled }, conversation.node),
    side: h("section.view.view-side", { hidden: true }),
  };
  const skip = h("a.skip", { href: "#prompt", onclick: (event) => (event.preventDefault(), (location.hash = "#chat"), setTimeout(composer.focus, 50)) });
  frame.skip = skip;
  frame.main.append(frame.offline, frame.chat, frame.side, composer.node);
  root.replaceChildren(h("div.app", {}, h("header.rail", {}, skip, h("a.brand", { href: "#chat", "aria-label": "Falopitas" }, h("img", { src: "/icon.svg", alt: "", width: 36, height: 36 }), h("span", { text: "Falopitas" })), frame.nav, frame.foot), frame.main));
  composer.set(about);
  drawFrame();
  stopStream?.();
  stopStream = follow(hear);
  route();
  purse();
  if (matchMedia("(hover: hover)").matches) composer.focus();
}

function drawFrame() {
  if (!frame) return;
  document.title = say("title");
  frame.skip.textContent = say("skip");
  frame.nav.setAttribute("aria-label", say("nav.label"));
  frame.nav.replaceChildren(...VIEWS.map((name) => h("a.nav-link", { href: `#${name}`, "data-view": name, title: say(`nav.${name}`) }, icon(name), h("span", { text: say(`nav.${name}`) }))));
  const dark = isDark();
  const switches = h("div.switches", {}, tongueButton(), h("button.quiet", { type: "button", title: say(dark ? "settings.light" : "settings.dark"), "aria-label": say(dark ? "settings.light" : "settings.dark"), onclick: () => setLook(dark ? "light" : "dark") }, icon(dark ? "light" : "dark")));
  keepFocus(root, () => frame.foot.replaceChildren(h("a.purse-link", { href: "#quota", id: "purse" }), switches));
  frame.offline.textContent = say("net.offline");
  mark();
  purse();
}

async function purse() {
  const mine = await get("/api/quota").catch(() => null);
  const link = document.getElementById("purse");
  if (!mine || !link) return;
  const meter = h("span.mini", { "aria-hidden": "true" }, h("i"));
  meter.firstChild.style.transform = `scaleX(${mine.unlimited ? 1 : Math.max(0, Math.min(1, mine.balance / (mine.daily || 1)))})`;
  if (mine.unlimited && !frame.nav.querySelector('[href="/mod"]')) // the owner, who moderates everywhere
    frame.nav.append(h("a.nav-link", { href: "/mod", title: say("nav.mod") }, icon("shield"), h("span", { text: say("nav.mod") })));
  link.replaceChildren(h("span", { text: mine.unlimited ? "∞" : credits(mine.balance) }), h("small", { text: say("nav.quota").toLowerCase() }), meter);
}

// -- views -----------------------------------------------------------------------------------------------

const current = () => (VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "chat");

function route() {
  if (!frame) return;
  const name = current();
  shown?.stop?.();
  shown = null;
  frame.chat.hidden = name !== "chat";
  composer.node.hidden = name !== "chat";
  frame.side.hidden = name === "chat";
  if (name !== "chat") {
    const press = (button, card, fields) => {
      if (!["star", "cancel"].includes(button.kind)) location.hash = "#chat";
      chat.press(button, card, fields);
    };
    shown = views[name]({ press, about, look: look(), setLook, speak, leave });
    keepFocus(frame.side, () => frame.side.replaceChildren(shown.node));
    frame.side.scrollTop = 0;
  }
  mark();
}

function mark() {
  for (const link of frame.nav.children) {
    if (link.dataset.view === current()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function leave() {
  stopStream?.();
  await post("/api/leave", {}).catch(() => null);
  sessionStorage.clear();
  localStorage.removeItem("falopitas.typed");
  location.hash = "";
  location.reload();
}

// -- events ----------------------------------------------------------------------------------------------

let wasOff = false;

function hear({ all, message, state }) {
  if (all) chat.everything(all);
  if (message) chat.take(message);
  if (state === "offline") {
    wasOff = true;
    setTimeout(() => wasOff && (frame.offline.hidden = false), 700);
  }
  if (state === "online") {
    if (!frame.offline.hidden) toast(say("net.back"), "good");
    wasOff = false;
    frame.offline.hidden = true;
  }
  if (state === "out") {
    frame = conversation = null;
    drawDoor("session");
  }
}

/** A reply is final: money moved, pictures came. */
function settled() {
  purse();
  shown?.refresh();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (applyLook(), drawFrame()));
// a launch address pasted into a tab that shows the page already changes nothing but what is behind the #
window.addEventListener("hashchange", () => (location.hash.startsWith("#enter=") ? knock() : route()));
applyLook();
await knock(await load(localStorage.getItem(TONGUE) ?? ""));
