"""The real Kafka for tests, as a pytest plugin: a shared broker, or one of the test's own that it may kill.

Comes in: nothing, or `PHUSONG_BOOTSTRAP_SERVERS` of a cluster to use for the shared one. Goes out: the fixtures `kafka` and `own_kafka`,
and the helpers `fresh_name` and `wait_until`. Owns one broker per session, started at the first use; a broker that cannot be started is an
error of the test, never a skip.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from ops.local_kafka import LocalKafka

T = TypeVar("T")


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers of the broker that the tests of a session share: use fresh names, and leave the broker alone."""
    if given := os.environ.get("PHUSONG_BOOTSTRAP_SERVERS"):
        yield given
        return
    with LocalKafka() as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A running broker of the test's own, to be stopped, killed and started again on the same data."""
    with LocalKafka(tmp_path / "kafka") as broker:
        yield broker


def fresh_name(prefix: str) -> str:
    """A name for a topic or group that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def wait_until(condition: Callable[[], T], timeout_seconds: float, what: str) -> T:
    """Poll until the condition holds and return what it gave; fail the test, naming `what`, when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_seconds:g} s in vain until {what}")
        time.sleep(0.05)
    return result
