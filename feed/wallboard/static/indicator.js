// One indicator of a province: its verdict and why, its history, who reports it, its districts, and its communes by the size of their gap.

import { places, rows } from "./api.js";
import * as names from "./catalogue.js";
import { h, section, show, table } from "./elements.js";
import { communePercent, count, day, interval, minute, number, percent, wholePercent } from "./figures.js";
import { announce, follow } from "./live.js";
import { choose } from "./province.js";
import { bar, kind, KINDS, legend, map, tally, verdict } from "./signs.js";
import { say, setup } from "./words.js";

const HISTORY_MAX = 50;
const COMMUNES_MAX = 500;
const PLACES_MAX = 12;

const main = document.getElementById("main");
const state = { row: null, communes: new Map(), points: new Map(), verdicts: [], province: null };

const head = h("div", { id: "head" });
const where = section("map", say("map"), h("div", {}));
const reporters = section("reporters", say("reporters"), h("div", {}));
const history = section("history", say("history"), h("div", {}));
const districts = section("districts", say("districts"), h("div", {}));
const communes = section("communes", say("communes"), h("div", {}));

async function load() {
  const query = { province: state.province.code, indicator: setup.indicator };
  const [provinces, found, verdicts] = await Promise.all([
    rows("provinces", query),
    places(query),
    rows("verdicts", query),
    names.readNames({ province: state.province.code }),
  ]);
  state.row = provinces.at(-1) ?? null;
  state.communes = new Map(found.map(([row]) => [names.keyOf(row), row]));
  state.points = new Map(found.map(([row, point]) => [row.commune, point]));
  state.verdicts = verdicts;
}

function put(row) {
  if (state.row && (state.row.ratio !== row.ratio || state.row.verdict !== row.verdict)) {
    announce(say("news_ratio", { name: names.nameOf(row.indicator), ratio: percent(row.ratio, row.target) }));
  }
  state.row = row;
}

function apply(name, data) {
  if (name === "province") put(data);
  else if (name === "commune") state.communes.set(names.keyOf(data), data);
  else if (name === "verdict") state.verdicts.push(data);
  else if (name === "removed") {
    state.communes.delete(data.key);
    if (state.row && names.keyOf(state.row) === data.key) state.row = null;
  }
}

function poll(found) {
  const row = found.find((one) => one.indicator === setup.indicator);
  if (row) put(row);
}

function draw() {
  const { row } = state;
  const listed = [...state.communes.values()];
  show(head, row ? headOf(row) : h("p", {}, say("no_rows")));
  show(where.lastChild, listed.length ? [legend(listed), mapOf(listed)] : null);
  show(reporters.lastChild, row ? reportersOf(row) : null);
  show(history.lastChild, historyOf());
  districts.hidden = !listed.some((one) => one.district);
  show(districts.lastChild, districtsOf(listed));
  show(communes.lastChild, communesOf(listed));
}

function mapOf(listed) {
  const bare = listed.filter((one) => !state.points.get(one.commune)).length;
  return [
    map(names.nameOf(setup.indicator), listed, state.points, (code) => {
      location.href = names.communePage(listed.find((one) => one.commune === code), setup.indicator);
    }),
    h("p", { class: "note" }, bare === listed.length ? say("map_no_points", { vintage: listed[0].vintage }) : say("map_where")),
  ];
}

function headOf(row) {
  const about = names.indicator(row.indicator);
  const projection = names.projected(row);
  const facts = [
    [say("ratio"), [h("span", { class: "ratio" }, percent(row.ratio, row.target)), ` ${names.counts(row)}`]],
    [say("interval"), [bar(row), h("span", { class: "interval" }, interval(row))]],
    [say("target"), [names.targetOf(row), row.target === null ? null : `, ${row.target_due ? say("due", { day: day(row.target_due) }) : say("standing")}`, projection ? h("span", { class: "small" }, projection) : null]],
    [say("complete"), [h("span", { class: "complete" }, percent(row.completeness))]],
    [say("remarks"), h("span", { class: "remarks" }, names.remarks(row))],
    [say("definition"), about?.[`definition_${setup.lang}`] ?? "–"],
  ];
  if (names.isOpen(row) || row.acknowledged) facts.splice(1, 0, [say("taken"), names.takenBy(row)]);
  return [
    names.originNote([row]),
    h("p", { class: "judgement" }, verdict(row.verdict), h("span", { class: "because" }, names.because(row))),
    h("dl", { class: "facts" }, facts.map(([term, words]) => h("div", {}, h("dt", {}, term), h("dd", {}, words)))),
  ];
}

function reportersOf(row) {
  const found = Object.entries(row.reporters_due);
  if (!found.length) return h("p", {}, say("reporters_none"));
  return table(
    say("reporters"),
    [say("reporter"), say("report_due"), say("report_state"), say("reliability")],
    found
      .sort(([one], [other]) => (row.reporters_overdue[other] ?? 0) - (row.reporters_overdue[one] ?? 0) || one.localeCompare(other))
      .map(([id, due]) => {
        const late = row.reporters_overdue[id] ?? 0;
        const agreed = row.reliability[id];
        return [
          names.reporterOf(id),
          day(due),
          late ? h("span", { class: "late" }, say("report_overdue", { count: number(late) })) : say("report_fine"),
          agreed ? `${number(agreed[0])} / ${number(agreed[1])}` : "–",
        ];
      }),
  );
}

