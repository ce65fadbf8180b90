// The conversation: what was sent, what came, in order; sends again what the bot may not have heard.

import { h, icon, toast } from "./dom.js";
import { edit, makeCard, tick, update } from "./card.js";
import { Failed, newKey, post } from "./net.js";
import { language, say } from "./words.js";

const STORE = "falopitas.unsent";
const cards = new Map();
const toasted = new Set();
const edits = new Map(); // what was typed into a card's edit box, until it is answered
let log = null;
let empty = null;
let head = null;
let settled = () => {};
let newest = null;
let stuck = true;
let last = { top: 0, height: 0 };

/** The conversation as a node; `suggest(text)` is what an example chip does, `over()` is called when a reply is final. */
export function makeChat({ suggest, over }) {
  settled = over;
  empty = h("div.empty");
  head = h("h1.unseen");
  log = h("div.log", { role: "log", "aria-live": "off", tabIndex: -1 });
  newest = h("button.newest", { type: "button", hidden: true, onclick: () => toEnd() }, icon("forward"), h("span", { text: say("card.new") }));
  const box = h("div.chat", {}, head, empty, log, newest);
  drawEmpty(suggest);
  setInterval(() => cards.forEach(tick), 1000);
  // pictures arrive after their card: whoever was at the end stays at the end
  new ResizeObserver(() => stuck && toEnd()).observe(log);
  return { node: box, redraw: () => (drawEmpty(suggest), cards.forEach((card) => update(card, card.message))) };
}

function drawEmpty(suggest) {
  const examples = ["a", "b", "c", "d", "e", "f"].map((name) => say(`examples.${name}`));
  empty.replaceChildren(
    h("img.hero", { src: "/icon.svg", alt: "", width: 104, height: 104 }),
    h("h1", { text: say("empty.title") }),
    h("p", { text: say("empty.text") }),
    h("div.examples", {}, ...examples.map((words, at) => h(`button.example.tint${at}`, { type: "button", onclick: () => suggest(words) }, h("span", { text: words })))),
  );
  head.textContent = say("nav.chat");
  newest.lastChild.textContent = say("card.new");
  refreshEmpty();
}

const refreshEmpty = () => {
  head.hidden = cards.size === 0; // the empty page has one of its own
  empty.hidden = cards.size > 0;
  log.hidden = cards.size === 0;
};

// -- in --------------------------------------------------------------------------------------------------

/** The whole conversation, after a reload or when the bot was started again. */
export function everything(messages) {
  const known = new Set(messages.map((message) => message.id));
  for (const [id, card] of cards) {
    if (!known.has(id) && !unsent()[id] && !card.message.failed) card.node.remove(), cards.delete(id);
  }
  for (const message of messages) take(message, false);
  refreshEmpty();
  if (cards.size) requestAnimationFrame(() => toEnd());
  resend(known);
}

/** One message, new or changed. */
export function take(message, live = true) {
  show(message, live);
  if (message.reply) giveBack(message);
}

/** A refused edit costs nobody their words: they stand in the box again, under the refusal if it has a card. */
function giveBack({ id, reply }) {
  const { card, button, typed } = edits.get(id) ?? {};
  edits.delete(id);
  if (card && reply.tone === "refused") edit(cards.get(id) ?? card, button, typed);
}

function show(message, live) {
  if (message.reply && slight(message)) return pass(message, live);
  const known = cards.get(message.id);
  const stick = stuck;
  const before = known?.message.reply;
  if (known) update(known, { ...message, said: message.said ?? known.message.said });
  else add(message);
  refreshEmpty();
  if (final(message.reply) && !final(before)) live && settled(message);
  if (stick || !known) toEnd();
  else if (live && final(message.reply)) newest.hidden = false;
}

function add(message) {
  const card = makeCard(message, { press, retry });
  cards.set(message.id, card);
  const later = [...cards.values()].find((other) => other !== card && other.message.at > message.at + 0.001);
  log.insertBefore(card.node, later?.node ?? null);
}

/** A pressed button's answer of a few words is a note at the edge of the page, not a message. */
function slight({ said, reply }) {
  const short = reply.text && reply.text.length < 160 && !reply.images.length && !reply.files?.length && !reply.fields.length;
  const buttons = reply.buttons.flat().length;
  return Boolean(said && !said.text && short && final(reply) && (buttons === 0 || (buttons === 1 && reply.tone === "good")));
}
const final = (reply) => Boolean(reply && !reply.fleeting && reply.tone !== "waiting");

