// One commune of one list: every indicator, and on demand the evidence of one figure.

import { evidence, rows } from "./api.js";
import * as names from "./catalogue.js";
import { h, section, show, table } from "./elements.js";
import { communePercent, count, day, interval, minute, number } from "./figures.js";
import { announce, follow } from "./live.js";
import { origin } from "./signs.js";
import { lang, say, setup } from "./words.js";

const main = document.getElementById("main");
const state = { rows: new Map(), line: [], province: null, asked: new URLSearchParams(location.search).get("indicator") };

const head = h("div", { id: "head" });
const board = section("figures", say("commune_rows"), h("div", {}));
const why = h("section", { id: "evidence", "aria-labelledby": "evidence-title", hidden: true });
const line = section("line", say("line"), h("div", {}));

async function load() {
  const query = { commune: setup.commune, vintage: setup.vintage };
  const [found, before] = await Promise.all([rows("communes", query), rows("successions", query), names.readNames({})]);
  state.rows = new Map(found.map((row) => [names.keyOf(row), row]));
  state.line = before;
}

function apply(name, data) {
  if (name === "removed") state.rows.delete(data.key);
  if (name !== "commune" || data.commune !== setup.commune) return;
  const before = state.rows.get(names.keyOf(data));
  state.rows.set(names.keyOf(data), data);
  if (before && before.ratio !== data.ratio) announce(say("news_ratio", { name: names.nameOf(data.indicator), ratio: communePercent(data) }));
}

function draw() {
  const found = [...state.rows.values()].sort((one, other) => one.indicator.localeCompare(other.indicator));
  show(head, found.length ? [names.originNote(found), placeOf(found[0])] : h("p", {}, say("commune_none", { vintage: setup.vintage })));
  board.hidden = !found.length;
  show(board.lastChild, found.length ? figures(found) : null);
  const steps = state.line.filter((one) => isHere(one.vintage, one.commune) || isHere(one.predecessor_vintage, one.predecessor));
  line.hidden = !steps.length;
  show(line.lastChild, h("ul", {}, steps.map(stepOf)));
}

const isHere = (vintage, commune) => vintage === setup.vintage && commune === setup.commune;

function placeOf(row) {
  return h("p", { class: "place" }, [`${say("commune")} ${row.commune}`, row.district, say("list_of", { vintage: row.vintage })].filter(Boolean).join(" · "));
}

function stepOf(one) {
  const earlier = isHere(one.vintage, one.commune);
  const [vintage, commune, name] = earlier ? [one.predecessor_vintage, one.predecessor, one.predecessor_name] : [one.vintage, one.commune, one.name];
  const words = say(earlier ? "line_from" : "line_into", { name, code: commune, vintage });
  return h("li", {}, h("a", { href: names.communePage({ vintage, commune }) }, words), one.extent === "part" ? `, ${say("line_part")}` : "");
}

function figures(found) {
  return table(
    say("commune_rows"),
    ["indicator", "covered", "ratio", "interval", "state", "uncovered", "remarks", "why"].map((one) => say(one)),
    found.map((row) => {
      const base = names.indicator(row.indicator)?.base;
      const name = names.nameOf(row.indicator);
      return [
        h("a", { href: names.indicatorPage(row.indicator, row.province) }, name),
        row.covered === null ? "–" : `${count(row.covered, base)} / ${number(row.expected)}`,
        h("span", { class: "figure" }, communePercent(row)),
        h("span", { class: "figure" }, interval(row)),
        [h("span", { class: `report ${row.state}` }, say(`state_${row.state}`)), row.fresh_until ? h("span", { class: "small" }, `${say("fresh_until").toLowerCase()} ${day(row.fresh_until)}`) : null],
        (row.uncovered ?? []).join("; ") || "–",
        [origin(row.origin), row.marks.filter((mark) => mark !== row.origin).map((mark) => h("span", { class: "chip" }, say(`mark_${mark}`)))],
        h("button", { type: "button", id: `why-${row.indicator}`, "aria-label": say("why_button", { name }), click: () => ask(row.indicator) }, say("why")),
      ];
    }),
  );
}

