"""docs/install.md does what it says: its commands are run in their order on a real Kafka, what they copy is all there, its figures agree.

What needs Docker, nginx or systemd is checked as far as it can be read.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from feed.openapi import EVENTS_PATH
from ops.local_kafka import LocalKafka
from phusong.events import decode
from phusong.settings import PREFIX, Settings, read_settings
from phusong.topics import SOURCES, TOPICS
from tests.workers import Record, Stage, Topics, many

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/install.md").read_text("utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [text for language, text in BLOCKS if language == "sh"]


def _records(servers: str) -> dict[str, list[Record]]:
    topics = Topics(servers)
    try:
        return {topic.name: topics.read(topic.name) for topic in TOPICS}
    finally:
        topics.close()


@pytest.mark.kafka
@pytest.mark.skipif(shutil.which("kcat") is None, reason="needs the Debian package kcat")
def test_the_commands_of_the_page_back_up_and_restore_all_of_it(own_kafka: LocalKafka, tmp_path: Path) -> None:
    """One who follows it has every record again at its offset, an audit that finds nothing, and every event in another Kafka."""
    set_up, copy, restore, look, export, send_again = COMMANDS
    stage = Stage(own_kafka.bootstrap_servers, tmp_path / "stage")
    directory = tmp_path / "here"
    directory.mkdir()
    settings = {name: str(value) for name, value in (stage.settings | {"seeds": stage.seeds}).items()}

    def run(text: str, servers: str) -> str:
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
            **{PREFIX + name.upper(): value for name, value in settings.items()},
            f"{PREFIX}BOOTSTRAP_SERVERS": servers,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "KAFKA_DATA": str(own_kafka.data_dir),
            "KAFKA_RESTORED": str(tmp_path / "restored"),
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text.replace("127.0.0.1:9092", servers)],
            cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(set_up, own_kafka.bootstrap_servers)
    try:
        worker = stage.start_ready()
        stage.send(many(40))
        stage.wait_for_rows()
        stage.wait_for_progress()
        assert worker.end() == 0
    finally:
        stage.close()
    before = _records(own_kafka.bootstrap_servers)
    told = run("mkdir -p backup\n" + export, own_kafka.bootstrap_servers)
    count = sum(len(before[topic.name]) for topic in SOURCES.values())
    assert f"{count} total" in told

    own_kafka.stop()
    run(copy, own_kafka.bootstrap_servers)
    run(restore, own_kafka.bootstrap_servers)
    with LocalKafka(tmp_path / "restored") as restored:
        assert _records(restored.bootstrap_servers) == before
        run(look, restored.bootstrap_servers)

    with LocalKafka(tmp_path / "other") as other:
        for _ in range(2):
            run(send_again, other.bootstrap_servers)
        events = [
            [{decode(one.value, one.headers) for one in records[topic.name]} for topic in SOURCES.values()]
            for records in (before, _records(other.bootstrap_servers))
        ]
        assert events[0] == events[1]


def test_make_up_makes_its_secrets_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    """A second start must not change the password that Grafana was made with."""
    (tmp_path / "docker").write_text('#!/bin/sh\necho "$@" >> started\n')
    (tmp_path / "docker").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def up() -> dict[str, str]:
        subprocess.run(["make", "-s", "-f", str(ROOT / "Makefile"), "up"], cwd=tmp_path, env=env, check=True, capture_output=True)
        return {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}

    first = up()
    assert up() == first
    assert first.keys() == {"grafana-admin-password", "ioc-webhook-secret", "smtp-password"}
    assert len({text for text in first.values() if len(text.strip()) == 32}) == 2
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "started").read_text() == "compose up --build --wait\n" * 2


def test_every_setting_of_the_page_exists() -> None:
    """A misspelt one would stop every process."""
    named = set(re.findall(rf"{PREFIX}([A-Z_]+[A-Z])\b", PAGE))
    assert named <= {field.upper() for field in Settings.model_fields}


def test_the_kafka_settings_of_the_page_are_taken(tmp_path: Path) -> None:
    """As they stand, with files that are there."""
    (block,) = [text for _, text in BLOCKS if "KAFKA_SECURITY_PROTOCOL" in text]
    given = {name.removeprefix(PREFIX).lower(): value for name, value in (line.split("=", 1) for line in block.splitlines())}
    for name in ("kafka_ca", "kafka_password_file"):
        given[name] = str(tmp_path / name)
        (tmp_path / name).write_text("a password\n")
        (tmp_path / name).chmod(0o600)
    kafka = read_settings(**given).kafka()
    assert kafka.encrypted
    assert len(kafka.servers.split(",")) == 3


def test_the_proxy_of_the_page_lets_server_sent_events_through_and_metrics_not() -> None:
    """Buffered, a change would come when the buffer is full; a page of a proxy never shows what is for Prometheus alone."""
    (nginx,) = [text for language, text in BLOCKS if language == "nginx"]
    assert nginx.count("{") == nginx.count("}")
    locations = dict(re.findall(r"location (?:= |\^~ )?(\S+) \{(.*?)\n?\s*\}", nginx, re.DOTALL))
    assert {"proxy_buffering off", "proxy_cache off", "gzip off"} <= {line.strip() for line in locations[EVENTS_PATH].split(";")}
    # not only as it is written most often: the feed takes a slash at the end, too
    assert "location ^~ /metrics { return 404; }" in nginx
    # the feed's own keys travel in it
    assert "Authorization" not in nginx
    assert "auth_basic" not in nginx
    assert "proxy_set_header X-Forwarded-Proto $scheme;" in nginx


def test_the_unit_of_the_page_starts_every_part_and_gives_it_no_privilege() -> None:
    """A process that would not start again is not started again."""
    (text,) = [text for language, text in BLOCKS if language == "ini"]
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    unit.read_string(text)
    service = unit["Service"]
    assert service["ExecStart"].endswith("/phusong %i")
    assert service["User"] == "phusong"
    assert (service["NoNewPrivileges"], service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("yes", "strict", "")
    assert service["RestartPreventExitStatus"] == "1 2"
    started = {part for line in PAGE.splitlines() for part in re.findall(r"phusong@(\w+)", line)}
    assert started == {"worker", "feed", "gateway", "notify"}


def test_the_volumes_and_secrets_of_the_page_are_those_of_compose() -> None:
    """Somebody copies these names into a command that deletes or restores."""
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    volumes = set(re.findall(r"phusong_([a-z-]+)\b", PAGE)) - {"feed", "gateway"}
    assert volumes == {"kafka-data", "gateway-keys", "grafana-data"}
    for name in (*volumes, *re.findall(r"secrets/([a-z-]+)", PAGE)):
        assert f"\n  {name}:" in compose, name


def test_the_figures_of_the_page_are_those_of_the_bench() -> None:
    """They are measured there; a new measurement is written down in both."""
    bench = (ROOT / "bench/README.md").read_text("utf-8").replace("\u00a0", " ")
    for here, there in {
        "112,109 events/s": "112 109",
        "p99 174 ms": "| 174 ",
        "46,970 rows in 3.1 s, 236 MiB": "46 970",
        "5,057 single events/s": "5 057",
        "37,726 in batches": "37 726",
        "a million events in 12 s, 159 MiB": "| 159 ",
    }.items():
        assert here in PAGE, here
        assert there in bench, there
    assert 138 * 14 * 4 * 12 == 92_736
    assert "92,736 events, 39 MB" in PAGE
    assert "2.2 million events, 0.94 GB" in PAGE
    assert round(3321 * 14 * 4 * 12 / 1e6, 1) == 2.2
