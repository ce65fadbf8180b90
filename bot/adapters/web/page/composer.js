// The prompt box: Enter sends, ↑ brings back what was typed, "/" offers commands, "Options" is a form.

import { attachment } from "./attach.js";
import { announce, h, icon } from "./dom.js";
import { schemaForm, title } from "./form.js";
import { number, say } from "./words.js";

const LIMIT = 4000;
const HISTORY = "falopitas.typed";
const CHOSEN = "falopitas.options";

/** The box as a node; `send(text, fields, picture)` takes what was typed. `about` = {commands, form}. */
export function makeComposer({ send }) {
  let about = { commands: [], form: {} };
  let form = null;
  let at = -1;
  let offered = [];
  let marked = 0;

  const area = h("textarea", { id: "prompt", rows: 1, dir: "auto", enterkeyhint: "send", autocomplete: "off", spellcheck: "true", "aria-haspopup": "listbox", "aria-controls": "commands", "aria-autocomplete": "list" });
  const list = h("ul.offers", { id: "commands", role: "listbox", hidden: true });
  const panel = h("div.options", { id: "options", hidden: true });
  const count = h("span.count", { hidden: true });
  const note = h("p.too-long", { role: "alert", hidden: true });
  const opener = h("button.opener", { type: "button", "aria-expanded": "false", "aria-controls": "options", onclick: () => toggle(panel.hidden) });
  const go = h("button.send", { type: "submit" });
  const hint = h("p.hint");
  const picture = attachment({ changed: () => typed() });
  const chosen = h("div.chosen");
  const node = h("form.composer", { onsubmit: (event) => (event.preventDefault(), submit()) }, panel, list, h("div.box", {}, picture.node, area, h("div.box-line", {}, opener, picture.opener, chosen, go)), note, hint);

  // -- sending
  const fitting = () => area.value.trim().length > 0 && area.value.length <= LIMIT + 500 && !picture.busy();
  function submit() {
    const text = area.value.trim();
    if (!fitting()) return area.focus();
    remember(text);
    const plain = !text.startsWith("/") || /^\/(imagine|i|imagina|dibuja|draw)\s/i.test(text);
    const begins = plain ? picture.take() : { digest: "", fields: {} };
    send(text, plain ? { ...(form?.values() ?? {}), ...begins.fields } : {}, begins.digest);
    put("");
    toggle(false);
    area.focus();
  }

  function put(text) {
    area.value = text;
    typed();
  }

  function typed() {
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
    const long = area.value.length > LIMIT;
    note.hidden = !long;
    if (long) note.textContent = say("box.too_long", { n: area.value.length });
    go.disabled = !fitting();
    const command = area.value.trimStart().startsWith("/");
    go.title = say(command ? "box.send_command" : "box.send");
    go.setAttribute("aria-label", go.title);
    offer();
  }

  // -- commands
  const names = (command) => [command.name, ...(command.aliases ?? [])];
  function offer() {
    const match = area.value.match(/^\/(\S*)$/u);
    const wanted = match?.[1].toLocaleLowerCase() ?? "";
    const exact = (command) => names(command).includes(wanted);
    offered = match ? about.commands.filter((command) => command.offered && names(command).some((name) => name.startsWith(wanted))) : [];
    offered.sort((one, other) => exact(other) - exact(one));
    marked = 0;
    drawOffers();
  }

  function drawOffers() {
    if (offered.length && list.children.length !== offered.length) announce(say("box.offered", { n: offered.length }));
    list.hidden = !offered.length;
    list.setAttribute("aria-label", say("box.commands"));
    list.replaceChildren(
      ...offered.map((command, place) =>
        h("li.offer", { id: `offer-${place}`, role: "option", "aria-selected": String(place === marked), onmousedown: (event) => (event.preventDefault(), choose(place)) }, h("b", { text: `/${command.name}` }), h("span", { text: command.help })),
      ),
    );
    if (offered.length) {
      area.setAttribute("aria-activedescendant", `offer-${marked}`);
      list.children[marked].scrollIntoView({ block: "nearest" });
    } else area.removeAttribute("aria-activedescendant");
  }

  function choose(place) {
    const command = offered[place];
    put(`/${command.name} `);
    offered = [];
    drawOffers();
    area.focus();
  }

  function keys(event) {
    if (event.isComposing) return;
    const { key } = event;
    if (offered.length) {
      const by = { ArrowDown: 1, ArrowUp: -1 }[key];
      const typed = area.value.trim().slice(1).toLocaleLowerCase();
      // what is a command as it stands is sent, offered or not, unless they went on to another
      const exact = (marked ? [offered[marked]] : about.commands).some((command) => names(command).includes(typed));
      if (by) {
        event.preventDefault();
        marked = (marked + by + offered.length) % offered.length;
        return drawOffers();
      }
      if (key === "Tab" || (key === "Enter" && !exact)) return event.preventDefault(), choose(marked);
      if (key === "Escape") return event.preventDefault(), (offered = []), drawOffers();
    }
    if (key === "Enter" && !event.shiftKey) return event.preventDefault(), submit();
    if (key === "Escape" && !panel.hidden) return event.preventDefault(), toggle(false);
    const first = area.selectionEnd === 0 || !area.value || at >= 0;
    if (key === "ArrowUp" && first) return event.preventDefault(), recall(1);
    if (key === "ArrowDown" && at >= 0) return event.preventDefault(), recall(-1);
    if (key.length === 1 || key === "Backspace") at = -1;
  }

  // -- what was typed before
  const history = () => JSON.parse(localStorage.getItem(HISTORY) ?? "[]");
  function remember(text) {
    const all = [text, ...history().filter((other) => other !== text)].slice(0, 50);
    localStorage.setItem(HISTORY, JSON.stringify(all));
    at = -1;
  }
  function recall(by) {
    const all = history();
    at = Math.max(-1, Math.min(all.length - 1, at + by));
    put(at < 0 ? "" : all[at]);
    area.setSelectionRange(area.value.length, area.value.length);
  }

  // -- options
  function toggle(open) {
    panel.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    if (open) form?.focus();
  }

  function chosenChanged(values) {
    sessionStorage.setItem(CHOSEN, JSON.stringify(values));
    const names = Object.keys(values);
    opener.classList.toggle("on", names.length > 0);
    opener.setAttribute("aria-label", names.length ? `${say("box.options")}, ${say("box.options_set", { n: names.length })}` : say("box.options"));
    chosen.replaceChildren(...names.map((name) => h("span.chip", {}, h("span", { text: title(name) }), h("b", { dir: "auto", text: typeof values[name] === "number" ? (name === "seed" ? String(values[name]) : number(values[name])) : String(values[name]) }))));
    reset.hidden = !names.length;
  }
  const reset = h("button.link", { type: "button", onclick: () => (form?.clear(), form?.focus()) });

  function redraw() {
    area.setAttribute("aria-label", say("box.label"));
    area.placeholder = say("box.placeholder");
    opener.replaceChildren(icon("options"), h("span", { text: say("box.options") }), count);
    go.replaceChildren(icon("send"));
    hint.textContent = say("box.hint");
    reset.textContent = say("box.reset");
    picture.redraw();
    const kept = JSON.parse(sessionStorage.getItem(CHOSEN) ?? "{}");
    const known = Object.fromEntries(Object.entries(kept).filter(([name]) => about.form?.properties?.[name]));
    form = schemaForm(about.form, { initial: known, changed: chosenChanged, extras: { shapes: about.shapes } });
    panel.replaceChildren(h("div.options-head", {}, h("h2", { text: say("box.options") }), reset), form.node);
    chosenChanged(known);
    typed();
  }

  area.addEventListener("input", typed);
  area.addEventListener("paste", (event) => picture.pasted(event));
  picture.dropped(node);
  area.addEventListener("keydown", keys);
  area.addEventListener("blur", () => setTimeout(() => ((offered = []), drawOffers()), 150));
  panel.addEventListener("keydown", (event) => event.key === "Escape" && (toggle(false), area.focus()));
  return { node, put: (text) => (put(text), area.focus()), submit, focus: () => area.focus(), set: (given) => ((about = given), redraw()) };
}
