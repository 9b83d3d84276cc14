// What is drawn: a verdict's sign, an interval, a commune's sign, the map. Each differs in shape, not in colour alone, and has its words.

import { h, s } from "./elements.js";
import { number, percent, wholePercent } from "./figures.js";
import { say } from "./words.js";

const VERDICT_SHAPES = {
  // octagon with a cross
  missed: [["path", { class: "body", d: "M7 1h10l6 6v10l-6 6H7l-6-6V7z" }], ["path", { class: "mark", d: "M7.500 7.500l9 9m0-9l-9 9" }]],
  // diamond with a question
  uncertain: [
    ["path", { class: "body", d: "M12 0l12 12-12 12L0 12z" }],
    ["path", { class: "mark", d: "M8.800 9.400a3.200 3.200 0 1 1 4.600 2.900c-1 .5-1.400 1-1.400 2.200m0 3.200v.4" }],
  ],
  // square with hands of a clock
  not_yet: [["rect", { class: "body", x: 1, y: 1, width: 22, height: 22, rx: 3 }], ["path", { class: "mark", d: "M12 5v7l5 4" }]],
  // disc with a tick
  met: [["circle", { class: "body", cx: 12, cy: 12, r: 11 }], ["path", { class: "mark", d: "M6.500 12.500l4 4 7-8" }]],
  // ring with a dash
  no_target: [["circle", { class: "body", cx: 12, cy: 12, r: 10.5 }], ["path", { class: "mark", d: "M7 12h10" }]],
};

/** A verdict in shape, colour and words. */
export function verdict(name) {
  const shape = s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, VERDICT_SHAPES[name].map(([tag, attributes]) => s(tag, attributes)));
  return h("span", { class: `verdict ${name}` }, shape, h("span", { class: "word" }, say(`verdict_${name}`)));
}

/** An origin that is not real, as a chip; nothing for real. */
export function origin(name) {
  return name && name !== "real" ? h("span", { class: `chip origin ${name}` }, say(`origin_${name}`)) : null;
}

const share = (value) => `${(value * 100).toFixed(3)}%`;

/** low – high drawn on 0 to 100 %, with the ratio and the target; its words are its label. */
export function bar(row) {
  if (row.low === null) return h("span", { class: "none" }, say("interval_none"));
  const words = [say("interval_words", { low: percent(row.low, row.target), high: percent(row.high, row.target) })];
  if (row.target !== null) words.push(say("interval_target", { target: wholePercent(row.target) }));
  return s(
    "svg",
    { class: `bar ${row.verdict}`, role: "img", "aria-label": words.join(", ") },
    s("rect", { class: "track", x: 0, y: 7, width: "100%", height: 14, rx: 3 }),
    s("rect", { class: "proven", x: 0, y: 7, width: share(row.low), height: 14, rx: 3 }),
    s("rect", { class: "open", x: share(row.low), y: 9, width: share(row.high - row.low), height: 10 }),
    row.ratio !== null && s("rect", { class: "at", x: share(row.ratio), y: 3, width: 4, height: 22, transform: "translate(-2)" }),
    row.target !== null && s("svg", { x: share(row.target), y: 0, overflow: "visible" }, s("path", { class: "goal", d: "M0 28V6M-6 0h12L0 8z" })),
  );
}

/** What a commune's row amounts to on the map: full, part, none, stale, unknown, na. */
export function kind(row) {
  if (row.marks.includes("not_applicable") || row.weight === 0) return "na";
  if (row.state !== "fresh") return row.state;
  return row.ratio >= 1 ? "full" : row.ratio > 0 ? "part" : "none";
}

export const KINDS = ["none", "part", "stale", "unknown", "full", "na"];

const KIND_SHAPES = {
  full: () => [s("circle", { r: 5 })],
  part: () => [s("path", { d: "M0-7L7 0 0 7-7 0z" }), s("path", { class: "half", d: "M0-7V7L-7 0z" })],
  none: () => [s("rect", { x: -6.5, y: -6.5, width: 13, height: 13 }), s("path", { class: "cross", d: "M-3.500-3.500l7 7m0-7l-7 7" })],
  stale: () => [s("path", { d: "M0-6.500L6.500 5h-13z" })],
  unknown: () => [s("circle", { r: 4.5 })],
  na: () => [s("path", { d: "M-4 0h8" })],
};

