"""How long it takes from an event to the row that shows it, at a steady rate: `make -s bench NAME=live`.

Comes in: nothing but the sizes (`--rate`, `--seconds`). Goes out: one JSON object on stdout, progress on stderr. Owns a broker in a
temporary directory and a real worker beside it. An event that no row shows, a worker that ends, or a producer that cannot keep the rate end
the bench: then there is no figure.

An event counts as published when coverage.communes.v1 holds a row of its commune and indicator that names it or a later one among its
statements: ten times a second the owner publishes what is true by then, so of two events of one source within 100 ms only the later one is
named. The events of this bench are such that each counts in its row. Its time runs from the call of produce() to the moment at which a
consumer is handed the row.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.world import PROVINCE, SHARE, BenchError, Made, child_environment, cluster, end_of, events, producer, say, tell
from ops.demo import child
from phusong.rows import decode_commune
from phusong.settings import Settings
from phusong.topics import COMMUNES, SOURCES

RATE = 2_000
SECONDS = 20
WARM_UP_SECONDS = 5
_READY_SECONDS_MAX = 60.0
_LAST_ROW_SECONDS_MAX = 30.0
_KEY = PROVINCE.encode()


class Arrivals:
    """Reads the rows in a thread of its own; notes for each event when a row showed it."""

    def __init__(self, settings: Settings, made: list[Made]) -> None:
        self.seen_at: list[float] = [0.0] * len(made)
        self.left = len(made)
        self.first_row = threading.Event()
        self._number = {event.statement: number for number, event in enumerate(made)}
        self._waiting: dict[str, deque[int]] = {}
        for number, event in enumerate(made):
            self._waiting.setdefault(event.row, deque()).append(number)
        self._end = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": "phusong-bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign([TopicPartition(COMMUNES.name, SHARE, OFFSET_BEGINNING)])
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._consumer.close()

    def _read(self) -> None:
        while not self._end.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            now = time.perf_counter()
            self.first_row.set()
            row = decode_commune(message.value())
            # of one commune and indicator all go through one partition: a row that names one has read all before it
            shown = max((self._number.get(statement, -1) for statement in row.statements), default=-1)
            waiting = self._waiting.get(row.key, deque())
            while waiting and waiting[0] <= shown:
                self.seen_at[waiting.popleft()] = now
                self.left -= 1


def _send(settings: Settings, made: list[Made], rate: int) -> list[float]:
    """Send them one by one at an even pace; returns when each was given to produce()."""
    sending = producer(settings)
    sending.list_topics(timeout=10)
    topics = {domain: topic.name for domain, topic in SOURCES.items()}
    headers = [("content-type", b"application/cloudevents+json")]
    sent_at = []
    began = time.perf_counter()
    for number, event in enumerate(made):
        while (ahead := began + number / rate - time.perf_counter()) > 0:
            time.sleep(ahead)
        sent_at.append(time.perf_counter())
        sending.produce(topics[event.domain], event.value, _KEY, headers=headers)
        sending.poll(0)
        if (number + 1) % (5 * rate) == 0:
            say(f"  {number + 1:,} of {len(made):,} events")
    if lost := sending.flush(30):
        raise BenchError(f"{lost} events were not acknowledged")
    return sent_at


def bench(rate: int, seconds: int) -> dict[str, Any]:
    """Start everything, warm up, measure."""
    warm_up = rate * WARM_UP_SECONDS
    start, step = datetime.now(UTC) - timedelta(hours=1), timedelta(seconds=1 / rate)
    made = list(events(warm_up + rate * seconds, start=start, step=step, again=0))
    with cluster() as (directory, settings):
        log = directory / "worker.log"
        arrivals = Arrivals(settings, made)
        try:
            environment = {**child_environment(settings), "TMPDIR": str(log.parent)}  # Faust's scratch goes with the rest
            with child(["worker"], environment, log) as worker:
                say("starting the worker")
                if not arrivals.first_row.wait(_READY_SECONDS_MAX):
                    raise BenchError(f"the worker publishes nothing; the end of its log:\n{end_of(log)}")
                say(f"sending {rate:,} events/s for {WARM_UP_SECONDS} + {seconds} s")
                sent_at = _send(settings, made, rate)
                deadline = time.perf_counter() + _LAST_ROW_SECONDS_MAX
                while arrivals.left and time.perf_counter() < deadline and worker.poll() is None:
                    time.sleep(0.05)
                if arrivals.left:
                    raise BenchError(f"{arrivals.left} events came into no row; the end of the worker's log:\n{end_of(log)}")
        finally:
            arrivals.close()
    waited_ms = sorted(1000 * (seen - sent) for seen, sent in zip(arrivals.seen_at[warm_up:], sent_at[warm_up:], strict=True))
    kept = (len(waited_ms) - 1) / (sent_at[-1] - sent_at[warm_up])
    if kept < 0.98 * rate:
        raise BenchError(f"only {kept:.0f} events/s were sent instead of {rate}; is this machine very busy?")
    return {
        "p50_ms": round(waited_ms[len(waited_ms) // 2], 1),
        "p99_ms": round(waited_ms[len(waited_ms) * 99 // 100], 1),
        "max_ms": round(waited_ms[-1], 1),
        "events": len(waited_ms),
        "rate": round(kept),
    }


def main() -> int:
    """Returns the exit code, see `world.tell`."""
    options = argparse.ArgumentParser(prog="python -m bench.live", description="How long it takes from an event to the row that shows it.")
    options.add_argument("--rate", type=int, default=RATE, help="events a second (default: %(default)s)")
    options.add_argument("--seconds", type=int, default=SECONDS, help="how long is measured, after a warm-up (default: %(default)s)")
    given = options.parse_args()
    return tell(lambda: bench(given.rate, given.seconds))


if __name__ == "__main__":
    raise SystemExit(main())
