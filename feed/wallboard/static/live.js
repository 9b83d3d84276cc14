// Keeps a page alive: opens the stream, reads the tables, applies every change, and says loudly when data stops.
//
// Comes in: server-sent events, and the province rows, read again every POLL_MS. Goes out: calls of `load`, `apply`, `poll` and `draw`, the
// pulse and the alarm. Four things may stop, the nearest first: the feed, Kafka behind it, the tables, the worker; each is told apart,
// since each has another remedy.

import { rows, serverNow } from "./api.js";
import { h, show } from "./elements.js";
import { clock, minute } from "./figures.js";
import { say } from "./words.js";

const BEAT_MS_MAX = 12_000; // the feed's heart beats every 5 s
const KAFKA_MS_MAX = 7_500; // Kafka is asked every 5 s; this is looked at when the heart beats
const PUBLISHED_MS_MAX = 60_000; // a worker publishes a province again every 10 s
const POLL_MS = 10_000;
const AGAIN_MS = 3_000;
const SILENT_MS_MAX = 25_000; // a stream so long silent is dead, whatever the browser thinks
const DRAW_MS = 150; // between two drawings, however many changes come

const alarm = document.getElementById("alarm");
const pulse = document.getElementById("pulse");
const news = document.getElementById("news");

/**
 * Follow what changes. `query`: parameters of the stream; `load()`: read the tables; `apply(name, data)`: take over one change;
 * `poll(rows)`: the province's rows as they are now; `draw()`: show what has come.
 */
export function follow({ query, load, apply, poll, draw }) {
  let stream = null;
  let openedAt = 0;
  let beat = null;
  let beatAt = performance.now();
  let beatTime = serverNow();
  let kafkaIsFine = true;
  let published = 0;
  let polled = "";
  let failure = "";
  let failedAt = 0;
  let waiting = null; // changes that come while the tables are read: they are applied after them
  let readAgain = false;
  let drawnAt = 0;
  let drawing = false;
  let said = "";
  const calmTitle = document.title;

  function redraw() {
    if (drawing) return;
    drawing = true;
    setTimeout(
      () => {
        drawing = false;
        drawnAt = performance.now();
        draw();
      },
      Math.max(0, drawnAt + DRAW_MS - performance.now()),
    );
  }

  function fail(error) {
    if (!failure) failedAt = serverNow();
    failure = error.message;
    look();
  }

  async function read() {
    if (waiting) {
      readAgain = true;
      return;
    }
    waiting = [];
    readAgain = false;
    try {
      await load();
      failure = "";
      for (const [name, data] of waiting) apply(name, data);
      redraw();
    } catch (error) {
      fail(error);
      readAgain = true;
    }
    waiting = null;
    if (readAgain) setTimeout(read, failure ? AGAIN_MS : 0);
    look();
  }

  function heard() {
    beatAt = performance.now();
    beatTime = serverNow();
  }

  function open() {
    stream?.close();
    openedAt = performance.now();
    stream = new EventSource(`/api/v1/events?${new URLSearchParams(query)}`);
    for (const name of ["province", "commune", "verdict", "acknowledgement", "removed"]) {
      stream.addEventListener(name, (event) => {
        heard();
        const data = JSON.parse(event.data);
        if (waiting) {
          waiting.push([name, data]);
        } else {
          apply(name, data);
          redraw();
        }
      });
    }
    stream.addEventListener("reset", () => {
      heard();
      read();
    });
    stream.addEventListener("heartbeat", (event) => {
      heard();
      beat = JSON.parse(event.data);
      kafkaIsFine = beat.kafka_seen !== null && serverNow() - Date.parse(beat.kafka_seen) <= KAFKA_MS_MAX;
      look();
    });
    stream.addEventListener("error", look);
  }

  async function pollNow() {
    try {
      const found = await rows("provinces", { province: query.province });
      published = Math.max(0, ...found.map((one) => Date.parse(one.published)));
      if (!waiting) failure = "";
      // they are published again and again: only what says something else is drawn again
      const content = JSON.stringify(found, (name, value) => (name === "as_of" || name === "published" ? undefined : value));
      if (!waiting && content !== polled) {
        polled = content;
        poll(found);
        redraw();
      }
    } catch (error) {
      fail(error);
    }
    look();
  }

  /** What has stopped, and since when; null: nothing. */
  function trouble() {
    if (performance.now() - beatAt > BEAT_MS_MAX) return ["feed", beatTime];
    if (beat && !kafkaIsFine) return ["kafka", Date.parse(beat.kafka_seen ?? "") || beatTime];
    // while the stream is down the tables fail as well; that it is down is said in a moment, with its remedy
    if (failure && stream.readyState === EventSource.OPEN) return ["tables", failedAt];
    if (beat?.ready && published && serverNow() - published > PUBLISHED_MS_MAX) return ["worker", published];
    return null;
  }

  function look() {
    const found = trouble();
    const words = found ? [say(`down_${found[0]}`, { time: clock(found[1]), why: failure }), say(`down_${found[0]}_do`)] : [];
    if (words.join() !== said) {
      if (!found) announce(say("back"));
      said = words.join();
      document.documentElement.classList.toggle("down", Boolean(found));
      document.title = found ? `⚠ ${say("down")} · ${calmTitle}` : calmTitle;
      show(
        alarm,
        found &&
          h(
            "div",
            { class: "alarm", "data-down": found[0] },
            h("strong", {}, say("down")),
            h("span", { class: "what" }, words[0]),
            h("span", { class: "do" }, say("down_old"), " ", words[1]),
          ),
      );
    }
    const state = found ? "down" : !beat || stream.readyState !== EventSource.OPEN ? "connecting" : beat.ready ? "live" : "reading";
    show(
      pulse,
      h("span", { class: `state ${state}` }, say(state)),
      beat && h("span", { class: "updated" }, say("updated", { time: clock(beatTime) })),
      beat && h("span", { class: "as-of" }, say("as_of", { time: minute(beat.as_of) })),
    );
  }

  setInterval(() => {
    const sinceOpened = performance.now() - openedAt;
    const refused = stream.readyState === EventSource.CLOSED && sinceOpened > AGAIN_MS;
    if (refused || Math.min(sinceOpened, performance.now() - beatAt) > SILENT_MS_MAX) {
      // a new stream does not know where the old one was
      open();
      read();
    }
    look();
  }, 1000);
  setInterval(pollNow, POLL_MS);
  open();
  read();
  pollNow();
}

/** Say something to a screen reader, when it has time. */
export function announce(text) {
  news.append(h("p", {}, text));
  while (news.children.length > 3) news.firstChild.remove();
}
