// Elements. Text becomes text nodes and nothing else: what came over the network is never markup.

const SVG = "http://www.w3.org/2000/svg";

// what would turn the letters after it round, or is no letter at all: neither of our languages needs it
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const plain = (child) => (typeof child === "string" ? child.replace(UNSEEN, "") : child);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(plain(child));
  }
  return element;
}

/** An HTML element; an attribute that is a function listens. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Put new content in a region; who had the keyboard on a link there keeps it on the link to the same place. */
export function show(region, ...content) {
  const held = region.contains(document.activeElement) ? document.activeElement : null;
  const place = held && (held.getAttribute("href") || held.id);
  region.replaceChildren(...content.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false && one !== "").map(plain));
  if (place) {
    for (const one of region.querySelectorAll("a[href], button, select")) {
      if ((one.getAttribute("href") || one.id) === place) {
        one.focus({ preventScroll: true });
        break;
      }
    }
  }
}

/** A section with its heading, for screen readers a region of that name. */
export function section(id, title, ...children) {
  return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), ...children);
}

/** A table; `headings`: texts, `rows`: arrays of cells (text, element, list of them), the first of which heads its row. */
export function table(caption, headings, rows) {
  const cell = (content, place) =>
    h(place ? "td" : "th", place ? { role: "cell", "data-label": headings[place] } : { scope: "row", role: "rowheader" }, content);
  return h(
    "table",
    { role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings.map((one) => h("th", { scope: "col", role: "columnheader" }, one)))),
    h("tbody", { role: "rowgroup" }, rows.map((cells) => h("tr", { role: "row" }, cells.map(cell)))),
  );
}
