"""How fast a worker rebuilds its state from the log, beside a bare loop that calls the same core: `make -s bench NAME=rebuild`.

Comes in: nothing but the sizes (`--events`, `--runs`). Goes out: one JSON object on stdout, progress on stderr. Owns a broker in a
temporary directory, and the measured processes, which run one after another, each on one core that the broker leaves alone. A process that
fails, a record that is rejected, or two lanes that do not agree on what became of the events end the bench: then there is no figure.

Three lanes over the same log, each in a process of its own, from its first record to its last:
    pipeline  a whole worker (streams/app.py) as it rebuilds: Faust, carrier, admission, fold
    floor     a consumer, and for each record Admission.record and Province.apply; publishes nothing
    decode    a consumer, and for each record phusong.events.decode
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from bench.world import PROVINCE, SHARE, BenchError, cluster, end_of, events, producer, say, tell
from phusong.admission import Admission
from phusong.events import decode
from phusong.evidence import Outcome
from phusong.province import Province
from phusong.settings import Settings, read_rules
from phusong.topics import SOURCES
from streams.carrier import CHUNK

EVENTS = 1_000_000
RUNS = 5
_LANE_SECONDS_MAX = 300.0
_STOP_SECONDS_MAX = 15.0
_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
_KEY = PROVINCE.encode()

Lane = Callable[[Settings, int, Connection], None]


class Measured(NamedTuple):
    """One lane's way through the log: seconds on the clock and on the core, and how many events had each `Outcome`."""

    seconds: float
    cpu_seconds: float
    outcomes: list[int]


class _Stopwatch:
    """Started by the first record; at the last one it tells the parent."""

    def __init__(self, count: int, report: Connection) -> None:
        self.outcomes = [0] * len(Outcome)
        self._left = count
        self._report = report
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()

    def passed(self, count: int) -> None:
        self._left -= count
        if self._left == 0 and self._began is not None:
            began, cpu_began = self._began
            self._report.send(Measured(time.perf_counter() - began, time.process_time() - cpu_began, self.outcomes))


def pipeline(settings: Settings, count: int, report: Connection) -> None:
    """A worker, unchanged but for a stopwatch around `Share.apply`; runs until it is told to end."""
    from streams.app import run
    from streams.share import Reject, Share

    watch = _Stopwatch(count, report)
    apply = Share.apply

    def timed(share: Share, domain: str, messages: list[Message]) -> tuple[list[int], list[Reject]]:
        watch.start()
        seen, rejects = apply(share, domain, messages)
        if rejects:
            raise BenchError(f"rejected: {rejects[0].sentence}")
        for outcome, number in enumerate(seen):
            watch.outcomes[outcome] += number
        watch.passed(len(messages))
        return seen, rejects

    Share.apply = timed  # type: ignore[method-assign, assignment]  # a bench may look in from outside
    run(settings, read_rules(settings.seeds))


def floor(settings: Settings, count: int, report: Connection) -> None:
    """The least that a rebuild must do."""
    rules = read_rules(settings.seeds)
    record, apply = Admission(rules).record, Province(rules, PROVINCE).apply
    watch = _Stopwatch(count, report)
    outcomes = watch.outcomes

    def take(messages: list[Message]) -> None:
        for message in messages:
            event, route = record(
                message.value(), None, message.key(), _DOMAIN_OF[message.topic()], message.partition(), message.timestamp()[1]
            )
            outcomes[apply(route.cell, route.slot, event)] += 1

    _consume(settings, count, watch, take)


def decoding(settings: Settings, count: int, report: Connection) -> None:
    """The least that a reader of events must do."""

    def take(messages: list[Message]) -> None:
        for message in messages:
            decode(message.value())

    _consume(settings, count, _Stopwatch(count, report), take)


def _consume(settings: Settings, count: int, watch: _Stopwatch, take: Callable[[list[Message]], None]) -> None:
    consumer = Consumer(
        {
            # as in streams/carrier.py
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": "phusong-bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 100_000,
            "queued.max.messages.kbytes": 65_536,
            "check.crcs": False,
        }
    )
    consumer.assign([TopicPartition(topic, SHARE, OFFSET_BEGINNING) for topic in _DOMAIN_OF])
    left = count
    while left:
        messages = consumer.consume(CHUNK, 1.0)
        watch.start()
        take(messages)
        watch.passed(len(messages))
        left -= len(messages)
    consumer.close()


