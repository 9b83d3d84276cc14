// The overview: every indicator of a province, what is missing, what has changed, who has taken what; on a wall and on a phone.

import { places, rows } from "./api.js";
import * as names from "./catalogue.js";
import { h, section, show } from "./elements.js";
import { day, interval, minute, number, percent, wholePercent } from "./figures.js";
import { announce, follow } from "./live.js";
import { choose } from "./province.js";
import { bar, legend, map, origin, verdict } from "./signs.js";
import { say, setup } from "./words.js";

const CHANGES_MAX = 3;
const NAMED_MAX = 5; // communes named for each indicator
const LISTED_MAX = 4; // indicators whose missing communes are named
const LATE_MAX = 3; // reporters named
const FEW = 8; // so many rows leave room for larger letters
const FRESH_MS = 60_000; // how long a row that changed stands out

const main = document.getElementById("main");
const title = document.getElementById("title");
const state = { province: null, rows: new Map(), gaps: new Map(), verdicts: [], mapped: null, communes: new Map(), points: new Map(), changed: new Map() };

const summary = h("div", { id: "summary" });
const board = section("indicators", say("indicators"), h("div", {}));
const where = section("map", say("map"), h("div", { class: "choice" }), h("div", { class: "drawing" }));
const missing = section("missing", say("missing"), h("div", {}));
const late = section("late", say("late"), h("div", {}));
const changes = section("changes", say("changes"), h("div", {}));

function ordered() {
  return [...state.rows.values()].sort(names.bySeverity);
}

async function load() {
  const province = state.province.code;
  const [provinces, gaps, verdicts] = await Promise.all([
    rows("provinces", { province }),
    rows("gaps", { province, state: ["fresh", "stale"] }),
    rows("verdicts", { province }),
    names.readNames({ province }),
  ]);
  state.rows = new Map(provinces.map((row) => [names.keyOf(row), row]));
  state.gaps = new Map(gaps.map((row) => [names.keyOf(row), row]));
  state.verdicts = verdicts.slice(-CHANGES_MAX * 4);
  await loadMap(state.mapped ?? ordered().find(names.known)?.indicator ?? provinces[0]?.indicator);
}

async function loadMap(indicator) {
  state.mapped = indicator ?? null;
  if (!indicator) return;
  const found = await places({ province: state.province.code, indicator });
  if (state.mapped !== indicator) return; // another was chosen meanwhile
  state.communes = new Map(found.map(([row]) => [names.keyOf(row), row]));
  for (const [row, point] of found) state.points.set(row.commune, point);
}

function put(row) {
  const key = names.keyOf(row);
  const before = state.rows.get(key);
  state.rows.set(key, row);
  if (before && (before.ratio !== row.ratio || before.verdict !== row.verdict || before.low !== row.low || before.high !== row.high)) {
    state.changed.set(key, performance.now());
    setTimeout(draw, FRESH_MS);
    announce(say("news_ratio", { name: names.nameOf(row.indicator), ratio: percent(row.ratio, row.target) }));
  }
}

function apply(name, data) {
  if (name === "province") put(data);
  else if (name === "commune") {
    const key = names.keyOf(data);
    if (names.isGap(data) && data.state !== "unknown") state.gaps.set(key, data);
    else state.gaps.delete(key);
    if (data.indicator === state.mapped) state.communes.set(key, data);
  } else if (name === "verdict") {
    state.verdicts.push(data);
    state.verdicts.splice(0, state.verdicts.length - CHANGES_MAX * 4);
    const said = (one) => (one ? say(`verdict_${one}`) : "–");
    announce(say("news_verdict", { name: names.nameOf(data.indicator), from: said(data.from), to: said(data.to) }));
  } else if (name === "removed") {
    for (const held of [state.rows, state.gaps, state.communes]) held.delete(data.key);
  }
}

function poll(found) {
  const listed = new Set(found.map(names.keyOf));
  for (const key of state.rows.keys()) if (!listed.has(key)) state.rows.delete(key);
  for (const row of found) put(row);
}

function draw() {
  const all = ordered();
  show(summary, names.originNote(all), counts(all));
  const [told, quiet] = [all.filter(names.known), all.filter((row) => !names.known(row))];
  show(board.lastChild, told.length ? indicatorTable(told) : null, quiet.length ? quietList(quiet) : null, all.length ? null : h("p", {}, say("no_rows")));
  drawMap(all);
  show(missing.lastChild, missingLists(told));
  show(late.lastChild, lateList(all));
  show(changes.lastChild, changeList());
}

