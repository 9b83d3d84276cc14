"""`phusong topics apply|check` against a real broker: it ends as the table says, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from ops import topics
from ops.local_kafka import LocalKafka
from ops.topics import Kind, apply, check, differences
from phusong.settings import Settings, read_settings
from phusong.topics import DEAD_LETTERS, POSTAL, PROVINCES, TELECOM, TOPICS
from tests.kafka import wait_until

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with LocalKafka() as kafka:
        yield kafka.bootstrap_servers


@pytest.fixture
def admin(broker: str) -> AdminClient:
    """To a cluster without a topic."""
    admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})
    names = list(admin.list_topics(timeout=10).topics)
    for future in (admin.delete_topics(names) if names else {}).values():
        future.result()
    wait_until(lambda: not admin.list_topics(timeout=10).topics, 10, "the topics of the test before were gone")
    return admin


@pytest.fixture
def settings(broker: str, admin: AdminClient) -> Settings:
    return read_settings(bootstrap_servers=broker)


def create(admin: AdminClient, name: str, partitions: int) -> None:
    admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])[name].result()
    wait_until(lambda: name in admin.list_topics(timeout=10).topics, 10, f"{name} was there")


def alter(admin: AdminClient, name: str, setting: str, value: str) -> None:
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result()


def test_check_on_an_empty_cluster_names_each_missing_topic(settings: Settings) -> None:
    said: list[str] = []
    assert check(settings, said.append) == 1
    assert said == [f"{topic.name}: missing; run `phusong topics apply`" for topic in TOPICS]


def test_apply_creates_every_topic_ready_to_be_written_to_and_then_nothing_differs(settings: Settings, admin: AdminClient) -> None:
    said: list[str] = []
    assert apply(settings, said.append) == 0
    assert said == [f"{topic.name}: created, replication factor 1" for topic in TOPICS]
    found = admin.list_topics(timeout=10).topics
    assert {name: len(one.partitions) for name, one in found.items()} == {topic.name: topic.partitions for topic in TOPICS}
    assert all(partition.leader >= 0 for one in found.values() for partition in one.partitions.values())
    said.clear()
    assert check(settings, said.append) == 0
    assert said == []


def test_apply_again_changes_nothing_and_says_nothing(settings: Settings) -> None:
    apply(settings, lambda _: None)
    said: list[str] = []
    assert apply(settings, said.append) == 0
    assert said == []


def test_a_changed_setting_is_told_by_check_and_mended_by_apply(settings: Settings, admin: AdminClient) -> None:
    apply(settings, lambda _: None)
    alter(admin, DEAD_LETTERS.name, "retention.ms", "1000")
    alter(admin, PROVINCES.name, "cleanup.policy", "delete")
    wait_until(lambda: len(differences(admin)) == 2, 10, "the broker showed both changes")
    said: list[str] = []
    assert check(settings, said.append) == 1
    assert said == [
        "coverage.provinces.v1: cleanup.policy is delete, not compact; run `phusong topics apply`",
        "coverage.dead-letters.v1: retention.ms is 1000, not 34560000000; run `phusong topics apply`",
    ]
    said.clear()
    assert apply(settings, said.append) == 0
    assert said == [
        "coverage.provinces.v1: cleanup.policy set to compact, was delete",
        "coverage.dead-letters.v1: retention.ms set to 34560000000, was 1000",
    ]
    assert differences(admin) == []


def test_mending_leaves_the_settings_that_the_table_does_not_name(settings: Settings, admin: AdminClient) -> None:
    apply(settings, lambda _: None)
    alter(admin, POSTAL.name, "segment.bytes", "10485760")
    alter(admin, POSTAL.name, "retention.ms", "1000")
    wait_until(lambda: differences(admin), 10, "the broker showed the change")
    assert apply(settings, lambda _: None) == 0
    resource = ConfigResource(ResourceType.TOPIC, POSTAL.name)
    assert admin.describe_configs([resource])[resource].result()["segment.bytes"].value == "10485760"


def test_a_changed_partition_count_is_refused_with_the_explanation_and_the_other_topics_are_applied(
    settings: Settings, admin: AdminClient
) -> None:
    create(admin, TELECOM.name, 6)
    said: list[str] = []
    assert apply(settings, said.append) == 1
    refusal = said[0]
    assert refusal.startswith("coverage.telecom.v1: has 6 partitions, not 12. Changing the number, or a merger of provinces, means copying")
    assert refusal.endswith("refused, nothing altered on this topic")
    assert said[1:] == [f"{topic.name}: created, replication factor 1" for topic in TOPICS if topic is not TELECOM]
    left = differences(admin)
    assert {one.topic.name for one in left} == {TELECOM.name}
    assert {one.kind for one in left} == {Kind.PARTITIONS, Kind.CONFIG}  # nothing altered: it keeps the broker's settings, too
    assert check(settings, lambda _: None) == 1


def test_more_copies_than_brokers_is_refused_and_the_setting_named(settings: Settings) -> None:
    said: list[str] = []
    assert apply(settings.model_copy(update={"replication_factor": 3}), said.append) == 3
    assert len(said) == len(TOPICS)
    assert said[0].startswith("coverage.telecom.v1: could not be created with PHUSONG_REPLICATION_FACTOR=3: ")


@pytest.mark.parametrize("command", [apply, check])
def test_a_broker_that_does_not_answer_is_named_with_the_remedy(
    command: Callable[[Settings, topics.Report], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "CONNECT_SECONDS_MAX", 0.5)
    said: list[str] = []
    assert command(read_settings(bootstrap_servers="127.0.0.1:9"), said.append) == 3
    assert len(said) == 1
    assert said[0].startswith("127.0.0.1:9: Kafka does not answer (")
    assert said[0].endswith("; start it, or correct PHUSONG_BOOTSTRAP_SERVERS or PHUSONG_KAFKA_*")