def produce(settings: Settings, count: int) -> None:
    """Write the log that every lane reads."""
    sending = producer(settings)
    topics = {domain: topic.name for domain, topic in SOURCES.items()}
    headers = [("content-type", b"application/cloudevents+json")]
    for number, event in enumerate(events(count), 1):
        while True:
            try:
                sending.produce(topics[event.domain], event.value, _KEY, headers=headers)
                break
            except BufferError:
                sending.poll(0.1)
        if number % 100_000 == 0:
            say(f"  {number:,} of {count:,} events")
    if lost := sending.flush(60):
        raise BenchError(f"{lost} events were not acknowledged")


def _in_child(lane: Lane, settings: Settings, count: int, log: Path) -> Measured:
    """What the lane reports, from a process of its own on our core; it is gone when this returns."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(lane, settings, count, there, log), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(_LANE_SECONDS_MAX):
            raise BenchError(f"{lane.__name__} did not end within {_LANE_SECONDS_MAX:.0f} s")
        measured: Measured = here.recv()
        return measured
    except EOFError:
        raise BenchError(f"{lane.__name__} ended without a result; the end of its log:\n{end_of(log)}") from None
    finally:
        child.terminate()
        child.join(_STOP_SECONDS_MAX)
        child.kill()
        child.join()


def _child(lane: Lane, settings: Settings, count: int, report: Connection, log: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    tempfile.tempdir = str(log.parent)  # what a lane that is killed leaves behind goes with the rest
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    lane(settings, count, report)


def bench(count: int, runs: int) -> dict[str, Any]:
    """Write the log once, then send each lane through it, turn by turn."""
    *others, core = sorted(os.sched_getaffinity(0))
    lanes: dict[str, Lane] = {"pipeline": pipeline, "floor": floor, "decode": decoding}
    measured: dict[str, list[Measured]] = {name: [] for name in lanes}
    # children inherit it: the broker gets what is left of the machine, each lane the one core
    os.sched_setaffinity(0, others or {core})
    with cluster() as (directory, settings):
        os.sched_setaffinity(0, {core})
        say(f"writing {count:,} events")
        produce(settings, count)
        for run in range(1, runs + 1):
            for name, lane in lanes.items():
                one = _in_child(lane, settings, count, directory / f"{name}.log")
                measured[name].append(one)
                say(f"  run {run} of {runs}, {name}: {count / one.seconds:,.0f} events/s ({count / one.cpu_seconds:,.0f} by CPU time)")
    outcomes = measured["floor"][0].outcomes
    if any(one.outcomes != outcomes or sum(one.outcomes) != count for name in ("pipeline", "floor") for one in measured[name]):
        raise BenchError("pipeline and floor do not agree on what became of the events")
    rates = {name: [round(count / one.seconds) for one in some] for name, some in measured.items()}
    by_cpu = {name: [round(count / one.cpu_seconds) for one in some] for name, some in measured.items()}
    return {
        **{f"{name}_events_per_s": round(statistics.median(some)) for name, some in rates.items()},
        "ratio": _ratio(rates["pipeline"], rates["floor"]),
        "floor_per_decode": _ratio(rates["floor"], rates["decode"]),
        "ratio_by_cpu": _ratio(by_cpu["pipeline"], by_cpu["floor"]),
        "floor_per_decode_by_cpu": _ratio(by_cpu["floor"], by_cpu["decode"]),
        "events": count,
        "runs": runs,
        "outcomes": {outcome.name.lower(): outcomes[outcome] for outcome in Outcome},
        "events_per_s": rates,
        "events_per_cpu_s": by_cpu,
    }


def _ratio(some: list[int], others: list[int]) -> float:
    """The median of the ratios run by run: neighbours on the machine come and go, and two lanes of one run had much the same ones."""
    return round(statistics.median(one / other for one, other in zip(some, others, strict=True)), 3)


def main() -> int:
    """Returns the exit code, see `world.tell`."""
    options = argparse.ArgumentParser(prog="python -m bench.rebuild", description="How fast a worker rebuilds its state from the log.")
    options.add_argument("--events", type=int, default=EVENTS, help="how many events the log holds (default: %(default)s)")
    options.add_argument("--runs", type=int, default=RUNS, help="how often each lane is measured (default: %(default)s)")
    given = options.parse_args()
    return tell(lambda: bench(given.events, given.runs))


if __name__ == "__main__":
    raise SystemExit(main())
