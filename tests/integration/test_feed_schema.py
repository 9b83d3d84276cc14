"""The feed keeps what its OpenAPI document promises: schemathesis, every check, over a real feed on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema

from ops.local_kafka import LocalKafka
from phusong.rows import Verdict
from phusong.topics import TOPICS
from tests.feed_clusters import COMMUNE_ROWS, PROVINCE_ROWS, Cluster
from tests.kafka import wait_until

pytestmark = pytest.mark.kafka

SEED = 1
"""The same requests in every run; another number looks elsewhere (1 to 3 were tried)."""
EXPECTED = {
    # a commune, a cursor or a moment that is right by the schema may still be none that there is; a form may not be there
    "positive_data_acceptance": {"expected-statuses": ["2xx", "304", "400", "406"]},
    # any Accept, If-None-Match and Last-Event-ID may be sent, and what is none of ours is none that there is
    "negative_data_rejection": {"expected-statuses": ["2xx", "304", "400", "404", "405", "406"]},
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Every row of a province of which nothing is known, and a history."""
    with LocalKafka(tmp_path / "kafka") as broker:
        made = Cluster(broker)
        made.create(*(topic.name for topic in TOPICS))
        rows = [*COMMUNE_ROWS.values(), *PROVINCE_ROWS.values()]
        made.publish(*((row, made.version(1)) for row in rows))
        made.decide(Verdict.UNCERTAIN, Verdict.MISSED)
        yield made


def test_schemathesis_finds_nothing(cluster: Cluster) -> None:
    with cluster.feed() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, 30, "the feed is ready")
        url = str(client.base_url).rstrip("/")
        config = SchemathesisConfig.from_dict(
            {"base-url": url, "seed": SEED, "checks": EXPECTED, "generation": {"max-examples": 40, "mode": "all"}}
        )
        schema = schemathesis.openapi.from_url(f"{url}/api/v1/schema/openapi.json", config=config)
        failures: list[Failure] = []
        asked = 0
        # the answer of /api/v1/events does not end
        for event in from_schema(schema.exclude(path="/api/v1/events")).execute():
            assert not isinstance(event, events.FatalError | events.NonFatalError), event
            if isinstance(event, events.ScenarioFinished):
                asked += len(event.recorder.interactions)
                failures += [
                    check.failure_info.failure
                    for checks in event.recorder.checks.values()
                    for check in checks
                    if check.failure_info is not None
                ]
        assert [f"{failure.title}: {failure.message}" for failure in failures] == []
        assert asked > 200
