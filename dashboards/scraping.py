"""What Prometheus scrapes inside the compose network, and which recording rules it keeps.

Comes in: the names of services and ports of docker-compose.yml. Goes out: `PROMETHEUS`, the configuration. Owns no state. It loads no
alerts: Grafana evaluates those, and both sets together would alert twice.
"""

from __future__ import annotations

from typing import Any

RECORDING = "recording.yml"
"""Beside prometheus.yml."""

_TARGETS = {"feed": 8600, "worker": 8602, "gateway": 8601, "notify": 8603}
"""Service -> port; by DNS, so that every replica is one target."""

PROMETHEUS: dict[str, Any] = {
    "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
    "rule_files": [RECORDING],
    "scrape_configs": [
        {"job_name": f"phusong-{name}", "dns_sd_configs": [{"names": [name], "type": "A", "port": port}]} for name, port in _TARGETS.items()
    ],
}