async function ask(indicator) {
  state.asked = indicator;
  const query = new URLSearchParams(location.search);
  query.set("indicator", indicator);
  history.replaceState(null, "", `?${query}`);
  const title = h("h2", { id: "evidence-title", tabindex: "-1" }, say("why_of", { name: names.nameOf(indicator) }));
  const found = h("div", {}, h("p", { role: "status" }, say("why_reading")));
  why.hidden = false;
  show(why, title, found);
  title.focus();
  let content;
  try {
    content = explained(await evidence({ commune: setup.commune, vintage: setup.vintage, indicator }));
  } catch (error) {
    content = h("p", { class: "late", role: "status" }, say("why_failed", { why: error.message, commune: setup.commune, indicator }));
  }
  // where another was asked for meanwhile, this one is no longer on the page
  show(found, content);
}

const pick = (text) => text[lang];
const list = (items) => h("ul", {}, items.map((one) => h("li", {}, one)));
const part = (name, ...content) => [h("h3", {}, say(name)), ...content];

function explained(found) {
  const base = names.indicator(found.row.indicator)?.base;
  const figure = (value) => count(value, base);
  return [
    h("p", {}, pick(found.definition)),
    found.operators.length
      ? part(
          "why_operators",
          table(
            say("why_operators"),
            [say("operator"), say("covered"), say("state"), say("rule")],
            found.operators.map((one) => [names.reporterOf(one.operator), `${figure(one.covered)} / ${figure(one.expected)}`, say(`state_${one.state}`), pick(one.rule)]),
          ),
        )
      : null,
    found.union.length ? part("why_union", list(found.union.map(pick))) : null,
    found.marks.length ? part("why_marks", list(found.marks.map(pick))) : null,
    found.statements.length ? part("why_statements", h("ol", { class: "statements" }, found.statements.map((one) => statement(one, found.row, figure)))) : null,
    found.lost.length ? h("details", {}, h("summary", {}, say("why_lost", { count: number(found.lost.length) })), h("ol", { class: "statements" }, found.lost.map((one) => statement(one, found.row, figure)))) : null,
    found.promises.length ? part("why_promises", list(found.promises.map((one) => promise(one)))) : null,
    found.challenges.length ? part("why_challenges", list(found.challenges.map((one) => challenge(one)))) : null,
    found.changes.length || found.next_due
      ? part("why_changes", list([...found.changes.map(pick), ...(found.next_due ? [say("why_next", { day: day(found.next_due) })] : [])]))
      : null,
  ];
}

function statement(one, row, figure) {
  const about = one.operator === one.reporter ? "" : ` ${say("about", { operator: names.reporterOf(one.operator) })}`;
  const elsewhere = one.vintage === row.vintage && one.commune === row.commune ? "" : ` [${one.commune}, ${one.vintage}]`;
  const said = one.withdraws ? say("withdrawn") : `${figure(one.covered)} / ${figure(one.expected)}`;
  const places = one.uncovered?.length ? ` (${one.uncovered.join("; ")})` : "";
  return h(
    "li",
    { class: one.decides ? "decides" : null },
    h("strong", {}, `${names.reporterOf(one.reporter)}${about}${elsewhere}`),
    `: ${say(`method_${one.method}`)} ${said}${places} `,
    one.decides ? h("span", { class: "chip" }, say("why_decides")) : null,
    " ",
    origin(one.origin),
    h("span", { class: "small" }, say("times", { observed: minute(one.observed_at), said: minute(one.said_at), arrived: minute(one.arrived_at) })),
    h("span", { class: "small" }, pick(one.why)),
    h("span", { class: "small id" }, `${one.id} · ${one.topic}[${one.partition}]@${one.offset}`),
  );
}

function promise(one) {
  return `${names.reporterOf(one.operator)}: ${one.name || say("whole_commune")}: ${one.last.data.by ? say("promised", { day: day(one.last.data.by) }) : say("withdrawn")}`;
}

function challenge(one) {
  const { step, deadline } = one.steps.at(-1).data;
  const due = deadline ? `, ${say("due", { day: day(deadline) })}` : "";
  return `${names.reporterOf(one.operator)}: ${one.name}: ${say(`step_${step}`)}${due}`;
}

show(
  main,
  h("p", { class: "place" }, h("a", { class: "home", href: `/?${new URLSearchParams({ province: setup.province_of_page })}` }, say("wall"))),
  head,
  board,
  why,
  line,
);
if (state.asked) {
  await names.readNames({}).catch(() => {}); // that nothing can be read is said by the pulse
  ask(state.asked);
}
follow({ query: { province: setup.province_of_page, vintage: setup.vintage }, load, apply, poll: () => {}, draw });
