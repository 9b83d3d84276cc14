"""The worker: Faust decides who owns what, the carrier reads, the publishing loop writes. Start reading here.

    coverage.shares.v1 ──> Faust (group, assignor) ──> ownership.py: which shares are ours
    coverage.{telecom,broadcast,postal}.v1 ──> carrier.py ──> share.py: admit and fold
        rejected ──> dead_letters.py ──> coverage.dead-letters.v1
        changed or due ──> publishing.py ──> coverage.verdicts.v1, then coverage.{communes,provinces}.v1, then progress.py

Comes in: settings and rules. Goes out: a Faust app; `run` runs it until SIGTERM (exit code 0) or until it cannot go on (3).
Owns nothing itself. Only this module, ownership.py, notify.py and faust_app.py know Faust.
"""

from __future__ import annotations

import asyncio
import logging

import faust

from phusong.rules import Rules
from phusong.settings import Settings
from streams import faust_app
from streams.carrier import Carrier
from streams.delivery import Delivery
from streams.metrics import Metrics
from streams.ownership import Ownership
from streams.publishing import Publishing
from streams.verdicts import Verdicts
from streams.watch import Watch

log = logging.getLogger(__name__)

_LAST_FLUSH_SECONDS = 3.0


def build_app(settings: Settings, rules: Rules) -> faust.App:
    """The Faust app with its one service. Nothing is connected before the app is started."""
    app = faust_app.faust_app("phusong", settings)
    ownership = Ownership(app)

    @app.service
    class Worker(faust.Service):
        """Runs the loops; the first that fails ends the process with 3."""

        def on_init(self) -> None:
            kafka = settings.kafka()
            self.exit_code = 0
            self.at_work: list[asyncio.Future[None]] = []
            self.metrics = Metrics(rules.number)
            self.delivery = Delivery(kafka)
            self.verdicts = Verdicts(kafka, settings.session_seconds)
            self.watch = Watch(kafka, settings.heartbeat_seconds)
            self.carrier = Carrier(kafka, rules, ownership, self.delivery, self.metrics)
            self.publishing = Publishing(
                settings, rules.number, self.carrier, ownership, self.delivery, self.verdicts, self.metrics, lambda: self.watch.log_id
            )
            ownership.revoked = self._revoked

        async def on_start(self) -> None:
            port = self.metrics.serve(settings.bind, settings.worker_metrics_port, self.carrier.lag)
            log.info("worker metrics on http://%s:%d/metrics", settings.bind, port)

        @faust.Service.task
        async def _run(self) -> None:
            await faust_app.or_exit(self, self.watch.start)
            for loop in (
                self.carrier.carry,
                self.publishing.beat,
                self.publishing.publish,
                self.publishing.commit,
                lambda: self.watch.watch(self.carrier.progress),
            ):
                self.at_work.append(self.add_future(faust_app.or_exit(self, loop)))

        async def _revoked(self) -> None:
            # the next owner starts when this returns: let what is under way arrive before
            await self.delivery.flush(settings.session_seconds / 2)
            await self.verdicts.settled()

        async def on_stop(self) -> None:
            faust_app.leave_in_time(self.exit_code)
            # Faust would cancel them only after this: they must not find closed what they use
            for loop in self.at_work:
                loop.cancel()
            await asyncio.gather(*self.at_work, return_exceptions=True)
            await self.delivery.flush(_LAST_FLUSH_SECONDS)
            await self.publishing.commit_now()
            await self.carrier.close()
            self.metrics.close()

    return app


def run(settings: Settings, rules: Rules) -> None:
    """Run a worker in this process; raises SystemExit with 0 (SIGTERM, SIGINT) or 3."""
    faust_app.run(build_app(settings, rules))
