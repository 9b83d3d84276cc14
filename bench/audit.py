"""How long `phusong audit` takes, and how much memory: `make -s bench NAME=audit`.

Comes in: nothing but the size (`--events`). Goes out: one JSON object on stdout, progress on stderr. Owns a broker in a temporary
directory, a worker that publishes what is then audited, and the audit itself, a whole process on one core that the broker leaves alone.
A worker that does not get to the end, and an audit that finds a difference, end the bench: then there is no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bench.rebuild import EVENTS, produce
from bench.world import SHARE, BenchError, child_environment, cluster, end_of, say, tell
from ops.demo import child
from phusong.settings import Settings
from phusong.topics import PROGRESS_GROUP, SOURCES

_PUBLISHED_SECONDS_MAX = 300.0
_KIB = 1024


def _wait_until_published(settings: Settings, count: int, worker: subprocess.Popen[bytes], log: Path) -> None:
    """Until the worker has committed every event: then its rows are acknowledged."""
    consumer = Consumer(
        {"bootstrap.servers": settings.bootstrap_servers, "group.id": PROGRESS_GROUP, "enable.auto.commit": False, "log_level": 0}
    )
    deadline = time.monotonic() + _PUBLISHED_SECONDS_MAX
    try:
        while time.monotonic() < deadline and worker.poll() is None:
            time.sleep(0.2)
            with suppress(KafkaException):  # the group's coordinator is being made
                found = consumer.committed([TopicPartition(topic.name, SHARE) for topic in SOURCES.values()], 10)
                if sum(max(0, one.offset) for one in found) == count:
                    return
    finally:
        consumer.close()
    raise BenchError(f"the worker has not published everything; the end of its log:\n{end_of(log)}")


def _audit(environment: Mapping[str, str], log: Path) -> tuple[float, float, float, dict[str, Any]]:
    """Run the command to its end: seconds on the clock and on the core, its peak in MiB, and what it found."""
    with log.open("wb") as errors, log.with_suffix(".json").open("wb+") as answer:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "audit", "--json"], env=dict(environment), stdout=answer, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        answer.seek(0)
        if process.returncode != 0:
            raise BenchError(f"the audit ended with {process.returncode}: {answer.read(2_000).decode()}\n{end_of(log)}")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KIB, json.load(answer)


def bench(count: int) -> dict[str, Any]:
    """Write the log, let a worker publish, audit it."""
    *others, core = sorted(os.sched_getaffinity(0))
    # children inherit it: the broker gets what is left of the machine, the audit the one core
    os.sched_setaffinity(0, others or {core})
    with cluster() as (directory, settings):
        os.sched_setaffinity(0, {core})
        say(f"writing {count:,} events")
        produce(settings, count)
        environment = {**child_environment(settings), "TMPDIR": str(directory)}  # Faust's scratch goes with the rest
        log = directory / "worker.log"
        with child(["worker"], environment, log) as worker:
            say("a worker publishes")
            _wait_until_published(settings, count, worker, log)
        say("auditing")
        seconds, cpu_seconds, peak_mib, found = _audit(environment, directory / "audit.log")
    read = sum(one["offsets"] for one in found["records"].values())
    if read != count:
        raise BenchError(f"the audit has read {read} of {count} events")
    return {
        "seconds": round(seconds, 1),
        "events": count,
        "peak_mib": round(peak_mib),
        "cpu_seconds": round(cpu_seconds, 1),
        "rows": found["rows"],
        "verdicts": found["verdicts"],
    }


def main() -> int:
    """Returns the exit code, see `world.tell`."""
    options = argparse.ArgumentParser(prog="python -m bench.audit", description="How long `phusong audit` takes, and how much memory.")
    options.add_argument("--events", type=int, default=EVENTS, help="how many events the log holds (default: %(default)s)")
    given = options.parse_args()
    return tell(lambda: bench(given.events))


if __name__ == "__main__":
    raise SystemExit(main())
