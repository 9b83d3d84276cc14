"""phusong/topics.py: the share of a key is Kafka's own, and the table of topics is consistent."""

from __future__ import annotations

import pytest

from phusong.topics import MAX_VALUE_BYTES, PARTITIONS, SOURCES, TOPICS, _murmur2, share_of


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_vectors_of_kafkas_own_test(key: bytes, expected: int) -> None:
    """Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert _murmur2(key) == expected & 0xFFFFFFFF
    assert share_of(key, 1000) == (expected & 0x7FFFFFFF) % 1000


def test_provinces_do_not_all_fall_into_one_share() -> None:
    shares = {share_of(f"{code:02}".encode()) for code in range(1, 97)}
    assert shares == set(range(PARTITIONS))


def test_sources_shares_and_outputs_have_the_same_number_of_partitions() -> None:
    assert {topic.partitions for topic in TOPICS} == {PARTITIONS}


def test_every_domain_has_the_topic_that_is_named_after_it() -> None:
    assert {domain: topic.name for domain, topic in SOURCES.items()} == {
        domain: f"coverage.{domain}.v1" for domain in ("telecom", "broadcast", "postal")
    }


def test_the_log_is_kept_without_limit_and_stamped_by_the_broker() -> None:
    for topic in SOURCES.values():
        assert topic.config["cleanup.policy"] == "delete"
        assert topic.config["retention.ms"] == topic.config["retention.bytes"] == "-1"
        assert topic.config["message.timestamp.type"] == "LogAppendTime"


def test_a_value_that_is_too_large_still_reaches_the_topic_and_the_dead_letters() -> None:
    """Or else a reporter would never see it rejected with its reason."""
    limits = {topic.name: int(topic.config.get("max.message.bytes", 1_048_588)) for topic in TOPICS}
    largest_source = max(limits[topic.name] for topic in SOURCES.values())
    assert MAX_VALUE_BYTES < largest_source < limits["coverage.dead-letters.v1"]
