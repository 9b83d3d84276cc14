"""`phusong gateway`: events over HTTP into Kafka.

Comes in: settings. Goes out: the address on stderr (and in a file, where asked for); an access log on stderr. Owns no state.
"""

from __future__ import annotations

from pathlib import Path

from ops.terminal import serving
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
    return run(settings, read_rules(settings.seeds), serving("gateway", address_file))