function historyOf() {
  if (!state.verdicts.length) return h("p", {}, say("history_none"));
  const shown = state.verdicts.slice(-HISTORY_MAX).reverse();
  const judged = (one) => ({ low: one.low, high: one.high, target: one.target });
  return [
    table(
      say("history"),
      [say("when"), say("verdict"), say("ratio"), say("interval"), say("target"), say("cause")],
      shown.map((one) => [
        h("time", { datetime: one.as_of }, minute(one.as_of)),
        verdict(one.to),
        percent(one.ratio, one.target),
        interval(judged(one)),
        one.target === null ? "–" : wholePercent(one.target),
        names.causeOf(one.cause),
      ]),
    ),
    shown.length < state.verdicts.length ? h("p", { class: "note" }, say("history_more", { shown: number(shown.length), count: number(state.verdicts.length) })) : null,
  ];
}

/** Σ w·r of Σ w over some communes, as the province's ratio is made; null where a weight is not known. */
function ratioOf(listed) {
  let [whole, covered] = [0, 0];
  for (const row of listed) {
    if (row.weight === null) return null;
    whole += row.weight;
    covered += row.weight * (row.ratio ?? 0);
  }
  return whole ? covered / whole : null;
}

function districtsOf(listed) {
  const found = new Map();
  for (const row of listed) found.set(row.district, [...(found.get(row.district) ?? []), row]);
  const present = KINDS.filter((one) => listed.some((row) => kind(row) === one));
  return table(
    say("districts"),
    [say("district"), say("ratio"), ...present.map((one) => say(`dot_${one}`))],
    [...found]
      .map(([district, members]) => [district, ratioOf(members), tally(members)])
      .sort((one, other) => (one[1] ?? 2) - (other[1] ?? 2) || one[0].localeCompare(other[0], "vi"))
      .map(([district, ratio, counts]) => [district || say("no_district"), percent(ratio), ...present.map((one) => number(counts[one] ?? 0))]),
  );
}

function communesOf(listed) {
  const base = state.row?.base;
  const mean = listed.reduce((sum, row) => sum + (row.weight ?? 0), 0) / Math.max(1, listed.filter((row) => row.weight !== null).length);
  const gap = (row) => (kind(row) === "na" ? -1 : (row.weight ?? mean) * (1 - (row.ratio ?? 0)));
  // what is missing for certain, what nobody has told, what was told too long ago, then what is in order
  const rank = (row) => (row.state === "unknown" ? 1 : gap(row) > 0 ? 0 : row.state === "stale" ? 2 : 3);
  const order = [...listed].sort((one, other) => rank(one) - rank(other) || gap(other) - gap(one) || one.commune.localeCompare(other.commune));
  const shown = order.slice(0, COMMUNES_MAX);
  return [
    table(
      say("communes"),
      [say("commune"), say("district"), say("covered"), say("ratio"), say("state"), say("uncovered"), say("said_by"), say("observed")],
      shown.map((row) => [
        h("a", { href: names.communePage(row, row.indicator) }, `${row.name} (${row.commune})`),
        row.district || "–",
        row.covered === null ? "–" : `${count(row.covered, base)} / ${number(row.expected)}`,
        h("span", { class: "figure" }, communePercent(row)),
        h("span", { class: `report ${row.state}` }, say(`state_${row.state}`)),
        [placesOf(row), followUps(row)],
        saidBy(row),
        h("span", { class: "figure" }, day(row.observed_at)),
      ]),
    ),
    shown.length < listed.length ? h("p", { class: "note" }, say("communes_more", { shown: number(shown.length), count: number(listed.length) })) : null,
  ];
}

function placesOf(row) {
  const found = row.uncovered ?? [];
  if (!found.length) return row.promised_for || row.challenges_open ? null : "–";
  const more = found.length - PLACES_MAX;
  return found.slice(0, PLACES_MAX).join("; ") + (more > 0 ? ` ${say("places_more", { count: number(more) })}` : "");
}

function followUps(row) {
  return [
    row.promised_for ? h("span", { class: "small" }, say("promised", { day: day(row.promised_for) })) : null,
    row.challenges_open ? h("span", { class: "small" }, say("challenged", { count: number(row.challenges_open) })) : null,
  ];
}

function saidBy(row) {
  const sources = [...new Set(row.statements.map((one) => one.split(" ")[0]))];
  const marks = row.marks.filter((mark) => mark !== row.origin && mark !== "not_applicable");
  const chips = [row.origin && row.origin !== "real" ? h("span", { class: `chip origin ${row.origin}` }, say(`origin_${row.origin}`)) : null, marks.map((mark) => h("span", { class: "chip" }, say(`mark_${mark}`)))];
  return [sources.length ? sources.map(names.reporterOf).join("; ") : "–", " ", chips];
}

show(main, h("p", { class: "loading" }, say("loading")));
state.province = await choose();
document.title = `${document.title} · ${state.province.name}`;
show(main, h("p", { class: "place" }, h("a", { class: "home", href: `/?${new URLSearchParams({ province: state.province.code })}` }, say("wall")), ` › ${state.province.name}`), h("div", { class: "pair" }, h("div", {}, head, reporters, history), where), communes, districts);
follow({ query: { province: state.province.code, indicator: setup.indicator }, load, apply, poll, draw });
