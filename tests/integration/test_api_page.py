"""docs/api.md does what it says: its commands are run in their order against a real feed, and print what the page shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from feed.resources import RESOURCES
from ops.local_kafka import LocalKafka
from phusong.rows import State, Verdict
from phusong.topics import TOPICS
from tests.feed_clusters import COMMUNE_ROWS, GAP, PROVINCE_ROWS, ROW, Cluster
from tests.kafka import wait_until

pytestmark = [
    # in CI what is marked so is never skipped
    pytest.mark.kafka,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs the Debian package curl"),
]

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(sh|text)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The province of mid-2023: 137 of 138 communes with a staffed postal point, and nobody has reported since."""
    with LocalKafka(tmp_path / "kafka") as broker:
        made = Cluster(broker)
        made.create(*(topic.name for topic in TOPICS))
        covered = {"state": State.FRESH, "covered": 1, "expected": 1, "ratio": 1.0, "low": 1.0, "high": 1.0}
        missing = {"state": State.FRESH, "covered": 0, "expected": 1, "ratio": 0.0, "low": 0.0, "high": 0.0}
        rows = [
            msgspec.structs.replace(row, **(missing if row.commune == GAP.commune else covered) if row.indicator == GAP.indicator else {})
            for row in COMMUNE_ROWS.values()
        ]
        made.publish(*((row, made.version(1)) for row in (*rows, *PROVINCE_ROWS.values())))
        made.publish((msgspec.structs.replace(ROW, covered=137, ratio=137 / 138, verdict=Verdict.MISSED), made.version(2)))
        made.decide(Verdict.UNCERTAIN, Verdict.MISSED)
        yield made


def test_every_command_of_the_page_prints_what_the_page_shows(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.feed() as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, 30, "the feed is ready")
        said = ""
        for language, text in BLOCKS:
            if language == "text":
                assert said.replace("\r", "").strip() == text.strip()
                continue
            command = text.replace("http://127.0.0.1:8600", str(client.base_url).rstrip("/"))
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            said = done.stdout
            if "/events" in command:
                assert "event: heartbeat\ndata: {" in said
            if "province=8'" in command:
                assert '"known":["02","08"]' in said
    assert (tmp_path / "con-thieu.csv").read_bytes().startswith("\ufeffDanh sách xã,Mã tỉnh,Mã xã,Tên xã".encode())
    assert '"geometry":null' in (tmp_path / "con-thieu.geojson").read_text()


@pytest.mark.parametrize("path", [*(one.path for one in RESOURCES), "/api/v1/evidence", "/api/v1/events"])
def test_the_page_names_every_address(path: str) -> None:
    assert f"| `{path}` |" in PAGE
