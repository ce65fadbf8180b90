// One message: what the person said, and the bot's reply card, changed in place as news come.

import { announce, copy, fill, h, icon } from "./dom.js";
import { bytes, knows, language, number, say, span } from "./words.js";
import { show as view } from "./viewer.js";

const ICONS = { again: "again", remix: "edit", details: "details", star: "star", delete: "trash", cancel: "close", original: "download", upscale: "bigger", report: "flag", appeal: "hand", contest: "hand" };
const LONG = 420;

/** A card for a message; `act` = {press(button, message, fields), retry(message)}. */
export function makeCard(message, act) {
  const parts = {
    said: h("div.said-row"),
    head: h("div.head"),
    quote: h("div.quote-box"),
    text: h("div.text"),
    work: h("div.work"),
    pictures: h("div.pictures"),
    files: h("div.files"),
    fields: h("div.fields-box"),
    buttons: h("div.buttons"),
    editor: h("div.editor-box"),
  };
  const { said, ...inside } = parts;
  const reply = h("div.reply", {}, ...Object.values(inside));
  const row = h("div.reply-row", {}, h("span.face", { "aria-hidden": "true" }), reply);
  const node = h("article.exchange", { "data-id": message.id, tabIndex: -1 }, said, row);
  const card = { node, reply, row, parts, act, message, said: "" };
  update(card, message);
  return card;
}

/** Show the newest state of its message. */
export function update(card, message) {
  const before = card.message.reply;
  const held = card.node.contains(document.activeElement);
  card.message = message;
  const { parts } = card;
  const reply = message.reply;
  const working = !reply || reply.fleeting || reply.tone === "waiting";
  card.node.classList.toggle("waits", working && !message.failed);
  card.node.setAttribute("aria-label", [say("card.bot"), reply?.prompt || message.said?.text || reply?.title].filter(Boolean).join(": ").slice(0, 120));
  fill(parts.said, [message.said, message.failed, language], () => saidBubble(card, message));
  card.row.hidden = Boolean(message.failed);
  const signed = !reply?.title && ["refused", "broken"].includes(reply?.tone);
  card.reply.className = `reply ${reply?.tone ?? "waiting"}${signed ? " signed" : ""}${reply?.images.length ? " pictured" : ""}`;
  fill(parts.head, [reply?.title, reply?.tone, language], () => headline(reply));
  fill(parts.quote, [reply?.prompt, message.said?.text, language], () => quote(reply?.prompt, message.said?.text));
  fill(parts.text, [busy(reply) ? "" : reply?.text, reply?.link, Boolean(reply), signed, language], () => text(reply, signed));
  drawWork(card, reply);
  if (!reply?.fleeting || !repaint(parts.pictures, reply.images)) fill(parts.pictures, [reply?.tiles ?? reply?.images, reply?.fleeting, language], () => pictures(card, reply));
  fill(parts.files, [reply?.files, language], () => (reply?.files ?? []).map(takeAlong));
  fill(parts.fields, [reply?.fields, compact(reply), drawable(message), language], () => (compact(reply) ? facts(reply.fields) : details(reply?.fields ?? [], drawable(message))));
  fill(parts.buttons, [reply?.buttons, language], () => buttons(card, reply?.buttons ?? []));
  if (held && !card.node.contains(document.activeElement)) card.node.focus({ preventScroll: true }); // what was pressed is gone
  tell(before, reply);
}

/** To who listens: where it waits, each quarter of the drawing, what came of it. */
function tell(before, reply) {
  if (!reply || before === reply) return;
  const waits = reply.tone === "waiting";
  if (!reply.fleeting && !waits) {
    const drawn = (reply.tiles ?? reply.images).length;
    announce([drawn ? say("card.drawn", { n: drawn }) : "", reply.title, reply.text, reply.prompt].filter(Boolean).join(". "));
  } else if (waits && !before) announce([reply.text, ...reply.fields.map((each) => each.join(": "))].filter(Boolean).join(". "));
  else if (reply.progress !== null && quarter(reply) !== quarter(before)) announce(say("card.working", { percent: quarter(reply) * 25 }));
}
const quarter = (reply) => Math.floor((reply?.progress ?? 0) * 4);

