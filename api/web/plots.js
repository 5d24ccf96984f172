// Two kinds of plots, as inline SVG. Beside each stands a table or a list with the same numbers.
import { el, svg } from "./dom.js";

const WIDTH_PX = 400;
const HEIGHT_PX = 210;
const LEFT = 58;
const BOTTOM = 28;
const SUFFIXES = ["", "k", "M", "G", "T", "P", "E"];

// 1234567 is "1.23M".
export function short(number) {
  let rank = 0;
  let rest = Math.abs(number);
  while (rest >= 1000 && rank < SUFFIXES.length - 1) {
    rest /= 1000;
    rank += 1;
  }
  return `${number < 0 ? "-" : ""}${String(Number(rest.toPrecision(3)))}${SUFFIXES[rank]}`;
}

// A tick's label: as many digits as tell it from the next one.
function tickLabel(value, step) {
  if (Math.abs(value) < 1000) return String(Number(value.toFixed(Math.max(0, 1 - Math.floor(Math.log10(step))))));
  let rank = Math.min(Math.floor(Math.log10(Math.abs(value)) / 3), SUFFIXES.length - 1);
  while (rank > 0 && step / 1000 ** rank < 0.001) rank -= 1;
  return `${Number((value / 1000 ** rank).toFixed(3))}${SUFFIXES[rank]}`;
}

function niceStep(span) {
  const raw = Math.max(span, 1e-9) / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  return size * ([1, 2, 2.5, 5].find((step) => size * step >= raw) ?? 10);
}

function figure(title, summary, picture, legend) {
  const items = legend.map(([kind, name]) => el("li", { class: kind }, name));
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `${title}. ${summary}`);
  return el("figure", {}, el("figcaption", {}, title), items.length > 1 ? el("ul", { class: "legend" }, ...items) : "", picture);
}

// Lines over publications. `lines`: [{name, values: [number or null]}], one value per label.
export function linePlot(title, labels, lines, unit) {
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  if (!values.length) return null;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const step = niceStep(most - least || Math.abs(most) || 1);
  const low = Math.floor(least / step) * step;
  const high = Math.max(Math.ceil(most / step) * step, low + step);
  const x = (i) => LEFT + ((i + 0.5) * (WIDTH_PX - LEFT - 8)) / labels.length;
  const y = (value) => HEIGHT_PX - BOTTOM - ((value - low) / (high - low)) * (HEIGHT_PX - BOTTOM - 12);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH_PX} ${HEIGHT_PX}` });
  for (let tick = low; tick <= high + step / 2; tick += step) {
    picture.append(svg("line", { class: "axis", x1: LEFT, x2: WIDTH_PX - 4, y1: y(tick), y2: y(tick) }));
    picture.append(svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, tickLabel(tick, step) + (unit === "%" ? " %" : "")));
  }
  const every = Math.ceil(labels.length / 8);
  labels.forEach((label, i) => {
    if (i % every === 0) picture.append(svg("text", { x: x(i), y: HEIGHT_PX - 8, "text-anchor": "middle" }, label));
  });
  const kinds = ["one", "two"];
  lines.forEach((line, n) => {
    const points = line.values.flatMap((value, i) => (value === null ? [] : [[x(i), y(value)]]));
    picture.append(svg("polyline", { class: `line-${kinds[n]}`, points: points.map((p) => p.join(",")).join(" ") }));
    for (const [cx, cy] of points) picture.append(svg("circle", { class: `dot-${kinds[n]}`, cx, cy, r: 3.5 }));
  });
  const last = lines.map((line) => `${line.name}: ${line.values.map((v) => (v === null ? "none" : short(v))).join(", ")} ${unit}`);
  return figure(title, last.join("; "), picture, lines.map(({ name }, n) => [kinds[n], name]));
}

// Pairs of bars with the fund as a mark. `rows`: [{name, first, second, fund}], numbers.
export function barPlot(title, rows, legend, unit) {
  const most = Math.max(...rows.flatMap(({ first, second, fund }) => [first, second, fund]), 1e-9);
  const pitch = 46;
  const height = rows.length * pitch + 24;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH_PX} ${height}` });
  const length = (value) => (value / most) * (WIDTH_PX - 72);
  rows.forEach(({ name, first, second, fund }, i) => {
    const top = i * pitch;
    picture.append(svg("text", { x: 0, y: top + 13 }, name));
    [first, second].forEach((value, n) => {
      const at = top + 19 + 11 * n;
      picture.append(svg("rect", { class: `bar-${["one", "two"][n]}`, x: 0, y: at, width: length(value), height: 9 }));
      picture.append(svg("text", { x: length(value) + 6, y: at + 9 }, short(value)));
    });
    const at = length(fund);
    picture.append(svg("line", { class: "mark", x1: at, x2: at, y1: top + 17, y2: top + 41 }));
  });
  picture.append(svg("text", { x: 0, y: height - 6 }, `in ${unit}`));
  const summary = rows.map((r) => `${r.name}: ${short(r.first)}, ${short(r.second)}, fund ${short(r.fund)}`).join("; ");
  return figure(title, summary, picture, legend);
}
