// Names, and what a row amounts to in words: the same on every page.

import { rows } from "./api.js";
import { h } from "./elements.js";
import { count, day, number, percent, wholePercent } from "./figures.js";
import { origin } from "./signs.js";
import { lang, say } from "./words.js";

const indicators = new Map();
const reporters = new Map();

/** Read the names; they change only with the rules. */
export async function readNames(query) {
  const [listed, speakers] = await Promise.all([rows("indicators", query), rows("reporters", {})]);
  for (const one of listed) indicators.set(one.indicator, one);
  for (const one of speakers) reporters.set(one.reporter, one);
}

export const indicator = (id) => indicators.get(id);

/** An indicator's name in the page's language. */
export function nameOf(id) {
  return indicators.get(id)?.[`name_${lang}`] ?? id;
}

/** A reporter's name; its id where the catalogue has none. */
export function reporterOf(id) {
  return reporters.get(id)?.[`name_${lang}`] ?? id;
}

/** Of how many communes of a province row anything is known. */
export const known = (row) => row.units.fresh + row.units.stale;

/** 137 / 138 xã */
export function counts(row) {
  return `${count(row.covered, row.base)} / ${count(row.expected, row.base)} ${say(`unit_${row.base}`)}`.trim();
}

/** A target with its scope and source. */
export function targetOf(row) {
  if (row.target === null) return "–";
  const listed = indicators.get(row.indicator)?.targets.find((one) => one.in_force && one.source_vi === row.target_source);
  const assumed = row.target_status === "assumed" ? `, ${say("status_assumed")}` : "";
  return `${wholePercent(row.target)} (${say(`scope_${row.target_scope}`)}, ${listed?.[`source_${lang}`] ?? row.target_source}${assumed})`;
}

/** Why the verdict is what it is, in a sentence. */
export function because(row) {
  const [low, high] = [row.low, row.high].map((one) => percent(one, row.target));
  const target = row.target === null ? "–" : wholePercent(row.target);
  const straddles = row.low === null || (row.low < row.target && row.target <= row.high);
  if (row.verdict === "uncertain" && row.marks.imputed && !straddles) return say("because_imputed", { count: row.marks.imputed, target });
  return say(`because_${row.verdict}`, {
    low,
    high,
    target,
    due: day(row.target_due),
    unknown: number(row.units.unknown),
    stale: number(row.units.stale),
  });
}

/** When the target is reached at this pace; nothing without a projection. */
export function projected(row) {
  if (!row.projection) return "";
  const { reached_at: reached, earliest, latest, points } = row.projection;
  if (reached === null) return say("projected_never");
  return say("projected_between", {
    day: day(reached),
    earliest: day(earliest),
    latest: latest === null ? say("never") : day(latest),
    points,
  });
}

/** Whether somebody should take it: a target is missed, or will be. */
export function isOpen(row) {
  if (row.verdict === "missed") return true;
  if (row.verdict !== "not_yet" || !row.projection) return false;
  return row.projection.reached_at === null || Date.parse(row.projection.reached_at) > Date.parse(row.target_due);
}

const SEVERITY = ["missed", "uncertain", "not_yet", "no_target", "met"];

/** What needs a person first. */
export function bySeverity(one, other) {
  const rank = (row) => (isOpen(row) ? 0 : 1 + SEVERITY.indexOf(row.verdict));
  return rank(one) - rank(other) || one.indicator.localeCompare(other.indicator);
}

/** Who has taken an open verdict, in words. */
export function takenBy(row) {
  const taken = row.acknowledged;
  if (taken) return h("span", { class: "taken" }, say("taken_at", { owner: taken.owner, time: day(taken.time), reason: taken.reason }));
  return isOpen(row) ? h("span", { class: "chip untaken" }, say("nobody")) : null;
}

/** Marks that somebody should look into; the others tell how a figure was made. */
const WORRYING = new Set(["conflict", "contested", "interrupted", "unresolved", "imputed"]);

const chips = (marks) => marks.map(([mark, communes]) => h("span", { class: "chip" }, `${say(`mark_${mark}`)}: ${number(communes)}`));

/** Of how many communes a reader must know more: every mark, where the origin's own says nothing new. */
export const remarks = (row) => [origin(row.origin), chips(Object.entries(row.marks).filter(([mark, communes]) => communes && mark !== row.origin))];

/** The marks that somebody should look into. */
export const worries = (row) => chips(Object.entries(row.marks).filter(([mark, communes]) => communes && WORRYING.has(mark)));

/** The origins that are not real among some rows, loudest first, as a note over the page. */
export function originNote(found) {
  const origins = new Set(found.map((row) => row.origin));
  return ["simulated", "assumed"]
    .filter((one) => origins.has(one))
    .map((one) => h("p", { class: `note origin ${one}` }, say(`origin_banner_${one}`)));
}

/** A cause of a change in words. */
export function causeOf(cause) {
  const several = cause.events.length + cause.more;
  const words = say(`cause_${cause.kind}`);
  return several > 1 ? say("cause_more", { cause: words, count: several }) : words;
}

/** The page of an indicator, of a commune. */
export const indicatorPage = (id, province) => `/indicators/${encodeURIComponent(id)}?${new URLSearchParams({ province })}`;
export const communePage = (row, id = "") =>
  `/communes/${encodeURIComponent(row.vintage)}/${encodeURIComponent(row.commune)}${id ? `?${new URLSearchParams({ indicator: id })}` : ""}`;

/** Whether a commune is not known to be covered in full, as /api/v1/gaps lists it. */
export const isGap = (row) => row.state !== "fresh" || (row.ratio !== null && row.ratio < 1);

/** A row's key, as in a `removed` event. */
export const keyOf = (row) => `${row.vintage}/${row.commune ?? row.province}/${row.indicator}`;