function saidBubble(card, message) {
  const said = message.said;
  if (!said) return [];
  const bubble = said.text
    ? clipped(said.text, "div.said", said.picture)
    : h("div.said.pressed", {}, h("b", { text: plainLabel(said.label), dir: "auto" }), said.about ? h("bdi", { text: said.about }) : null);
  if (!message.failed) return [bubble];
  const why = knows(`error.${message.failed}`) ? say(`error.${message.failed}`) : say("error.other");
  return [
    bubble,
    h("div.unsent", { role: "alert" }, h("span", { text: `${say("card.unsent")} ${why}` }), h("button.link", { type: "button", text: say("card.retry"), onclick: () => card.act.retry(message) })),
  ];
}

const plainLabel = (label) => label.replace(/^[\p{Extended_Pictographic}\uFE0F\u200D\s]+/u, "") || label;

function headline(reply) {
  if (!reply) return [];
  const sign = { refused: "hand", broken: "warn" }[reply.tone];
  if (!reply.title && !sign) return [];
  return [sign ? icon(sign) : null, reply.title ? h("h2", { text: reply.title, dir: "auto" }) : null];
}

/** The prompt as a quotation, unless the person's own words stand right above it. */
function quote(prompt, typed) {
  if (!prompt || prompt.trim() === typed?.trim()) return [];
  return [clipped(prompt, "blockquote.quote")];
}

/** Long texts are folded, whatever they are made of. */
function clipped(text, spec, sent = false) {
  const body = h("bdi", { text, dir: "auto" });
  const box = h(spec, { dir: "auto" }, sent ? h("span.sent", { title: say("box.picture_here") }, icon("picture")) : null, body);
  if (text.length <= LONG && text.split("\n").length <= 8) return box;
  box.classList.add("folded");
  const more = h("button.link.fold", { type: "button", text: say("card.more"), "aria-expanded": "false" });
  more.addEventListener("click", () => {
    const open = !box.classList.toggle("folded");
    more.textContent = say(open ? "card.less" : "card.more");
    more.setAttribute("aria-expanded", String(open));
  });
  box.append(more);
  return box;
}

const busy = (reply) => Boolean(reply?.fleeting && reply.progress !== null);

function text(reply, signed) {
  if (!reply) return [h("p.dots", { "aria-label": say("card.sent") }, h("i"), h("i"), h("i"))];
  if (!reply.text || busy(reply)) return []; // while it is drawn the words stand under the bar
  const link = reply.link ? [h("p", {}, h("a.link", { href: reply.link, target: "_blank", rel: "noopener", text: reply.link }))] : [];
  const lines = reply.text.split("\n");
  return [...lines.map((line, at) => {
    if (!line) return null;
    if (line.startsWith("/imagine ")) return h("div.line", {}, h("code", { dir: "auto" }, ...flagged(line)), copyButton(line, "card.copy_line"));
    return h(signed && !lines[at - 1] ? "p.first" : "p", { dir: "auto" }, ...flagged(line)); // what is wrong, before what to do
  }).filter(Boolean), ...link];
}

/** A flag stays in one piece: its dashes are no place to break the line. */
function flagged(line) {
  return line.split(/(--\p{L}[\p{L}\d-]*)/u).map((part, at) => (at % 2 ? h("span.flag", { text: part }) : part)).filter(Boolean);
}

// -- progress --------------------------------------------------------------------------------------------

