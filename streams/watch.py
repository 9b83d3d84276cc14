"""Whether the world is still the one this worker was started in: the same source topics, and no newer rules beside it.

Comes in: the ids that the broker shows for the source topics, and the rules in the metadata of phusong-progress. Goes out: `log_id`, and
`Fatal` on any change. Owns the ids seen at the start. librdkafka goes on silently in a topic that was deleted and created again, so
somebody has to look; while the broker is away the look is put off.
"""

from __future__ import annotations

import asyncio
import logging

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from phusong.settings import Kafka
from phusong.topics import SOURCES, log_id
from streams.delivery import Fatal
from streams.progress import Progress

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 5.0


class Watch:
    """Looks at every heartbeat."""

    def __init__(self, kafka: Kafka, heartbeat_seconds: float) -> None:
        self.log_id = ""
        self._heartbeat_seconds = heartbeat_seconds
        self._admin = AdminClient({**kafka.options(), "log_level": 3})

    async def start(self) -> None:
        """Note the ids of the source topics. Raises Fatal where they cannot be had."""
        try:
            self.log_id = await self._look()
        except KafkaException as error:
            raise Fatal(f"the source topics cannot be seen: {error}; is the broker reachable?") from error

    async def watch(self, progress: Progress) -> None:
        """Until cancelled: compare at every heartbeat. Raises Fatal on a change."""
        every = [(topic.name, partition) for topic in SOURCES.values() for partition in range(topic.partitions)]
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            try:
                now = await self._look()
                await progress.read(every)
            except KafkaException as error:
                log.warning("the broker did not answer, will look again: %s", error)
                continue
            if now != self.log_id:
                raise Fatal("a source topic was deleted and created again: what this worker knows is of the log before; start it anew")

    async def _look(self) -> str:
        names = [topic.name for topic in SOURCES.values()]
        found = self._admin.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT_SECONDS)
        ids = {}
        for name, future in found.items():
            try:
                ids[name] = str((await asyncio.wrap_future(future)).topic_id)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise Fatal(f"source topic {name} does not exist; run `phusong topics apply` and start this worker anew") from error
                raise
        return log_id(ids)