function sign(row, x, y, scale) {
  const name = kind(row);
  const words = `${row.name}${row.district ? `, ${row.district}` : ""}: ${say(`dot_${name}`)}${name === "part" || name === "stale" ? ` (${percent(row.ratio)})` : ""}`;
  return s(
    "g",
    { class: `sign ${name}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${scale})`, "data-commune": row.commune },
    s("title", {}, words),
    KIND_SHAPES[name](),
  );
}

/** How many communes are of each kind, and the sign of each. */
export function legend(communes) {
  const counts = tally(communes);
  return h(
    "ul",
    { class: "legend" },
    KINDS.filter((name) => counts[name]).map((name) =>
      h(
        "li",
        {},
        s("svg", { viewBox: "-9 -9 18 18", "aria-hidden": "true" }, s("g", { class: `sign ${name}` }, KIND_SHAPES[name]())),
        `${say(`dot_${name}`)}: ${number(counts[name])}`,
      ),
    ),
  );
}

export function tally(communes) {
  const counts = {};
  for (const row of communes) counts[kind(row)] = (counts[kind(row)] ?? 0) + 1;
  return counts;
}

const WIDTH = 320;
const EDGE = 10;

/** Every commune as a sign: at its point, or, where the list has no points, as a tile under its district. */
export function map(name, communes, points, open) {
  const counts = tally(communes);
  const label = say("map_label", {
    name,
    counts: KINDS.filter((one) => counts[one])
      .map((one) => `${say(`dot_${one}`)} ${counts[one]}`)
      .join(", "),
  });
  const placed = communes.filter((row) => points.get(row.commune));
  const others = communes.filter((row) => !points.get(row.commune));
  const [dots, depth] = placed.length ? atPoints(placed, points) : [[], 0];
  const [tiles, height] = inTiles(others, depth);
  return s(
    "svg",
    {
      class: "map",
      viewBox: `0 0 ${WIDTH} ${Math.ceil(height)}`,
      role: "img",
      "aria-label": label,
      click: (event) => {
        const code = event.target.closest("[data-commune]")?.getAttribute("data-commune");
        if (code) open(code);
      },
    },
    dots,
    tiles,
  );
}

function atPoints(placed, points) {
  const all = placed.map((row) => points.get(row.commune));
  const [west, east] = [Math.min(...all.map((one) => one[0])), Math.max(...all.map((one) => one[0]))];
  const [south, north] = [Math.min(...all.map((one) => one[1])), Math.max(...all.map((one) => one[1]))];
  // a degree of longitude is shorter, the further from the equator
  const narrow = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const scale = Math.min((WIDTH - 2 * EDGE) / Math.max((east - west) * narrow, 0.01), 470 / Math.max(north - south, 0.01));
  const left = (WIDTH - (east - west) * narrow * scale) / 2;
  // what is missing lies on top
  const order = [...placed].sort((one, other) => KINDS.indexOf(kind(other)) - KINDS.indexOf(kind(one)));
  const dots = order.map((row) => {
    const [longitude, latitude] = points.get(row.commune);
    return sign(row, left + (longitude - west) * narrow * scale, EDGE + (north - latitude) * scale, kind(row) === "full" ? 0.9 : 1.1);
  });
  return [dots, 2 * EDGE + (north - south) * scale];
}

const TILE = 20;

function inTiles(communes, top) {
  const districts = new Map();
  for (const row of communes) districts.set(row.district, [...(districts.get(row.district) ?? []), row]);
  const wide = Math.floor((WIDTH - EDGE) / TILE);
  const drawn = [];
  let y = top;
  for (const [district, members] of [...districts].sort(([one], [other]) => one.localeCompare(other, "vi"))) {
    drawn.push(s("text", { class: "district", x: EDGE / 2, y: y + 15 }, district || say("no_district")));
    y += 22;
    members.sort((one, other) => KINDS.indexOf(kind(one)) - KINDS.indexOf(kind(other)) || one.commune.localeCompare(other.commune));
    members.forEach((row, place) => {
      drawn.push(sign(row, EDGE / 2 + TILE / 2 + (place % wide) * TILE, y + TILE / 2 + Math.floor(place / wide) * TILE, 1));
    });
    y += Math.ceil(members.length / wide) * TILE + 6;
  }
  return [drawn, y];
}

