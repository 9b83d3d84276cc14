"""What the benches run on: a broker, a seeds directory with 12 indicators for the shipped 138 communes, and events about them.

Comes in: the shipped seeds; a count and a seed number. Goes out: `cluster()`, a real Kafka with its topics and seeds in a temporary
directory, gone afterwards; `events()`, the same ones for the same arguments, each with every field that a real reporter sends. Owns that
directory while it exists. Bad input there is none: tests/contract/test_bench.py shows that the core admits every event.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaException, Producer

from ops import topics
from ops.config import record
from ops.local_kafka import LocalKafka, LocalKafkaError
from phusong.periods import VIETNAM
from phusong.settings import SEEDS, Settings, SettingsError, read_settings
from phusong.topics import share_of

PROVINCE = "08"
SHARE = share_of(PROVINCE.encode())
VINTAGE = "2020-01-01"
START = datetime(2021, 1, 1, tzinfo=VIETNAM)

INDICATORS = {
    "telecom": (
        "telecom.mobile_4g_population",
        "telecom.mobile_5g_population",
        "telecom.mobile_signal_villages",
        "telecom.mobile_full_signal_villages",
        "telecom.fibre_villages",
        "telecom.fibre_households",
    ),
    "broadcast": (
        "broadcast.radio_covered",
        "broadcast.tv_covered",
        "broadcast.loudspeaker",
        "broadcast.smart_loudspeaker",
    ),
    "postal": ("postal.staffed_point", "postal.points_online"),
}
"""Domain -> its indicators: 12 together."""

SPEAKERS = {
    "telecom": (("operator-a", ""), ("operator-b", ""), ("department", "operator-c"), ("department", "operator-d")),
    "broadcast": (("broadcaster", ""), ("department", "relay")),
    "postal": (("post-office", ""), ("department", "courier")),
}
"""Domain -> who speaks, about whose service ("": its own); the department has measured, the others declare.

Nobody declares what it has measured: a declaration may not stand against a measurement, and here each event is to count in its row.
"""

_VILLAGES = (
    *("Bản Lãm", "Nà Tạng", "Tát Kẻ", "Thôn Đồng Mới", "Khuổi Trang", "Nặm Đíp", "Phia Xeng", "Xóm Cây Đa", "Lũng Giềng", "Bản Chợ"),
    *("Nà Khá", "Tổ 4", "Khau Cau", "Thôn Vàng Ngược", "Nà Lòa", "Bản Bung", "Pắc Củng", "Cầu Trắng", "Đèo Lai", "Thôn Bình Ca"),
)

_encode = msgspec.json.Encoder().encode


class Made(NamedTuple):
    """An event as it goes into its domain's topic; `row`: the key of the commune row that it is about; `statement`: its name there."""

    domain: str
    row: str
    statement: str
    value: bytes


class BenchError(RuntimeError):
    """The measurement is worthless; the text says why."""


def say(line: str) -> None:
    """Progress is for people: on stderr, so that stdout holds nothing but the result."""
    print(line, file=sys.stderr, flush=True)


def tell(measure: Callable[[], Mapping[str, Any]]) -> int:
    """Print what was measured as JSON; returns the exit code: 0 done, 3 no figure, 130 stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(json.dumps(measure(), indent=1))
    except (BenchError, LocalKafkaError, SettingsError, KafkaException) as error:
        say(str(error))
        return 3
    except KeyboardInterrupt:
        say("stopped")
        return 130
    return 0


def end_of(log: Path) -> str:
    """The last lines of a child's log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


@contextmanager
def cluster(write: Callable[[Path], None] | None = None) -> Iterator[tuple[Path, Settings]]:
    """A broker with its topics, and the settings to reach it with the seeds of this world; with them a directory for logs.

    `write`: makes another world's seeds.
    """
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="phusong-bench-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        seeds = directory / "seeds"
        (write or write_seeds)(seeds)
        say("starting Kafka")
        kafka = stack.enter_context(LocalKafka(directory / "kafka", report=say))
        settings = read_settings(bootstrap_servers=kafka.bootstrap_servers, seeds=seeds, worker_metrics_port=0)
        if topics.apply(settings, lambda _: None):
            raise BenchError("the topics could not be created; see `phusong topics apply`")
        yield directory, settings


def producer(settings: Settings) -> Producer:
    """A bare producer with what matters of producers/publisher.py's options."""
    return Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 100_000,
            "log_level": 0,  # what is lost is counted; that a broker which has just started lets it try twice is no news
        }
    )


