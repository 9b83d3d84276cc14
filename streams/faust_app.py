"""What both Faust apps share, the worker's and the notifier's: their settings, and how their process ends.

Comes in: settings. Goes out: a `faust.App` that declares no topic, keeps no table and serves no page; `or_exit` and `leave_in_time`. Owns
nothing. Only public hooks of Faust are used.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust

from phusong.settings import SASL_MECHANISM, Kafka, Settings
from streams.delivery import Fatal

log = logging.getLogger(__name__)

# Who has no share never polls and must not be thrown out for it, nor who waits for a receiver; the protocol's limit is 2^31 ms.
_NEVER_SECONDS = 20 * 24 * 3600.0
_LEAVE_SECONDS = 8.0
"""Faust waits for ever to leave a broker that is gone: its consumer's thread dies of a cancelled retry, and nobody tells who waits."""


def faust_app(name: str, settings: Settings, **more: Any) -> faust.App:
    """An app whose consumer group is `name`. Nothing is connected before it is started."""
    # Faust wants a directory, and with no tables keeps nothing in it: one for all of a name, so that a killed one leaves none behind
    scratch = Path(tempfile.gettempdir()) / f"{name}-worker-{os.getuid()}"
    return faust.App(
        name,
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings.kafka()),
        store="memory://",
        datadir=str(scratch),
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.session_seconds / 10,
        broker_max_poll_interval=_NEVER_SECONDS,
        web_enabled=False,
        **more,
    )


def _credentials(kafka: Kafka) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """How Faust's own consumer and producer speak to Kafka: as every other client does."""
    authority = None if kafka.ca is None else kafka.ca.expanduser()
    context = ssl.create_default_context(cafile=authority) if kafka.encrypted else None
    if kafka.username:
        return faust.SASLCredentials(username=kafka.username, password=kafka.password, ssl_context=context, mechanism=SASL_MECHANISM)
    return None if context is None else faust.SSLCredentials(context)


async def or_exit(service: Any, loop: Callable[[], Awaitable[Any]]) -> None:
    """Run a loop of `service`; when it fails, say so and end the process with 3 (noted in `service.exit_code`)."""
    try:
        await loop()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        service.exit_code = 3
        if isinstance(error, Fatal):
            log.critical("%s", error)
        else:
            log.critical("the process failed and ends, another may take over", exc_info=error)
        raise SystemExit(3) from error


def leave_in_time(exit_code: int) -> None:
    """Call it when stopping begins: what has not ended in time ends with this code all the same."""
    last_resort = threading.Timer(_LEAVE_SECONDS, os._exit, [exit_code])
    last_resort.daemon = True
    last_resort.start()


def run(app: faust.App) -> None:
    """Run an app in this process; raises SystemExit with 0 (SIGTERM, SIGINT), or with what ended it."""
    faust.Worker(app, loglevel="info", redirect_stdouts=False, quiet=True).execute_from_commandline()
