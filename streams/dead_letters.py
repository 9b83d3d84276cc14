"""What becomes of a rejected record: it goes to coverage.dead-letters.v1 whole, with its reason.

Comes in: a `Reject`. Goes out: the record's own bytes, key and headers, and headers that say where it came from and why it was not counted.
Owns no state. Its identity is (topic, partition, offset): it may be sent more than once (at least once), never not at all.
"""

from __future__ import annotations

from phusong.topics import DEAD_LETTERS
from streams.delivery import Delivery
from streams.share import Reject

PREFIX = "phusong-"


async def send(delivery: Delivery, reject: Reject, rules: int) -> None:
    """Queue the rejected record for the dead letters, waiting for room where there are many or large ones."""
    message = reject.message
    why = {
        "reason": reject.reason.value,
        "sentence": reject.sentence,
        "topic": message.topic(),
        "partition": str(message.partition()),
        "offset": str(message.offset()),
        "timestamp": str(message.timestamp()[1]),
        "rules": str(rules),
    }
    headers = [*reject.headers, *((PREFIX + name, text.encode(errors="replace")) for name, text in why.items())]
    await delivery.room()
    try:
        delivery.send(DEAD_LETTERS.name, message.partition(), message.key(), message.value(), headers)
    except BufferError:
        # a few thousand records of a mebibyte fill the client's queue before `room` counts them
        await delivery.settle()
        delivery.send(DEAD_LETTERS.name, message.partition(), message.key(), message.value(), headers)
