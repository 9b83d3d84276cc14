// What the server has told this page: its language, what it is about, and every word it says.

export const setup = JSON.parse(document.getElementById("setup").textContent);
export const lang = setup.lang;

/** A word, its {parts} filled in. A word that is missing shows its name: a test looks for that. */
export function say(name, parts = {}) {
  const text = setup.words[name];
  if (text === undefined) {
    console.error(`no word ${name}`);
    return name;
  }
  return text.replace(/\{(\w+)\}/g, (whole, part) => (part in parts ? String(parts[part]) : whole));
}
