"""The worker: Faust decides who owns what, the carrier reads, the publishing loop writes. Start reading here.

    coverage.shares.v1 ──> Faust (group, assignor) ──> ownership.py: which shares are ours
    coverage.{telecom,broadcast,postal}.v1 ──> carrier.py ──> share.py: admit and fold
        rejected ──> dead_letters.py ──> coverage.dead-letters.v1
        changed or due ──> publishing.py ──> coverage.verdicts.v1, then coverage.{communes,provinces}.v1, then progress.py

Comes in: settings and rules. Goes out: a Faust app; `run` runs it until SIGTERM (exit code 0) or until it cannot go on (3).
Owns nothing itself. Only this module and ownership.py know Faust.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust

from phusong.rules import Rules
from phusong.settings import Settings
from streams.carrier import Carrier
from streams.delivery import Delivery, Fatal
from streams.metrics import Metrics
from streams.ownership import Ownership
from streams.publishing import Publishing
from streams.verdicts import Verdicts
from streams.watch import Watch

log = logging.getLogger(__name__)

# A worker without a share never polls and must not be thrown out for it; the protocol's limit is 2^31 ms.
_NEVER_SECONDS = 20 * 24 * 3600.0
_LAST_FLUSH_SECONDS = 3.0
_LEAVE_SECONDS = 8.0
"""Faust waits for ever to leave a broker that is gone: its consumer's thread dies of a cancelled retry, and nobody tells who waits."""


def build_app(settings: Settings, rules: Rules) -> faust.App:
    """The Faust app with its one service. Nothing is connected before the app is started."""
    # Faust wants a directory, and with no tables keeps nothing in it: one for all workers, so that a killed one leaves none behind
    scratch = Path(tempfile.gettempdir()) / f"phusong-worker-{os.getuid()}"
    app = faust.App(
        "phusong",
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        store="memory://",
        datadir=str(scratch),
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 10,
        broker_max_poll_interval=_NEVER_SECONDS,
        web_enabled=False,
    )
    ownership = Ownership(app)

    @app.service
    class Worker(faust.Service):
        """Runs the loops; the first that fails ends the process with 3."""

        def on_init(self) -> None:
            self.exit_code = 0
            self.at_work: list[asyncio.Future[None]] = []
            self.metrics = Metrics(rules.number)
            self.delivery = Delivery(settings.bootstrap_servers)
            self.verdicts = Verdicts(settings.bootstrap_servers, settings.session_seconds)
            self.watch = Watch(settings.bootstrap_servers, settings.heartbeat_seconds)
            self.carrier = Carrier(settings.bootstrap_servers, rules, ownership, self.delivery, self.metrics)
            self.publishing = Publishing(
                settings, rules.number, self.carrier, ownership, self.delivery, self.verdicts, self.metrics, lambda: self.watch.log_id
            )
            ownership.revoked = self._revoked

        async def on_start(self) -> None:
            port = self.metrics.serve(settings.bind, settings.worker_metrics_port, self.carrier.lag)
            log.info("worker metrics on http://%s:%d/metrics", settings.bind, port)

        @faust.Service.task
        async def _run(self) -> None:
            await _or_exit(self, self.watch.start)
            for loop in (
                self.carrier.carry,
                self.publishing.beat,
                self.publishing.publish,
                self.publishing.commit,
                lambda: self.watch.watch(self.carrier.progress),
            ):
                self.at_work.append(self.add_future(_or_exit(self, loop)))

        async def _revoked(self) -> None:
            # the next owner starts when this returns: let what is under way arrive before
            await self.delivery.flush(settings.session_seconds / 2)
            await self.verdicts.settled()

        async def on_stop(self) -> None:
            last_resort = threading.Timer(_LEAVE_SECONDS, os._exit, [self.exit_code])
            last_resort.daemon = True
            last_resort.start()
            # Faust would cancel them only after this: they must not find closed what they use
            for loop in self.at_work:
                loop.cancel()
            await asyncio.gather(*self.at_work, return_exceptions=True)
            await self.delivery.flush(_LAST_FLUSH_SECONDS)
            await self.publishing.commit_now()
            await self.carrier.close()
            self.metrics.close()

    return app


async def _or_exit(service: Any, loop: Callable[[], Awaitable[Any]]) -> None:
    try:
        await loop()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        service.exit_code = 3
        if isinstance(error, Fatal):
            log.critical("%s", error)
        else:
            log.critical("the worker failed and ends, another may take over", exc_info=error)
        raise SystemExit(3) from error


def run(settings: Settings, rules: Rules) -> None:
    """Run a worker in this process; raises SystemExit with 0 (SIGTERM, SIGINT) or 3."""
    worker = faust.Worker(build_app(settings, rules), loglevel="info", redirect_stdouts=False, quiet=True)
    worker.execute_from_commandline()
