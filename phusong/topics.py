"""Every topic in one table: name, key, partitions, retention, compaction.

Comes in: nothing. Goes out: `TOPICS`, which `phusong topics apply|check`, the worker, the producers and the readers share.
Owns no state. A cluster that differs from this table is refused by `phusong topics check`.

The record of a share stays in its partition everywhere: the owner of share p reads partition p of the sources and writes partition p of
the outputs, so that whoever takes the share over finds its own rows and verdicts in one place.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

PARTITIONS = 12
"""Number of shares: partitions of the sources, of coverage.shares.v1 and of the outputs, always the same number."""

DAY_MS = 24 * 60 * 60 * 1000
MAX_VALUE_BYTES = 64 * 1024
"""The largest event value that is admitted; larger ones are dead-lettered as `too_large` (the topic itself takes up to 1 MiB)."""


class Topic(Struct, frozen=True, kw_only=True):
    """One topic: its name, what keys it, and the settings that must hold on the broker (strings, as Kafka spells them)."""

    name: str
    key: str
    holds: str
    partitions: int = PARTITIONS
    config: dict[str, str]


_FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
# LogAppendTime: "observed in the future" is judged against the moment the broker took the record, never a reader's clock.
_SOURCE = {**_FOREVER, "message.timestamp.type": "LogAppendTime", "max.message.bytes": "1048588"}
# Short segments let compaction work while a province is small; readers tell the greatest version themselves.
_COMPACTED = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": str(7 * DAY_MS),
}

TELECOM = Topic(name="coverage.telecom.v1", key="home province", holds="telecom events", config=_SOURCE)
BROADCAST = Topic(name="coverage.broadcast.v1", key="home province", holds="broadcast events", config=_SOURCE)
POSTAL = Topic(name="coverage.postal.v1", key="home province", holds="postal events", config=_SOURCE)
SHARES = Topic(
    name="coverage.shares.v1",
    key="–",
    holds="nothing: who owns which share",
    config={"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)},
)
COMMUNES = Topic(name="coverage.communes.v1", key="vintage/commune/indicator", holds="one assessed row", config=_COMPACTED)
PROVINCES = Topic(name="coverage.provinces.v1", key="vintage/province/indicator", holds="one ratio", config=_COMPACTED)
VERDICTS = Topic(
    name="coverage.verdicts.v1",
    key="vintage/province/indicator",
    holds="verdict changes, as CloudEvents",
    config={**_FOREVER, "message.timestamp.type": "LogAppendTime"},
)
ACKNOWLEDGEMENTS = Topic(
    name="coverage.acknowledgements.v1",
    key="vintage/province/indicator",
    holds="who has taken which verdict on, as CloudEvents",
    config={**_FOREVER, "message.timestamp.type": "LogAppendTime"},
)
DEAD_LETTERS = Topic(
    name="coverage.dead-letters.v1",
    key="original key",
    holds="rejected records",
    config={
        "cleanup.policy": "delete",
        "retention.ms": str(400 * DAY_MS),
        # a whole rejected record and its headers must fit, and the source topics take up to 1 MiB
        "max.message.bytes": str(2 * 1024 * 1024),
    },
)

SOURCES: dict[str, Topic] = {"telecom": TELECOM, "broadcast": BROADCAST, "postal": POSTAL}
"""Domain -> the topic that its events travel in."""

TOPICS: tuple[Topic, ...] = (*SOURCES.values(), SHARES, COMMUNES, PROVINCES, VERDICTS, ACKNOWLEDGEMENTS, DEAD_LETTERS)

PROGRESS_GROUP = "phusong-progress"
"""The plain consumer group (no members) under which owners commit how far their dead letters and rows are acknowledged."""


def log_id(ids: Mapping[str, str]) -> str:
    """The identity of the log that a state was built from: the ids (topic name -> id) of the source topics, in the table's order."""
    return ",".join(ids[topic.name] for topic in SOURCES.values())


def share_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """The share (partition number) of a record key: Kafka's own murmur2 partitioner, as every Java client computes it.

    Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner (`toPositive(murmur2(key)) % partitions`).
    """
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k ^= k >> 24
        h = (h * m & mask) ^ (k * m & mask)
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h ^= h >> 13
    h = h * m & mask
    return h ^ (h >> 15)
