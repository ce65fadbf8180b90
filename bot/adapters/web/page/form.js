// A form made from a command's JSON schema: what is not touched stays as usual and is not sent.

import { h, icon } from "./dom.js";
import { knows, language, number, say } from "./words.js";

const SHAPES = ["1:1", "3:2", "2:3", "16:9", "9:16"];
const ORDER = ["style", "ar", "n", "model", "no", "steps", "cfg", "seed", "sampler"];
const HIDDEN = ["size", "from", "strength", "source"];

/** Fields of `schema` as a form. `values()` gives what was set; `set(values)` and `clear()` change it. */
export function schemaForm(schema, { initial = {}, changed = () => {}, only = null, extras = {} } = {}) {
  const set = { ...initial };
  const redraws = [];
  const names = Object.keys(schema?.properties ?? {}).filter(
    (name) => !schema.properties[name].words && !HIDDEN.includes(name) && (!only || only.includes(name)) && options(name, schema.properties[name], extras) !== 1,
  );
  names.sort((a, b) => rank(a) - rank(b));
  const put = (name, value) => {
    if (value === "" || value === null || value === undefined) delete set[name];
    else set[name] = value;
    for (const redraw of redraws) redraw();
    changed(set);
  };
  const node = h("div.fields");
  for (const name of names) node.append(field(name, schema.properties[name], set, put, redraws, extras));
  return {
    node,
    values: () => ({ ...set }),
    focus: () => first(node)?.focus(),
    clear: () => {
      for (const name of Object.keys(set)) delete set[name];
      for (const redraw of redraws) redraw();
      changed(set);
    },
  };
}

/** What of it can be reached by Tab: a button that is gone once pressed hands the focus on. */
const first = (node) => (node.matches(FOCUSABLE) ? node : node.querySelector(FOCUSABLE));
const FOCUSABLE = "input, select, textarea, button:not(.unset, [tabindex='-1'])";

/** How many answers there are; with one there is nothing to ask. */
const options = (name, rule, extras) => (rule.enum ? rule.enum.length : rule.pattern?.includes(":") ? (extras.shapes ?? SHAPES).length : 0);

const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);

/** What a person calls an option. */
export const title = (name) => (knows(`option.${name}`) ? say(`option.${name}`) : name);

function field(name, rule, set, put, redraws, extras) {
  const id = `option-${name}-${Math.random().toString(36).slice(2, 7)}`;
  const usual = h("button.unset", { type: "button", title: say("option.usual"), "aria-label": `${title(name)}: ${say("option.usual")}`, onclick: () => (put(name, ""), first(node)?.focus()) }, icon("close"));
  const make = control(name, rule);
  const { node, redraw } = make(id, name, rule, set, put, extras);
  const box = h(`div.field.field-${make.name}`, {}, h("div.field-top", {}, h("label", { for: id, id: `${id}-label`, text: title(name), title: rule.description }), usual), node);
  const mine = () => {
    box.classList.toggle("set", name in set);
    usual.hidden = !(name in set);
    redraw();
  };
  redraws.push(mine);
  mine();
  return box;
}

function control(name, rule) {
  if (rule.enum && rule.enum.length <= 6) return chips;
  if (rule.enum) return select;
  if (rule.pattern?.includes(":")) return shape;
  if (rule.type === "integer" && rule.maximum - rule.minimum < 6) return count;
  if (rule.type === "boolean") return toggle;
  if (["integer", "number"].includes(rule.type) && rule.maximum <= 1000) return range;
  if (["integer", "number"].includes(rule.type)) return whole;
  return words;
}

/** Which way an arrow key goes among radios; undefined for another key. */
export const stepOf = ({ key }) => ({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 })[key];

/** Mutually exclusive buttons, as a radio group. */
function choices(options, id, name, set, put, draw) {
  const buttons = options.map((option) =>
    h("button.choice", { type: "button", role: "radio", onclick: () => put(name, set[name] === option ? "" : option) }, ...draw(option)),
  );
  const move = (event) => {
    const step = stepOf(event);
    if (!step) return;
    event.preventDefault();
    const next = (buttons.indexOf(document.activeElement) + step + options.length) % options.length;
    put(name, options[next]);
    buttons[next].focus();
  };
  const node = h("div.choices", { role: "radiogroup", "aria-labelledby": `${id}-label`, onkeydown: move }, ...buttons);
  const redraw = () =>
    buttons.forEach((button, at) => {
      const on = set[name] === options[at];
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on || (!options.includes(set[name]) && at === 0) ? 0 : -1;
    });
  return { node, redraw };
}

function chips(id, name, rule, set, put) {
  return choices(rule.enum, id, name, set, put, (option) => [h("span", { text: option, dir: "auto" })]);
}

function count(id, name, rule, set, put) {
  const all = Array.from({ length: rule.maximum - rule.minimum + 1 }, (_, at) => rule.minimum + at);
  return choices(all, id, name, set, put, (option) => [String(option)]);
}

function shape(id, name, rule, set, put, extras) {
  return choices(extras.shapes ?? SHAPES, id, name, set, put, (option) => {
    const [wide, high] = option.split(":").map(Number);
    const frame = h("span.shape", { "aria-hidden": "true" });
    const scale = 17 / Math.max(wide, high);
    frame.style.width = `${Math.max(7, wide * scale)}px`;
    frame.style.height = `${Math.max(7, high * scale)}px`;
    return [frame, option];
  });
}

function select(id, name, rule, set, put) {
  const node = h("select", { id, onchange: (event) => put(name, event.target.value) }, h("option", { value: "", text: say("option.usual") }), ...rule.enum.map((option) => h("option", { value: option, text: option })));
  return { node, redraw: () => (node.value = set[name] ?? "") };
}

function toggle(id, name, rule, set, put) {
  const box = h("input", { id, type: "checkbox", onchange: (event) => put(name, event.target.checked || "") });
  const hint = `option.${name}_hint`;
  return { node: h("label.toggle", {}, box, knows(hint) ? h("span", { text: say(hint) }) : null), redraw: () => (box.checked = Boolean(set[name])) };
}

function range(id, name, rule, set, put) {
  const fine = rule.type === "number";
  const slider = h("input", { id, type: "range", min: rule.minimum, max: rule.maximum, step: fine ? 0.5 : 1, oninput: (event) => put(name, Number(event.target.value)) });
  const shown = h("output", { for: id });
  const redraw = () => {
    slider.value = set[name] ?? middle(rule);
    slider.style.setProperty("--part", `${(100 * (slider.value - rule.minimum)) / (rule.maximum - rule.minimum)}%`);
    shown.textContent = name in set ? number(set[name]) : say("option.usual");
    slider.setAttribute("aria-valuetext", shown.textContent);
  };
  return { node: h("div.range", {}, slider, shown), redraw };
}
const middle = (rule) => rule.usual ?? rule.minimum + (rule.maximum - rule.minimum) * 0.2;

function whole(id, name, rule, set, put) {
  const node = h("input", { id, type: "number", inputmode: "numeric", min: rule.minimum, max: rule.maximum, step: 1, placeholder: say("option.any"), onchange: (event) => put(name, event.target.value === "" ? "" : Number(event.target.value)) });
  return { node, redraw: () => (node.value = set[name] ?? "") };
}

function words(id, name, rule, set, put) {
  const node = h("input", { id, type: "text", dir: "auto", maxlength: rule.maxLength, autocomplete: "off", lang: language, oninput: (event) => put(name, event.target.value) });
  return { node, redraw: () => node.value !== (set[name] ?? "") && (node.value = set[name] ?? "") };
}
