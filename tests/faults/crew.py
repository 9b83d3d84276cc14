"""The workers of a fault test and their supervisor, which starts a new one for each that ends with 3.

Comes in: a `Stage`. Goes out: `Crew`. Owns the list of workers that are expected to run; any other unasked end fails the test.
"""

from __future__ import annotations

from phusong.topics import PARTITIONS
from tests.kafka import wait_until
from tests.workers import Stage, Worker


class Crew:
    """Whoever is meant to be at work."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.workers: list[Worker] = []
        self.replaced = 0

    def hire(self) -> Worker:
        """Start a worker; it is not waited for."""
        worker = self.stage.start()
        self.workers.append(worker)
        return worker

    def tend(self) -> None:
        """What systemd or compose would do."""
        for worker in list(self.workers):
            if not worker.running:
                assert worker.process.returncode == 3, f"a worker ended with {worker.process.returncode}:\n{worker.log[-3000:]}"
                self.workers.remove(worker)
                self.replaced += 1
                self.hire()

    def wait_until_ready(self, timeout_seconds: float = 60) -> None:
        """Until every worker owns shares, and each share is owned once and ready."""

        def ready() -> bool:
            self.tend()
            shares = [worker.metric("phusong_shares", state="ready") for worker in self.workers]
            rebuilding = sum(worker.metric("phusong_shares", state="rebuilding") for worker in self.workers)
            return sum(shares) == PARTITIONS and all(shares) and not rebuilding

        wait_until(ready, timeout_seconds, "every worker owns shares, and each share is ready")
