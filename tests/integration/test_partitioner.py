"""The murmur2 of phusong/topics.py and the one that librdkafka computes, on the real Kafka."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from phusong.topics import PARTITIONS, share_of
from tests.kafka import fresh_name, wait_until

pytestmark = pytest.mark.kafka


def test_a_record_lands_in_the_share_of_its_key(kafka: str) -> None:
    """200 keys of every length from 1 to 40, as librdkafka's `murmur2_random` places them."""
    topic = fresh_name("partitioner")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)
    landed: dict[bytes, int] = {}
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        key, partition = message.key(), message.partition()
        if error is not None or key is None or partition is None:
            errors.append(error or KafkaError(KafkaError._FAIL))
        else:
            landed[key if isinstance(key, bytes) else key.encode()] = partition

    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    keys = [(f"{n:03}" + "Tuyên Quang – Hà Giang – phủ sóng")[: 1 + n % 40].encode() + bytes([n]) for n in range(200)]
    for key in keys:
        producer.produce(topic, key=key, value=b"-", on_delivery=delivered)
    wait_until(lambda: producer.flush(1) == 0, 30, "all 200 records are acknowledged")
    admin.delete_topics([topic])[topic].result(10)
    assert errors == []
    assert landed == {key: share_of(key) for key in keys}
