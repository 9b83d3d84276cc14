"""`phusong gateway`: events over HTTP into Kafka.

Comes in: settings. Goes out: the address on stderr (and in a file, where asked for); an access log on stderr. Owns no state.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ops.terminal import say_aside
from phusong.settings import read_rules, read_settings


def gateway(*, address_file: Path | None = None) -> int:
    """Chạy cổng nhận sự kiện qua HTTP. Take events over HTTP (POST /v1/events) until SIGTERM; then finish what is under way.

    Examples: `phusong keys create operator-a`, then `phusong gateway`; PHUSONG_BIND, PHUSONG_GATEWAY_PORT say where.

    Parameters
    ----------
    address_file
        Write the address here once requests are taken (with PHUSONG_GATEWAY_PORT=0 the port is any free one).
    """
    from producers.gateway.server import run

    settings = read_settings()

    def ready(url: str) -> None:
        say_aside(f"gateway: {url}")
        if address_file is not None:
            part = address_file.with_suffix(".part")
            part.write_text(url)
            part.replace(address_file)

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return run(settings, read_rules(settings.seeds), ready)
