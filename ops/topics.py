"""`phusong topics apply|check`: the topics on the broker beside the table in phusong/topics.py.

Comes in: the settings (where Kafka is, how many copies) and the table. Goes out: sentences to `report`, an exit code, and with `apply` the
topics themselves. Owns no state. Exit codes: 0 all as the table says; 1 a difference that stays; 3 Kafka does not answer or refuses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from msgspec import Struct

from feed.reading import Troubles
from phusong.settings import Settings
from phusong.topics import TOPICS, Topic

CONNECT_SECONDS_MAX = 10.0
SETTLE_SECONDS_MAX = 30.0  # under a second as a rule; a cluster that elects leaders may take longer

Report = Callable[[str], None]


class Kind(StrEnum):
    """In what a topic on the broker may differ from its row in the table."""

    MISSING = "missing"
    PARTITIONS = "partitions"
    CONFIG = "config"


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that is not as the table says: `setting` is `wanted` there and `found` on the broker. As text: a sentence."""

    topic: Topic
    kind: Kind
    setting: str = ""
    wanted: str = ""
    found: str = ""

    def __str__(self) -> str:
        """What differs, for an administrator."""
        if self.kind is Kind.MISSING:
            return f"{self.topic.name}: missing; run `phusong topics apply`"
        if self.kind is Kind.PARTITIONS:
            return (
                f"{self.topic.name}: has {self.found} partitions, not {self.wanted}. Changing the number, or a merger of provinces, means "
                "copying the log to new topics: every key would move to another share, and what it said before would stay behind"
            )
        return f"{self.topic.name}: {self.setting} is {self.found}, not {self.wanted}; run `phusong topics apply`"


def check(settings: Settings, report: Report) -> int:
    """Report every difference, change nothing; returns the exit code."""
    admin, troubles = _connect(settings)
    try:
        found = differences(admin)
    except KafkaException as error:
        report(_trouble(settings, error, troubles.behind(admin, error)))
        return 3
    for one in found:
        report(str(one))
    return 1 if found else 0


def apply(settings: Settings, report: Report) -> int:
    """Create what is missing and set what differs, except a number of partitions: that is refused, the others go on. Returns the exit code.

    Reports each change and each refusal; returns when every topic can be written to.
    """
    admin, troubles = _connect(settings)
    try:
        found = differences(admin)
        stuck = {one.topic.name for one in found if one.kind is Kind.PARTITIONS}
        for one in found:
            if one.kind is Kind.PARTITIONS:
                report(f"{one}; refused, nothing altered on this topic")
        missing = [one.topic for one in found if one.kind is Kind.MISSING]
        altered = [one for one in found if one.kind is Kind.CONFIG and one.topic.name not in stuck]
        done = all([_create(admin, settings, missing, report), _alter(admin, altered, report)])
        if not done or not _settled(admin, stuck, report):
            return 3
    except KafkaException as error:
        report(_trouble(settings, error, troubles.behind(admin, error)))
        return 3
    return 1 if stuck else 0


def differences(admin: AdminClient) -> list[Difference]:
    """Everything in which the broker differs from the table, in the table's order. Raises KafkaException when it does not answer.

    The number of copies is not compared: it is the cluster's matter, and changes by reassignment.
    """
    # all topics: to ask for one by name would create it on a broker that is set up so
    topics = admin.list_topics(timeout=CONNECT_SECONDS_MAX).topics
    partitions = {name: len(one.partitions) for name, one in topics.items() if one.error is None}
    present = [topic for topic in TOPICS if topic.name in partitions]
    described = admin.describe_configs([_resource(topic) for topic in present], request_timeout=CONNECT_SECONDS_MAX) if present else {}
    configs = {}
    for resource, future in described.items():
        try:
            configs[resource.name] = future.result()
        except KafkaException as error:
            # just created: the broker that was asked this time has not heard of it; or just deleted
            if _code(error) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    found = []
    for topic in TOPICS:
        if topic.name not in configs:
            found.append(Difference(topic=topic, kind=Kind.MISSING))
            continue
        if partitions[topic.name] != topic.partitions:
            found.append(Difference(topic=topic, kind=Kind.PARTITIONS, wanted=str(topic.partitions), found=str(partitions[topic.name])))
        for setting, wanted in topic.config.items():
            entry = configs[topic.name].get(setting)
            value = "unknown to this broker" if entry is None else str(entry.value)
            if value != wanted:
                found.append(Difference(topic=topic, kind=Kind.CONFIG, setting=setting, wanted=wanted, found=value))
    return found


