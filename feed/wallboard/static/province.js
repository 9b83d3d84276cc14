// Which province a page shows: from the address, else the first of which anything is known. The choice stays in the address.

import { rows } from "./api.js";
import { known } from "./catalogue.js";
import { h } from "./elements.js";
import { say } from "./words.js";

const AGAIN_MS = 3_000;
const tools = document.getElementById("tools");

/** The province to show and its name; a select where there are several. Waits until the feed knows any. */
export async function choose() {
  const asked = new URLSearchParams(location.search).get("province");
  const names = new Map();
  let first = null;
  while (!names.size) {
    const found = await rows("provinces").catch(() => []);
    for (const row of found) {
      names.set(row.province, row.province_name);
      if (first === null && known(row)) first = row.province;
    }
    if (!names.size) await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
  const code = names.has(asked) ? asked : (first ?? names.keys().next().value);
  if (names.size > 1) tools.prepend(select(names, code));
  keep(code);
  return { code, name: names.get(code) };
}

function select(names, chosen) {
  const options = [...names].sort().map(([code, name]) => h("option", { value: code, selected: code === chosen }, `${name} (${code})`));
  const change = (event) => {
    const query = new URLSearchParams(location.search);
    query.set("province", event.target.value);
    location.search = query;
  };
  return h("label", {}, say("province"), " ", h("select", { id: "province", change }, options));
}

function keep(code) {
  const query = new URLSearchParams(location.search);
  query.set("province", code);
  history.replaceState(null, "", `?${query}`);
  const other = document.getElementById("other");
  const there = new URL(other.href);
  there.searchParams.set("province", code);
  other.href = there;
  for (const home of document.querySelectorAll("a.home")) home.href = `/?${new URLSearchParams({ province: code })}`;
}
