// Reading /api/v1, and the server's clock: every age on the page is told by the server's time, never by this screen's.

const READ_MS_MAX = 15_000;
const PAGES_MAX = 3; // of 10,000 rows: more than any province has

let ahead = 0; // milliseconds by which the server's clock is ahead of ours

/** The server's time in milliseconds since 1970, to within a second. */
export function serverNow() {
  return Date.now() + ahead;
}

function listen(answer, asked) {
  const date = Date.parse(answer.headers.get("date") ?? "");
  // the header is cut to the second, and was written about half-way
  if (!Number.isNaN(date)) ahead = date + 500 - (asked + Date.now()) / 2;
}

async function answer(url, accept) {
  const asked = Date.now();
  const found = await fetch(url, { headers: { accept }, signal: AbortSignal.timeout(READ_MS_MAX) });
  listen(found, asked);
  // a feed that asks for keys: its form takes one, and comes back
  if (found.status === 401) location.assign("/sign-in");
  if (!found.ok) {
    const problem = await found.json().catch(() => ({}));
    throw new Error(problem.detail ?? `${found.status} ${found.statusText}`);
  }
  return found;
}

function address(name, query) {
  const pairs = Object.entries(query).flatMap(([key, value]) => [value].flat().map((one) => [key, one]));
  return `/api/v1/${name}?${new URLSearchParams(pairs)}`;
}

/** Every row of an address, page after page. */
export async function rows(name, query = {}) {
  const found = [];
  let url = address(name, query);
  for (let page = 0; url && page < PAGES_MAX; page += 1) {
    const one = await answer(url, "application/json");
    found.push(...(await one.json()));
    url = /<([^>]*)>; rel="next"/.exec(one.headers.get("link") ?? "")?.[1];
  }
  return found;
}

/** Communes with their points: a list of [row, [longitude, latitude] or null]. */
export async function places(query) {
  const found = await answer(address("communes", { ...query, format: "geojson" }), "application/geo+json");
  return (await found.json()).features.map((one) => [one.properties, one.geometry?.coordinates ?? null]);
}

/** What is behind one figure of a commune. */
export async function evidence(query) {
  const found = await (await answer(address("evidence", query), "application/json")).json();
  return Array.isArray(found) ? found[0] : found;
}
