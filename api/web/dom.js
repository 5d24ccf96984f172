// Elements from plain data. Text is always text: nothing from a file becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return made(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return made(document.createElementNS(SVG, tag), attributes, children);
}

export function box(mood, title, ...children) {
  return el("div", { class: `box ${mood}` }, el("h3", {}, title), ...children);
}

// A table with a caption; columns named in `numbers` are set flush right.
export function tableOf(caption, columns, rows, numbers = [], kind = "scroll") {
  const cell = (tag, i, content, more = {}) =>
    el(tag, { class: numbers.includes(columns[i]) ? "number" : null, ...more }, content);
  const head = el("tr", {}, ...columns.map((column, i) => cell("th", i, column, { scope: "col" })));
  const body = rows.map((row) =>
    el("tr", {}, ...row.map((content, i) => (i ? cell("td", i, content) : cell("th", 0, content, { scope: "row" })))),
  );
  const whole = el("table", {}, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, ...body));
  return el("div", { class: kind, tabindex: "0", role: "region", "aria-label": caption }, whole);
}

// A decimal number for people: groups of three digits, `places` after the point at most, cut and not rounded.
export function grouped(decimal, places = 30) {
  const [whole, fraction = ""] = decimal.split(".");
  const shown = fraction.slice(0, places).replace(/0+$/, "");
  return whole.replace(/\B(?=([0-9]{3})+$)/g, "\u202f") + (shown ? `.${shown}` : "");
}

export function mark(ok, decides = true) {
  return el("strong", { class: ok ? "good" : decides ? "bad" : "note" }, ok ? "ok" : decides ? "FAILS" : "exceeds");
}

// One line per step of an outcome, in the order of `names`; `titles`: what each is, in plain words.
export function stepsOf({ steps, failed, message }, names, titles) {
  return names.map((name) => {
    const done = steps.find((one) => one.name === name);
    if (done) return step(name, titles[name], done.ok ? "ok" : "not checked", done.detail);
    return step(name, titles[name], name === failed ? "failed" : "not reached", name === failed ? message : "");
  });
}

export function step(name, title, outcome, detail) {
  const mood = { ok: "good", failed: "bad" }[outcome] ?? "note";
  const sign = { ok: "✓ ", failed: "✗ " }[outcome] ?? "– ";
  return el("li", { "data-step": name, "data-outcome": outcome },
    el("span", { class: `state ${mood}` }, sign + outcome),
    el("span", {}, `${name.split(" ")[0]}. ${title}`),
    el("span", { class: "detail" }, detail),
  );
}
