// One picture, large; arrow keys go on to the next. Opened from a reply and from the gallery.

import { h, icon } from "./dom.js";
import { say } from "./words.js";

let dialog = null;
let state = { pictures: [], at: 0, extra: null };

/** Show `pictures` beginning with number `at`. `extra(picture)` may add nodes beside it (gallery's buttons). */
export function show(pictures, at = 0, { prompt = "", extra = null } = {}) {
  state = { pictures, at, prompt, extra };
  dialog ??= make();
  draw();
  if (!dialog.open) dialog.showModal();
}

/** Close it if it is open. */
export const hide = () => dialog?.open && dialog.close();

function make() {
  const node = h("dialog.viewer", {
    "aria-label": say("viewer.label"),
    onkeydown: (event) => {
      if (event.key === "ArrowRight") step(1);
      if (event.key === "ArrowLeft") step(-1);
    },
    onclick: (event) => event.target === node && node.close(),
  });
  let from = null;
  node.addEventListener("touchstart", (event) => (from = event.touches.length === 1 ? event.touches[0].clientX : null), { passive: true });
  node.addEventListener("touchend", (event) => {
    const moved = from === null ? 0 : event.changedTouches[0].clientX - from;
    if (Math.abs(moved) > 60) step(moved < 0 ? 1 : -1);
  });
  document.body.append(node);
  return node;
}

function step(by) {
  const { pictures } = state;
  if (pictures.length < 2) return;
  state.at = (state.at + by + pictures.length) % pictures.length;
  draw(by > 0 ? "next" : "previous");
}

function draw(focus = "") {
  const { pictures, at, prompt, extra } = state;
  const picture = pictures[at];
  const words = picture.alt || picture.prompt || prompt;
  const many = pictures.length > 1;
  const arrow = (name, sign, by) => h(`button.round.${name}`, { type: "button", title: say(`viewer.${name}`), "aria-label": `${say(`viewer.${name}`)}, ${say("viewer.of", { n: at + 1, total: pictures.length })}`, onclick: () => step(by) }, icon(sign));
  const image = h("img", { src: picture.src, alt: words, width: picture.width || undefined, height: picture.height || undefined });
  const facts = [
    many ? say("viewer.of", { n: at + 1, total: pictures.length }) : "",
    picture.width ? `${picture.width} × ${picture.height}` : "",
    picture.seed !== undefined ? say("viewer.seed", { n: String(picture.seed) }) : "",
  ].filter(Boolean);
  const save = picture.digest
    ? h("a.act.main", { href: `${picture.src}?download=1`, download: `falopitas-${picture.digest.slice(0, 12)}.png` }, icon("download"), h("span", { text: say("viewer.download") }))
    : null;
  const side = h("div.viewer-side", {}, h("p.viewer-words", { dir: "auto" }, h("bdi", { text: words })), h("p.viewer-facts", { text: facts.join(" · ") }), h("div.row", {}, save, ...(extra?.(picture) ?? [])));
  dialog.replaceChildren(
    h("div.viewer-box", {}, h("div.stage", {}, many ? arrow("previous", "back", -1) : null, image, many ? arrow("next", "forward", 1) : null), side),
    h("button.round.shut", { type: "button", title: say("viewer.close"), "aria-label": say("viewer.close"), onclick: () => dialog.close() }, icon("close")),
  );
  if (focus) dialog.querySelector(`.${focus}`)?.focus();
}