def write_seeds(directory: Path) -> None:
    """One list, one province, 12 indicators and their targets of the shipped seeds, with reporters and obligations of their own."""
    directory.mkdir()
    names = [name for some in INDICATORS.values() for name in some]
    reporter, obligation = (_shipped(name)[0] for name in ("reporters", "obligations"))
    units = [row for row in _shipped("units") if row["vintage"] == VINTAGE and row["province"] == PROVINCE]
    codes = {row["code"] for row in units}
    operators: dict[str, set[str]] = {}
    for speakers in SPEAKERS.values():
        for source, operator in speakers:
            operators.setdefault(source, set()).add(operator)
    tables: dict[str, list[dict[str, str]]] = {
        "vintages": [{**row, "end": ""} for row in _shipped("vintages") if row["vintage"] == VINTAGE],
        "provinces": [row for row in _shipped("provinces") if row["code"] == PROVINCE],
        "units": units,
        "successions": [],
        "bases": [row for row in _shipped("bases") if row["vintage"] == VINTAGE and row["code"] in codes],
        "places": [row for row in _shipped("places") if row["vintage"] == VINTAGE and row["commune"] in codes],
        "indicators": [row for row in _shipped("indicators") if row["indicator"] in names],
        "reporters": [
            {**reporter, "reporter": source, "operators": " ".join(sorted(spoken_for))} for source, spoken_for in operators.items()
        ],
        "obligations": [
            {**obligation, "reporter": source, "operator": operator, "indicator": name, "province": PROVINCE, "start": VINTAGE, "end": ""}
            for domain, some in INDICATORS.items()
            for name in some
            for source, operator in SPEAKERS[domain]
        ],
        "targets": [row for row in _shipped("targets") if row["indicator"] in names],
    }
    for name, rows in tables.items():
        with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(_shipped(name)[0]))
            writer.writeheader()
            writer.writerows(rows)
    record(directory)


def events(count: int, *, start: datetime = START, step: timedelta = timedelta(seconds=90), again: float = 0.05) -> Iterator[Made]:
    """That many events, in the order of their `observed_at`; a share `again` of them brings nothing new.

    Of those two in five are an event sent twice, three in five are late: observed long before what their slot holds. Every fifth event
    names the places behind its gap, every fourth its vintage. The fields come in the order in which a person
    writes them, not in our encoder's.
    """
    chance = random.Random(1)
    communes = [row["code"] for row in _shipped("units") if row["vintage"] == VINTAGE and row["province"] == PROVINCE]
    cells = [(domain, name, commune) for domain, names in INDICATORS.items() for name in names for commune in communes]
    sent: dict[tuple[str, str, str], Made] = {}
    pick, draw = chance.choice, chance.random
    for number in range(count):
        cell = domain, name, commune = pick(cells)
        lot = draw()
        if lot < again * 2 / 5 and cell in sent:
            yield sent[cell]
            continue
        late = again * 2 / 5 <= lot < again
        observed_at = start + number * step - (timedelta(days=90) if late else timedelta())
        source, operator = pick(SPEAKERS[domain])
        expected = 6 + number % 9
        names = number % 5 == 0
        gap = 1 + number % 3 if names or draw() < 0.3 else 0
        data: dict[str, object] = {
            "commune": commune,
            "indicator": name,
            "method": "measured" if operator else "declared",
            "origin": "simulated",
            "observed_at": observed_at,
            "covered": expected - gap,
            "expected": expected,
        }
        if operator:
            data["operator"] = operator
        if number % 4 == 0:
            data["vintage"] = VINTAGE
        if names:
            data["uncovered"] = chance.sample(_VILLAGES, gap)
        event_id = f"{source}/{observed_at:%Y-%m}/{commune}/{name}/{number}"
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": "vn.phusong.coverage.stated.v1",
            "time": observed_at + timedelta(minutes=20),
            "datacontenttype": "application/json",
            "data": data,
        }
        made = Made(domain, f"{VINTAGE}/{commune}/{name}", f"{source} {event_id}", _encode(event))
        if not late:
            sent[cell] = made
        yield made


def child_environment(settings: Settings) -> Mapping[str, str]:
    """The environment in which `python -m ops.cli …` finds this cluster and these seeds."""
    given = {name: str(getattr(settings, name)) for name in ("bootstrap_servers", "seeds", "worker_metrics_port")}
    return {**os.environ, **{f"PHUSONG_{name.upper()}": value for name, value in given.items()}}


def _shipped(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
