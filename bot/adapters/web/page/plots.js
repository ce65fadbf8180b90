// Plots as inline SVG, made of nodes: every number in them also stands in a table beside them.

const SVG = "http://www.w3.org/2000/svg";

function s(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children.filter(Boolean));
  return node;
}

/** A round number not below `value` whose half is round too; 1 is the least. */
export function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = power === 1 ? [2, 4, 6, 8, 10] : [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10];
  return steps.map((step) => Math.round(step * power)).find((round) => round >= value);
}

/**
 * Bars on a shared ground. `bars` = [{value, label, title}]; `label` says what it shows to who cannot see it.
 * The drawing is as wide in units as its box is in pixels, so that its letters have one size everywhere.
 */
export function columns(bars, { label, format, tint = "plum", width = 640, every = 1 }) {
  const [left, right, top, bottom, height] = [44, 6, 12, 26, 190];
  const most = ceiling(Math.max(...bars.map((bar) => bar.value), 0));
  const step = (width - left - right) / Math.max(1, bars.length);
  const room = height - top - bottom;
  const y = (value) => top + room * (1 - value / most);
  const lines = (most === 1 ? [0, 1] : [0, 0.5, 1]).map((part) =>
    s("g", { class: "plot-line" }, s("line", { x1: left, x2: width - right, y1: y(most * part), y2: y(most * part) }), text(format(most * part), { x: left - 7, y: y(most * part) + 4, "text-anchor": "end" })),
  );
  const drawn = bars.map((bar, at) => {
    const tall = bar.value > 0 ? Math.max(2, room * (bar.value / most)) : 0;
    const gap = Math.min(6, step * 0.2);
    return s("g", {}, s("title", {}, document.createTextNode(bar.title)), s("rect", { x: left + at * step, y: top, width: step, height: room, class: "plot-ground" }), s("rect", { x: left + at * step + gap / 2, y: top + room - tall, width: Math.max(1, step - gap), height: tall, rx: Math.min(4, step / 4), class: `plot-bar ${tint}` }));
  });
  const names = bars.map((bar, at) => (at % every === 0 ? text(bar.label, { x: left + (at + 0.5) * step, y: height - 7, "text-anchor": "middle" }) : null));
  return s("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...lines, ...drawn, ...names);
}

function text(words, attributes) {
  const node = s("text", attributes);
  node.textContent = words;
  return node;
}
