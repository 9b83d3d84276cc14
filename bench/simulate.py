"""How many events a second a simulated country makes, and how many reach Kafka: `make -s bench NAME=simulate`.

Comes in: nothing but the sizes. Goes out: one JSON object on stdout, progress on stderr. Owns a broker in a temporary directory, and the
simulated seeds beside it. Lanes, one after the other, `--runs` times: `made` (the events of a run, encoded, and its truth), `sent` (the
same run through `ops.simulation.send`), `bare` (confluent-kafka alone producing the same bytes). An event that is not acknowledged ends the
bench: then there is no figure.
"""

from __future__ import annotations

import argparse
import resource
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.world import BenchError, producer, say, tell
from ops import simulated_seeds, topics
from ops.local_kafka import LocalKafka
from ops.simulation import Asked, prepare, send
from phusong.admission import Admission
from phusong.events import encode
from phusong.periods import VIETNAM
from phusong.rules import Rules
from phusong.settings import Settings, read_rules, read_settings
from phusong.topics import SOURCES
from producers.simulator.simulation import Sending, Simulation
from producers.simulator.truth import encode_truth

SEED, START = 7, date(2023, 1, 1)


def main() -> dict[str, Any]:
    """Measure, and return the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provinces", type=int, default=34)
    parser.add_argument("--communes", type=int, default=3321)
    parser.add_argument("--months", type=int, default=7)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="phusong-bench-")))
        seeds = directory / "seeds"
        say("writing the country's seeds")
        simulated_seeds.write(seeds, SEED, arguments.provinces, arguments.communes)
        say("starting Kafka")
        kafka = stack.enter_context(LocalKafka(directory / "kafka", report=say))
        settings = read_settings(bootstrap_servers=kafka.bootstrap_servers, seeds=seeds)
        if topics.apply(settings, lambda _: None):
            raise BenchError("the topics could not be created; see `phusong topics apply`")
        return _measure(read_rules(seeds), settings, arguments.months, arguments.runs)


def _measure(rules: Rules, settings: Settings, months: int, runs: int) -> dict[str, Any]:
    lanes: dict[str, list[float]] = {"made": [], "sent": [], "bare": [], "made_by_cpu": [], "sent_by_cpu": []}
    count = 0
    for number in range(1, runs + 1):
        say(f"run {number} of {runs}")
        began, cpu = time.perf_counter(), time.process_time()
        made = [one for one in _outputs(_run(rules, months)) if one is not None]
        count = len(made)
        lanes["made"].append(count / (time.perf_counter() - began))
        lanes["made_by_cpu"].append(count / (time.process_time() - cpu))
        began, cpu = time.perf_counter(), time.process_time()
        carried = send(_run(rules, months), settings, None, None, "en")
        lanes["sent"].append(carried.events.total() / (time.perf_counter() - began))
        lanes["sent_by_cpu"].append(carried.events.total() / (time.process_time() - cpu))
        if carried.events.total() != count:
            raise BenchError(f"made {count} events, sent {carried.events.total()}")
        lanes["bare"].append(count / _bare(settings, rules, made))
        del made
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "events": count,
        "months": months,
        "communes": len(rules.register.units),
        "made_per_s": round(median(lanes["made"])),
        "sent_per_s": round(median(lanes["sent"])),
        "bare_per_s": round(median(lanes["bare"])),
        "made_per_cpu_s": round(median(lanes["made_by_cpu"])),
        "sent_per_cpu_s": round(median(lanes["sent_by_cpu"])),
        "peak_mib_with_every_event_kept": round(peak_kib / 1024),
        "runs": {name: [round(rate) for rate in rates] for name, rates in lanes.items()},
    }


def _run(rules: Rules, months: int) -> Simulation:
    now = rules.register.vintages["2020-01-01"].start.astimezone(VIETNAM) + timedelta(days=36_500)
    return prepare(rules, Asked(SEED, START, months, None, None, "en"), now)


def _outputs(simulation: Simulation) -> Any:
    """Each event's bytes with what it needs to travel; None: a line of truth, made and dropped."""
    for output in simulation:
        if isinstance(output, Sending):
            yield output.event, encode(output.event)
        else:
            encode_truth(output)
            yield None


def _bare(settings: Settings, rules: Rules, made: list[Any]) -> float:
    """Seconds that a bare producer takes for the same bytes, keys and topics."""
    admission, client = Admission(rules), producer(settings)
    records = [(SOURCES[route.domain].name, value, route.key) for event, value in made for route in [admission.route(event)]]
    failed: list[object] = []

    def report(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    began = time.perf_counter()
    for topic, value, key in records:
        while True:
            try:
                client.produce(topic, value, key, on_delivery=report)
            except BufferError:
                client.poll(0.1)
            else:
                break
        client.poll(0)
    if client.flush(60) or failed:
        raise BenchError(f"the bare producer lost events: {failed[:1]}")
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(tell(main))