/** How many of each verdict, and how many are open: what is read from the other end of the room. */
function counts(all) {
  const verdicts = ["missed", "uncertain", "not_yet", "met", "no_target"];
  const items = verdicts
    .map((one) => [one, all.filter((row) => row.verdict === one).length])
    .filter(([, many]) => many)
    .map(([one, many]) => h("li", { class: one }, h("span", { class: "many" }, number(many)), " ", verdict(one)));
  const open = all.filter(names.isOpen);
  const untaken = open.filter((row) => !row.acknowledged).length;
  if (open.length) {
    const words = [h("span", { class: "many" }, number(open.length)), ` ${say("open_count")}`];
    if (untaken) words.push(h("span", { class: "chip untaken" }, `${number(untaken)} ${say("open_untaken")}`));
    items.push(h("li", { class: "open" }, words));
  }
  return h("ul", { class: "counts", "aria-label": say("summary") }, items);
}

function indicatorTable(told) {
  const headings = ["verdict", "indicator", "ratio", "interval", "target", "complete"].map((one) => say(one));
  const now = performance.now();
  const lines = told.map((row) => {
    const key = names.keyOf(row);
    const projection = row.projection && (row.projection.reached_at === null ? say("projected_never") : say("projected", { day: day(row.projection.reached_at) }));
    const overdue = Object.keys(row.reporters_overdue).length > 0;
    return h(
      "tr",
      { role: "row", "data-key": key, "data-indicator": row.indicator, class: `${row.verdict}${now - (state.changed.get(key) ?? -FRESH_MS) < FRESH_MS ? " changed" : ""}` },
      h("td", { role: "cell", "data-label": headings[0] }, verdict(row.verdict)),
      h(
        "th",
        { role: "rowheader", scope: "row" },
        h("a", { href: names.indicatorPage(row.indicator, row.province) }, names.nameOf(row.indicator)),
        h("span", { class: "remarks" }, names.takenBy(row), names.worries(row)),
      ),
      h("td", { role: "cell", "data-label": headings[2] }, h("span", { class: "ratio" }, percent(row.ratio, row.target)), " ", origin(row.origin), h("span", { class: "small" }, names.counts(row))),
      h("td", { role: "cell", "data-label": headings[3] }, bar(row), h("span", { class: "small interval" }, interval(row))),
      h(
        "td",
        { role: "cell", "data-label": headings[4] },
        row.target === null ? "–" : h("span", { class: "target" }, wholePercent(row.target)),
        row.target_due && h("span", { class: "small" }, say("due", { day: day(row.target_due) })),
        projection && h("span", { class: "small" }, projection),
      ),
      h(
        "td",
        { role: "cell", "data-label": headings[5] },
        h("span", { class: "complete" }, percent(row.completeness)),
        overdue && h("span", { class: "small overdue" }, say("overdue_short")),
      ),
    );
  });
  return h(
    "table",
    { role: "table", class: told.length <= FEW ? "board few" : "board" },
    h("caption", { class: "unseen" }, say("indicators")),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, headings.map((one) => h("th", { role: "columnheader", scope: "col" }, one)))),
    h("tbody", { role: "rowgroup" }, lines),
  );
}

/** Indicators of which nothing is known: a line, not a row of noughts each. */
function quietList(quiet) {
  return h(
    "div",
    { class: "quiet" },
    h("h3", {}, `${say("quiet")}: ${say("quiet_count", { count: number(quiet.length) })}`),
    h(
      "ul",
      {},
      quiet.map((row) =>
        h(
          "li",
          { "data-indicator": row.indicator },
          row.target === null ? null : verdict(row.verdict),
          h("a", { href: names.indicatorPage(row.indicator, row.province) }, names.nameOf(row.indicator)),
          row.target === null ? null : ` (${say("target").toLowerCase()} ${wholePercent(row.target)})`,
        ),
      ),
    ),
  );
}

function drawMap(all) {
  const choice = where.querySelector(".choice");
  const options = all.map((row) => h("option", { value: row.indicator, selected: row.indicator === state.mapped }, names.nameOf(row.indicator)));
  const list = options.map((one) => `${one.value} ${one.selected} ${one.textContent}`).join("\n");
  // an open list of choices is left alone
  if (choice.dataset.list !== list) {
    choice.dataset.list = list;
    const change = async (event) => {
      await loadMap(event.target.value).catch(() => {}); // that the tables cannot be read is said by the pulse
      draw();
    };
    show(choice, h("label", {}, h("span", { class: "unseen" }, say("map_indicator")), h("select", { id: "mapped", change }, options)));
  }
  const communes = [...state.communes.values()];
  const bare = communes.filter((row) => !state.points.get(row.commune)).length;
  const note = !bare
    ? say("map_where")
    : bare === communes.length
      ? say("map_no_points", { vintage: communes[0].vintage })
      : say("map_some_points", { count: number(bare) });
  show(
    where.querySelector(".drawing"),
    communes.length
      ? [
          legend(communes),
          map(names.nameOf(state.mapped), communes, state.points, (code) => {
            location.href = names.communePage(communes.find((row) => row.commune === code), state.mapped);
          }),
          h("p", { class: "note" }, note),
        ]
      : null,
  );
}