function drawWork(card, reply) {
  const drawn = busy(reply);
  const waits = reply?.tone === "waiting" && reply.progress === null;
  fill(card.parts.work, [drawn, waits, language], () => {
    card.bar = card.left = card.percent = null;
    if (!drawn && !waits) return [];
    card.bar = h("div.bar", { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": say(drawn ? "card.drawing" : "card.waiting") }, h("i"));
    card.bar.classList.toggle("endless", !drawn);
    card.percent = h("span");
    card.left = h("span.left");
    return [card.bar, h("div.bar-line", {}, card.percent, card.left)];
  });
  if (!card.bar) return;
  const percent = Math.round((reply.progress ?? 0) * 100);
  if (drawn) {
    card.bar.firstChild.style.transform = `scaleX(${Math.max(0.015, Math.min(1, reply.progress))})`;
    card.bar.setAttribute("aria-valuenow", String(percent));
  }
  card.percent.textContent = drawn ? say("card.working", { percent: number(percent) }) : "";
  tick(card);
}

/** Count down to when it should be done; called every second by the chat. */
export function tick(card) {
  const ends = card.message.reply?.ends;
  if (!card.left || !card.left.isConnected) return;
  const seconds = ends ? ends - Date.now() / 1000 : null;
  card.left.textContent = seconds === null ? "" : seconds > 1.5 ? say("card.left", { time: span(seconds) }) : say("card.nearly");
}

// -- pictures --------------------------------------------------------------------------------------------

function pictures(card, reply) {
  if (!reply) return [];
  const shown = reply.tiles?.length ? reply.tiles : reply.images;
  if (!shown.length) return [];
  const alone = shown.length === 1;
  const tiles = shown.map((picture, at) => {
    const image = h("img", { src: picture.src, alt: picture.alt || reply.prompt, width: picture.width || undefined, height: picture.height || undefined, decoding: reply.fleeting ? "sync" : "async", draggable: "false" });
    if (picture.spoiler) image.classList.add("spoiler"); // until somebody chooses to look
    if (picture.width && picture.width < 320) image.classList.add("tiny");
    if (reply.fleeting) return h("div.tile.preview", {}, image);
    const open = h("button.tile", { type: "button", title: say(alone ? "card.single" : "card.open", { n: at + 1, total: shown.length }), onclick: () => image.classList.contains("spoiler") ? image.classList.remove("spoiler") : view(shown, at, { prompt: reply.prompt }) }, image);
    open.setAttribute("aria-label", `${open.title}: ${image.alt}`);
    if (!alone) open.append(h("span.badge", { text: String(at + 1), "aria-hidden": "true" }));
    if (picture.starred) open.append(h("span.starred", { "aria-hidden": "true" }, icon("star")));
    return open;
  });
  return [h(`div.grid.of${Math.min(shown.length, 4)}`, {}, ...tiles)];
}

/** Newer previews in the places of the older ones: nothing jumps, nothing flickers. False: there is no such place. */
function repaint(box, images) {
  const places = [...box.querySelectorAll(".preview img")];
  if (!images.length || places.length !== images.length) return false;
  images.forEach(({ src }, at) => places[at].getAttribute("src") !== src && places[at].setAttribute("src", src));
  return true;
}

/** A file to take along: its name and size, and a tap saves it. */
function takeAlong(file) {
  return h("a.file", { href: file.src, download: file.name }, icon("download"), h("b", { text: file.name }), h("small", { text: bytes(file.size) }));
}

// -- details ---------------------------------------------------------------------------------------------

/** Beside pictures and while waiting, the facts stand in one line; alone they are a table. */
const compact = (reply) => Boolean(reply && (reply.images.length || reply.tone === "waiting"));

function facts(fields) {
  if (!fields.length) return [];
  return [h("p.facts", {}, ...fields.map(([label, value]) => h("span", {}, `${label} `, h("b", {}, h("bdi", { text: value })))))];
}

/** Whether a button was asked how to draw the same again: such a list of parameters is worth taking along. */
const drawable = ({ said, reply }) => !said?.text && /^\/imagine /m.test(reply?.text ?? "");

function details(fields, copied) {
  if (!fields.length) return [];
  const list = h("dl.details", {}, ...fields.flatMap(([label, value]) => [h("dt", { text: label, dir: "auto" }), h("dd", { dir: "auto" }, h("bdi", { text: value }))]));
  const all = fields.map(([label, value]) => `${label}: ${value}`).join("\n");
  return [list, copied ? copyButton(all, "card.copy_all") : null];
}

/** A button that copies a text and says so; `name` is the sentence of what it copies. */
export function copyButton(all, name) {
  const label = h("span", { text: say(name) });
  const button = h("button.quiet.copy", { type: "button" }, icon("copy"), label);
  button.addEventListener("click", async () => {
    if (!(await copy(all))) return;
    label.textContent = say("card.copied");
    button.classList.add("done");
    announce(say("card.copied"));
    setTimeout(() => {
      label.textContent = say(name);
      button.classList.remove("done");
    }, 1800);
  });
  return button;
}

// -- buttons ---------------------------------------------------------------------------------------------

/** Numbered buttons become rows of their own, the rest one row with icons. */
function buttons(card, rows) {
  const all = rows.flat();
  if (!all.length) return [];
  const numbered = new Map();
  const rest = [];
  for (const button of all) {
    const group = /^([^\d]*)[1-4]/u.test(button.label) && ["upscale", "vary"].includes(button.kind) ? `${button.kind}` : "";
    if (group) numbered.set(group, [...(numbered.get(group) ?? []), button]);
    else rest.push(button);
  }
  const groups = [...numbered].map(([kind, list]) =>
    h("div.group", { role: "group", "aria-label": say(`group.${kind}`) }, h("span.group-name", { text: say(`group.${kind}`), "aria-hidden": "true" }), h("div.segments", {}, ...list.map((button) => actionButton(button, card, true)))),
  );
  return [groups.length ? h("div.groups", {}, ...groups) : null, rest.length ? h("div.row", {}, ...rest.map((button) => actionButton(button, card))) : null];
}

/** One button, ready to press. In a segment its label is enough; elsewhere it has an icon. */
export function actionButton(button, card, segment = false) {
  const key = `button.${button.kind}`;
  const digit = button.label.match(/[1-4]/)?.[0] ?? "";
  const help = knows(key) ? say(key, { n: digit }) : button.label;
  const sign = ICONS[button.kind];
  const bare = plainLabel(button.label);
  const name = /\p{L}/u.test(bare) ? bare : knows(`label.${button.kind}`) ? say(`label.${button.kind}`) : button.label;
  button.shown = segment ? button.label : name;
  const node = h(`button.act.${button.style}.kind-${button.kind}`, { type: "button", title: help, "aria-label": segment ? `${button.label}: ${help}` : undefined }, !segment && sign ? icon(sign) : null, h("span", { text: segment ? button.label : name, dir: "auto" }));
  node.addEventListener("click", () => (button.form ? edit(card, button) : card.act.press(button, card)));
  return node;
}

/** Edit first: the prompt in a box of its own, then the same button with the new words; `typed`: those refused before. */
export function edit(card, button, typed = "") {
  const box = card.parts.editor;
  const area = h("textarea", { "aria-label": say("card.edit"), rows: 3, dir: "auto", value: typed || button.form.value || card.message.reply?.prompt || "" });
  const close = () => {
    box.replaceChildren();
    delete box.dataset.key;
  };
  const opener = document.activeElement;
  const leave = () => (close(), opener.focus());
  const send = () => {
    const words = area.value.trim();
    if (!words) return area.focus();
    leave();
    card.act.press(button, card, { [button.form.name]: words });
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) event.preventDefault(), send();
  });
  const form = h("form.editor", { onsubmit: (event) => (event.preventDefault(), send()) }, h("label", { text: say("card.edit") }), area, h("div.row", {}, h("button.main", { type: "submit", text: say("card.send") }), h("button.quiet", { type: "button", text: say("card.cancel"), onclick: leave })));
  box.replaceChildren(form);
  if (typed && opener.matches("input, textarea")) return; // they went on to write something else
  area.focus();
  if (!typed) area.select();
}
