// Building the page. Everything people typed goes in as text nodes; there is no markup from strings anywhere.

/** h("div.card", {title: "x", onclick: f}, child, …): an element. Children are nodes, strings, or nothing. */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name in PROPERTIES) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
const PROPERTIES = { value: 1, checked: 1, disabled: 1, hidden: 1, tabIndex: 1 };

const PATHS = {
  chat: ["M4 5.5A2.5 2.5 0 0 1 6.500 3h11A2.500 2.500 0 0 1 20 5.500v8a2.500 2.500 0 0 1-2.500 2.500H11l-5 4.500V16A2 2 0 0 1 4 14z"],
  gallery: ["M3.500 4h7.500v7H3.500zM13 4h7.500v7H13zM3.500 13H11v7H3.500zM13 13h7.500v7H13z"],
  queue: ["M4 6h10M4 12h16M4 18h7"],
  quota: ["M12 3a9 9 0 1 0 9 9", "M12 7.500v4.500l3.500 2", "M16 3.900A9 9 0 0 1 20.200 8.200"],
  settings: ["M4 7h8M17 7h3M4 17h3M12 17h8", "M14.500 9.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM9.500 19.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z"],
  send: ["M12 20V5M5.500 11 12 4.500 18.500 11"],
  options: ["M5 8h14M8 8v0M5 16h14", "M9 10.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM15 18.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z"],
  again: ["M20 11.500A8 8 0 1 0 18 17.300", "M20.500 5.500v6h-6"],
  edit: ["M4 20l1-4.500L16.500 4a2.100 2.100 0 0 1 3 3L8.500 19z", "M14 6.500l3 3"],
  details: ["M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13z", "M15.500 15.500 20.500 20.500"],
  star: ["M12 3.500l2.700 5.600 6.100.8-4.500 4.200 1.100 6.100L12 17.300 6.600 20.200l1.100-6.100L3.200 9.900l6.100-.8z"],
  trash: ["M4 6.500h16M9.500 6V4h5v2M6 6.500l1 13.500h10l1-13.500M10 10.500v6M14 10.500v6"],
  picture: ["M4 4.500h16v15H4z", "M4 16l4.500-5 4 4.500 3-3 4.500 4.500", "M15.500 9.500a1.200 1.200 0 1 0 0-2.400 1.200 1.200 0 0 0 0 2.400z"],
  lock: ["M6 10.500h12V20H6z", "M8.500 10.500V8a3.500 3.500 0 0 1 7 0v2.500"],
  close: ["M5.500 5.500l13 13M18.500 5.500l-13 13"],
  back: ["M14.500 5 7.500 12l7 7"],
  forward: ["M9.500 5l7 7-7 7"],
  download: ["M12 4v11M6.500 10 12 15.500 17.500 10M4.500 20h15"],
  copy: ["M9 9h11v11H9z", "M15 9V4H4v11h5"],
  check: ["M4.500 12.500l5 5L19.500 7"],
  light: ["M12 16.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9z", "M12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400"],
  dark: ["M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z"],
  bigger: ["M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7"],
  leave: ["M14 4h-9v16h9M10 12h11M17 8l4 4-4 4"],
  warn: ["M12 3.500 22 20.500H2z", "M12 10v5M12 17.700v.1"],
  chart: ["M4 20V4", "M4 20h16.500", "M8.500 16.500v-5M13 16.500V7M17.500 16.500v-7"],
  book: ["M5 4h12.500a1.500 1.500 0 0 1 1.500 1.500V20H6.500A1.500 1.500 0 0 1 5 18.500z", "M9 8.500h6M9 12h6"],
  flag: ["M6 21V4M6 4.500h11.500l-2.500 4 2.500 4H6"],
  shield: ["M12 3l7.500 3v5.500c0 4.500-3 8-7.500 9.500-4.500-1.500-7.500-5-7.500-9.500V6z", "M9 12l2.300 2.300L15.500 10"],
  clock: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 7v5.500l3.500 2"],
  bolt: ["M13 3 5 13.500h6L10.500 21 19 10.500h-6.500z"],
  eye: ["M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12z", "M12 14.700a2.700 2.700 0 1 0 0-5.400 2.700 2.700 0 0 0 0 5.400z"],
  cover: ["M3 12s3.500-6.500 9-6.500S21 12 21 12s-3.500 6.500-9 6.500S3 12 3 12z", "M4.500 4.500l15 15"],
  pause: ["M8.500 5.500v13M15.500 5.500v13"],
  play: ["M7.500 5l11 7-11 7z"],
  search: ["M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13z", "M15.500 15.500 20.500 20.500"],
  wand: ["M4.500 19.500 14 10", "M16.500 3.500v4M14.500 5.500h4M19.500 11v3M18 12.500h3M8.500 4v3M7 5.500h3"],
  hand: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 7.500v5.500M12 16.300v.1"],
};
const SVG = "http://www.w3.org/2000/svg";

/** One of our own line icons: they look the same on every machine, emoji fonts or not. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  for (const d of PATHS[name] ?? []) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Say something to a screen reader. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** A short note at the edge of the page; `actions` are [label, what it does]. */
export function toast(text, tone = "plain", actions = []) {
  const note = h(`div.toast.${tone}`, {}, h("span", { text, dir: "auto" }), ...actions.map(([label, act]) => h("button", { type: "button", text: label, onclick: () => (note.remove(), act()) })));
  document.getElementById("toasts").append(note);
  const held = () => note.matches(":hover, :focus-within");
  const go = () => (held() ? setTimeout(go, 1000) : note.remove()); // whoever is about to press it has the time
  setTimeout(go, actions.length ? 7000 : 4500);
}

/** Copy text; true when it worked (plain http on another machine has no clipboard). */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = h("textarea.unseen", { value: text, readonly: true });
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

/** Replace a node's children only when `key` changed: no flicker, no lost focus. */
export function fill(node, key, make) {
  const text = JSON.stringify(key);
  if (node.dataset.key === text) return;
  node.dataset.key = text;
  node.replaceChildren(...[make()].flat().filter(Boolean));
}

const ROWS = "article, li, tr, nav, form, .rail-foot, .tabs, .choices";
const controls = (row) => [...row.querySelectorAll("a[href], button, input, select, summary")];
const nameOf = (row) => row.getAttribute("aria-label") ?? (row.matches("li, tr") ? row.textContent : row.className);

/**
 * Make something under `root` anew and leave the focus of whoever stands in it where it was: on the control in the
 * same place of the same row, never on one of another; when that row is gone, on `root` itself.
 */
export function keepFocus(root, remake) {
  const held = document.activeElement;
  const inside = root.contains(held) && held !== root;
  const row = inside ? held.closest(ROWS) : null;
  const spot = row && [nameOf(row), controls(row).indexOf(held)];
  remake();
  if (!inside || root.contains(document.activeElement)) return;
  const found = spot && [...root.querySelectorAll(ROWS)].find((each) => nameOf(each) === spot[0]);
  const there = found && controls(found)[spot[1]];
  if (!there) root.tabIndex = -1;
  (there ?? root).focus({ preventScroll: true });
}