def _connect(settings: Settings) -> tuple[AdminClient, Troubles]:
    troubles = Troubles()
    # what goes wrong is raised and reported; on stderr it would come a second time, in librdkafka's words
    return AdminClient({**settings.kafka().options(), "log_level": 0, "error_cb": troubles.note}), troubles


def _create(admin: AdminClient, settings: Settings, missing: Sequence[Topic], report: Report) -> bool:
    """Create the topics; returns whether all are there."""
    copies = settings.replication_factor
    new = [NewTopic(one.name, num_partitions=one.partitions, replication_factor=copies, config=one.config) for one in missing]
    all_there = True
    for name, future in (admin.create_topics(new) if new else {}).items():
        try:
            future.result()
        except KafkaException as error:
            # somebody else applies the same table at the same time
            if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                all_there = False
                report(f"{name}: could not be created with PHUSONG_REPLICATION_FACTOR={copies}: {_reason(error)}")
        else:
            report(f"{name}: created, replication factor {copies}")
    return all_there


def _alter(admin: AdminClient, altered: Sequence[Difference], report: Report) -> bool:
    """Set each setting to what is wanted; returns whether all could be."""
    by_topic = {one.topic.name: [other for other in altered if other.topic == one.topic] for one in altered}
    resources = []
    for ones in by_topic.values():
        entries = [ConfigEntry(one.setting, one.wanted, incremental_operation=AlterConfigOpType.SET) for one in ones]
        resources.append(_resource(ones[0].topic, entries))
    all_set = True
    for resource, future in (admin.incremental_alter_configs(resources) if resources else {}).items():
        try:
            future.result()
        except KafkaException as error:
            all_set = False
            report(f"{resource.name}: could not be altered: {_reason(error)}")
        else:
            for one in by_topic[resource.name]:
                report(f"{resource.name}: {one.setting} set to {one.wanted}, was {one.found}")
    return all_set


def _settled(admin: AdminClient, refused: AbstractSet[str], report: Report) -> bool:
    """Wait until the brokers show what was applied and every partition has a leader; returns whether that came in time."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        waiting = [str(one) for one in differences(admin) if one.topic.name not in refused]
        waiting += _leaderless(admin)
        if not waiting:
            return True
        if time.monotonic() > deadline:
            for one in waiting:
                report(f"{one} (still so {SETTLE_SECONDS_MAX:.0f} s after it was applied; is every broker up?)")
            return False
        time.sleep(0.1)


def _leaderless(admin: AdminClient) -> list[str]:
    topics = admin.list_topics(timeout=CONNECT_SECONDS_MAX).topics
    return [
        f"{name}: partition {number} has no leader"
        for name in (one.name for one in TOPICS)
        if name in topics
        for number, partition in topics[name].partitions.items()
        if partition.leader < 0
    ]


def _resource(topic: Topic, entries: list[ConfigEntry] | None = None) -> ConfigResource:
    return ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries)


def _code(error: KafkaException) -> int:
    code: int = error.args[0].code()
    return code


def _reason(error: KafkaException) -> str:
    reason: str = error.args[0].str()
    return reason


def _trouble(settings: Settings, error: KafkaException, why: str) -> str:
    if _code(error) in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN):  # noqa: SLF001 - named so by librdkafka
        remedy = "start it, or correct PHUSONG_BOOTSTRAP_SERVERS or PHUSONG_KAFKA_*"
        return f"{settings.bootstrap_servers}: Kafka does not answer ({why}); {remedy}"
    return f"{settings.bootstrap_servers}: Kafka refuses: {_reason(error)}"