function pass(message, live) {
  cards.get(message.id)?.node.remove();
  cards.delete(message.id);
  if (live && !toasted.has(message.id)) toast(message.reply.text, message.reply.tone, message.reply.buttons.flat().map((button) => [button.label, () => press(button)]));
  toasted.add(message.id);
  if (live) settled(message);
}

// -- out -------------------------------------------------------------------------------------------------

/** Send a typed line with what the options say, and the picture that was attached (the digest of an upload). */
export function sayLine(text, fields = {}, picture = "") {
  send({ text, fields, ...(picture ? { picture } : {}) });
}

/** Press a button of a card or of a side view. */
export function press(button, card = null, fields = {}) {
  const about = (fields.prompt ?? card?.message?.reply?.prompt ?? "").slice(0, 80);
  if (card?.reply && button.style === "danger" && !card.message.reply?.images.length) {
    card.parts.buttons.hidden = true;
    card.node.focus({ preventScroll: true });
  }
  const id = send({ press: button.press, fields, label: (button.shown ?? button.label).slice(0, 80), about: wellFormed(about) });
  if (button.form && card?.parts.editor) edits.set(id, { card, button, typed: fields[button.form.name] });
}
const wellFormed = (text) => text.toWellFormed?.() ?? text.replace(/[\uD800-\uDFFF]$/, "");

function send(body) {
  const id = newKey();
  const whole = { ...body, language };
  keep(id, whole);
  take({ id, at: Date.now() / 1000, said: { text: body.text ?? "", label: body.label ?? "", about: body.about ?? "", picture: Boolean(body.picture) }, reply: null });
  deliver(id, whole);
  return id;
}

async function deliver(id, body, tries = 0) {
  try {
    await post("/api/say", body, id);
    forget(id);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    if (["rate", "busy"].includes(error.code) && tries < 4) {
      setTimeout(() => deliver(id, body, tries + 1), 1000 * (error.after || 2));
      return;
    }
    if (error.code !== "network") forget(id);
    const card = cards.get(id);
    if (card) update(card, { ...card.message, failed: error.code, body });
  }
}

function retry(message) {
  const body = message.body ?? unsent()[message.id];
  const card = cards.get(message.id);
  if (!body || !card) return;
  keep(message.id, body);
  update(card, { ...message, failed: null });
  deliver(message.id, body);
}

/** What the bot never confirmed is sent again under its old key: it will be answered once. */
function resend(known) {
  for (const [id, body] of Object.entries(unsent())) {
    if (known.has(id)) {
      forget(id);
      continue;
    }
    if (!cards.has(id)) take({ id, at: Date.now() / 1000, said: { text: body.text ?? "", label: body.label ?? "", about: body.about ?? "", picture: Boolean(body.picture) }, reply: null });
    const card = cards.get(id);
    update(card, { ...card.message, failed: null });
    deliver(id, body);
  }
}

function unsent() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE) ?? "{}");
  } catch {
    return {};
  }
}
const keep = (id, body) => sessionStorage.setItem(STORE, JSON.stringify({ ...unsent(), [id]: body }));
const forget = (id) => {
  const { [id]: gone, ...rest } = unsent();
  if (gone) sessionStorage.setItem(STORE, JSON.stringify(rest));
};

// -- scrolling -------------------------------------------------------------------------------------------

const scroller = () => log.closest(".view");
const atEnd = () => {
  const box = scroller();
  return !box || box.scrollHeight - box.scrollTop - box.clientHeight < 120;
};
function toEnd() {
  const box = scroller();
  newest.hidden = true;
  stuck = true;
  if (box) box.scrollTop = box.scrollHeight; // at once: a slow scroll would look like the person's own
}

/** The person scrolled: remember whether they stand at the end. */
export function scrolled() {
  const { scrollTop: top, scrollHeight: height } = scroller();
  if (atEnd()) stuck = true;
  else if (top < last.top - 2 && height === last.height) stuck = false; // a card that shrinks pulls upwards, too
  last = { top, height };
  if (stuck && newest) newest.hidden = true;
}
