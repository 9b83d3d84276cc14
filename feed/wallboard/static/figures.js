// Figures and moments as people read them: in Vietnamese with a decimal comma, and never rounded up to what has not been reached.

import { lang } from "./words.js";

const PARTS = 1e12; // two shares closer than this are one share, as in the core

/** 0.9927 -> "99,3 %". A share below its target, or below the whole, is never printed as it; null: "–". */
export function percent(ratio, target = null) {
  if (ratio === null || ratio === undefined) return "–";
  const share = Math.round(ratio * PARTS);
  let tenths = Math.floor(share / 1e9 + 0.5);
  for (const bound of target === null ? [PARTS] : [PARTS, Math.round(target * PARTS)]) {
    if (share < bound && bound <= tenths * 1e9) tenths -= 1;
  }
  return `${Math.floor(tenths / 10)}${lang === "vi" ? "," : "."}${tenths % 10} %`;
}

/** A target: "100 %", with no decimals where it has none. */
export function wholePercent(ratio) {
  return percent(ratio).replace(/[,.]0 %$/, " %");
}

/** low – high, the sign once; of a commune too, which has no target. */
export function interval(row) {
  if (row.low === null) return "–";
  const target = row.target ?? null;
  return `${percent(row.low, target).replace(/ %$/, "")} – ${percent(row.high, target)}`;
}

/** A commune's ratio: of one that nobody has told about there is none, though its province counts it as not covered. */
export const communePercent = (row) => percent(row.state === "unknown" ? null : row.ratio);

const GROUPS = lang === "vi" ? "." : ",";
const POINT = lang === "vi" ? "," : ".";

/** 1639490 -> "1.639.490"; a share of one gets one decimal. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const [whole, rest] = (value % 1 ? value.toFixed(1) : String(value)).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, GROUPS);
  return rest === undefined ? grouped : grouped + POINT + rest;
}

/** Cut, not rounded: what is below its whole is never printed as it. People and households in whole numbers. */
export function count(value, base) {
  if (value === null || value === undefined) return "–";
  const parts = base === "population" || base === "households" ? 1 : 10;
  return number(Math.floor(Math.round(value * parts * 1e6) / 1e6) / parts);
}

const ZONE = { timeZone: "Asia/Ho_Chi_Minh", hourCycle: "h23" };
const FIELDS = new Intl.DateTimeFormat("en-GB", {
  ...ZONE,
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

function fields(moment) {
  return Object.fromEntries(FIELDS.formatToParts(moment instanceof Date ? moment : new Date(moment)).map((one) => [one.type, one.value]));
}

/** The day in Vietnam: "30/06/2023" or "2023-06-30"; nothing: "–". */
export function day(moment) {
  if (moment === null || moment === undefined) return "–";
  const at = fields(moment);
  return lang === "vi" ? `${at.day}/${at.month}/${at.year}` : `${at.year}-${at.month}-${at.day}`;
}

/** The day and the minute in Vietnam. */
export function minute(moment) {
  if (moment === null || moment === undefined) return "–";
  const at = fields(moment);
  return `${day(moment)} ${at.hour}:${at.minute}`;
}

/** The time of day in Vietnam, to the second. */
export function clock(moment) {
  const at = fields(moment);
  return `${at.hour}:${at.minute}:${at.second}`;
}