/** The communes behind the gaps, by name: of the gravest verdicts first. */
function missingLists(told) {
  const lists = told
    .map((row) => [row, [...state.gaps.values()].filter((gap) => gap.indicator === row.indicator)])
    .filter(([row, gaps]) => gaps.length && row.verdict !== "met")
    .slice(0, LISTED_MAX)
    .map(([row, gaps]) => {
      const weight = (gap) => (gap.weight ?? 0) * (1 - (gap.ratio ?? 0));
      gaps.sort((one, other) => weight(other) - weight(one) || one.commune.localeCompare(other.commune));
      return h(
        "li",
        { "data-indicator": row.indicator },
        h("a", { class: "head", href: `${names.indicatorPage(row.indicator, row.province)}#communes` }, names.nameOf(row.indicator)),
        h(
          "span",
          { class: "small" },
          ` ${say("missing_count", { count: number(gaps.length) })}`,
          row.units.unknown ? `, ${say("missing_unknown", { count: number(row.units.unknown) })}` : "",
        ),
        h(
          "ul",
          {},
          gaps.slice(0, NAMED_MAX).map((gap) =>
            h(
              "li",
              {},
              h("a", { href: names.communePage(gap, gap.indicator) }, gap.name),
              gap.state === "stale" ? ` (${say("state_stale")})` : gap.ratio > 0 ? ` ${percent(gap.ratio)}` : "",
            ),
          ),
          gaps.length > NAMED_MAX ? h("li", { class: "small" }, say("missing_more", { count: number(gaps.length - NAMED_MAX) })) : null,
        ),
      );
    });
  return lists.length ? h("ul", { class: "gaps" }, lists) : h("p", {}, say("missing_none"));
}

/** Who owes reports: most of them first. */
function lateList(all) {
  const owed = new Map();
  for (const row of all) {
    for (const [id, communes] of Object.entries(row.reporters_overdue)) {
      const one = owed.get(id) ?? { id, communes: 0, rows: [], since: row.reporters_due[id] };
      one.communes += communes;
      one.rows.push([communes, row]);
      if (Date.parse(row.reporters_due[id]) < Date.parse(one.since)) one.since = row.reporters_due[id];
      owed.set(id, one);
    }
  }
  if (!owed.size) return h("p", {}, say("late_none"));
  const reporters = [...owed.values()].sort((one, other) => other.communes - one.communes || one.id.localeCompare(other.id));
  return h(
    "ul",
    { class: "gaps" },
    reporters.slice(0, LATE_MAX).map(({ id, communes, rows: about, since }) => {
      about.sort(([one], [other]) => other - one);
      return h(
        "li",
        { "data-reporter": id },
        h("a", { class: "head", href: `${names.indicatorPage(about[0][1].indicator, about[0][1].province)}#reporters` }, names.reporterOf(id)),
        h("span", { class: "small" }, ` ${say("late_count", { reports: number(communes), indicators: number(about.length), day: day(since) })}`),
      );
    }),
    reporters.length > LATE_MAX ? h("li", { class: "small" }, say("late_more", { count: number(reporters.length - LATE_MAX) })) : null,
  );
}

function changeList() {
  // the first verdict of a key is no change
  const shown = state.verdicts.filter((one) => one.from !== null).slice(-CHANGES_MAX).reverse();
  if (!shown.length) return h("p", {}, say("changes_none"));
  return h(
    "ol",
    { class: "changes" },
    shown.map((one) =>
      h(
        "li",
        {},
        h("span", { class: "small" }, h("time", { datetime: one.as_of }, minute(one.as_of)), ` · ${names.causeOf(one.cause)}`),
        h("a", { href: `${names.indicatorPage(one.indicator, one.province)}#history` }, names.nameOf(one.indicator)),
        h("span", { class: "step" }, verdict(one.from), h("span", { "aria-hidden": "true" }, "→"), verdict(one.to)),
      ),
    ),
  );
}


show(main, h("p", { class: "loading" }, say("loading")));
state.province = await choose();
title.textContent = state.province.name;
document.title = `${state.province.name} · ${setup.words.brand}`;
show(main, summary, h("div", { class: "columns" }, board, missing, late, where, changes));
follow({ query: { province: state.province.code }, load, apply, poll, draw });
