"""`phusong gateway` as operators run it: it ends without losing what it answered 202, and a worker counts what came through it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from access.keys import FORM
from ops.local_kafka import LocalKafka
from phusong.events import Event, encode
from phusong.rows import CommuneRow
from tests.gateways import BATCH, JSON, Door, events_in
from tests.kafka import fresh_name, wait_until
from tests.workers import ROOT, Stage, by_version
from tests.worlds import COMMUNES, POSTAL, instant, seed_texts, stated

pytestmark = pytest.mark.kafka


def of_sdk(event: Event) -> CloudEvent:
    plain = json.loads(encode(event))
    data = plain.pop("data")
    return CloudEvent({**plain, "time": instant(plain["time"])}, data)


def test_what_the_sdk_posts_in_each_mode_is_counted_by_a_worker(stage: Stage, tmp_path: Path) -> None:
    door = Door(stage.servers, tmp_path)
    key = door.key("post-office")
    first, second, third = (stated(commune, POSTAL, 1, 1, event_id=f"{commune}/sdk") for commune in COMMUNES["08"])
    batched = HTTPMessage({"content-type": BATCH}, b"[" + JSONFormat().write(of_sdk(third)) + b"]")
    stage.start_ready()
    with door.process() as gateway, httpx.Client(base_url=gateway.url) as client:
        for message in (to_structured_event(of_sdk(first)), to_binary_event(of_sdk(second)), batched):
            response = client.post("/v1/events", content=message.body, headers={**message.headers, "authorization": f"Bearer {key}"})
            assert (response.status_code, response.json()) == (202, {"accepted": 1})
        stage.wait_for_rows()
        shown = by_version(stage.rows())
        for event in (first, second, third):
            row = shown[f"2020-01-01/{event.data.commune}/{POSTAL}"].row
            assert isinstance(row, CommuneRow)
            assert (row.covered, row.statements) == (1, (f"post-office {event.id}",))
        assert gateway.end() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_at_its_end_every_request_under_way_is_answered_and_what_was_answered_202_is_in_kafka(
    kafka: str, tmp_path: Path, how: signal.Signals
) -> None:
    door = Door(kafka, tmp_path)
    key = door.key("post-office")
    run = fresh_name("drain")
    accepted: list[str] = []
    cut_off: list[str] = []

    def keep_posting(number: int) -> None:
        with httpx.Client(base_url=gateway.url, timeout=30) as client:
            for count in range(100_000):
                name = f"{run}/{number}/{count}"
                body = encode(stated(event_id=name))
                try:
                    response = client.post("/v1/events", content=body, headers={"content-type": JSON, "authorization": f"Bearer {key}"})
                except httpx.TransportError as error:
                    cut_off.append(f"{error!r}")
                    return
                assert response.status_code == 202, response.text
                accepted.append(name)

    with door.process() as gateway:
        posting = [threading.Thread(target=keep_posting, args=(number,)) for number in range(8)]
        for thread in posting:
            thread.start()
        wait_until(lambda: len(accepted) > 200, 30, "requests are answered")
        assert gateway.end(how) == 0
        for thread in posting:
            thread.join(30)
        assert len(cut_off) == len(posting)
        lines = [json.loads(line) for line in gateway.log.splitlines() if line.startswith("{")]
        assert sum(line["status"] == 202 for line in lines) == len(accepted)
        assert {line["status"] for line in lines} == {202}
        assert FORM.search(gateway.log) is None
    assert {event.id for event, _ in events_in(kafka, run)} >= set(accepted)


def test_sigterm_waits_for_what_kafka_has_not_acknowledged_yet(own_kafka: LocalKafka, tmp_path: Path) -> None:
    door = Door(own_kafka.bootstrap_servers, tmp_path)
    key = door.key("post-office")
    answers: list[int] = []

    def post(number: int) -> None:
        headers = {"content-type": JSON, "authorization": f"Bearer {key}"}
        answers.append(
            httpx.post(f"{gateway.url}/v1/events", content=encode(stated(event_id=f"{number}")), headers=headers, timeout=30).status_code
        )

    with door.process() as gateway:
        post(0)
        os.kill(own_kafka.pid, signal.SIGSTOP)
        try:
            posting = [threading.Thread(target=post, args=(number,)) for number in range(1, 6)]
            for thread in posting:
                thread.start()
            wait_until(lambda: "phusong_gateway_events_under_way 5.0" in httpx.get(f"{gateway.url}/metrics").text, 10, "they are under way")
            gateway.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not _accepts(gateway.url), 10, "it no longer accepts")
            assert gateway.process.poll() is None
            assert answers == [202]
        finally:
            os.kill(own_kafka.pid, signal.SIGCONT)
        for thread in posting:
            thread.join(30)
        assert answers == [202] * 6
        assert gateway.process.wait(20) == 0
    assert sorted(event.id for event, _ in events_in(own_kafka.bootstrap_servers)) == ["0", "1", "2", "3", "4", "5"]


def _accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def run(arguments: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHUSONG_")}
    env |= {f"PHUSONG_{name.upper()}": str(value) for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "ops.cli", *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_on_a_taken_port_it_ends_with_3_and_names_the_remedy(kafka: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run(["gateway"], bootstrap_servers=kafka, gateway_port=taken.getsockname()[1], keys=tmp_path / "keys.json")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "is taken" in ended.stderr
    assert "PHUSONG_GATEWAY_PORT" in ended.stderr


def test_where_no_kafka_answers_it_ends_with_3_and_names_the_setting(tmp_path: Path) -> None:
    ended = run(["gateway"], bootstrap_servers="127.0.0.1:1", gateway_port=0, keys=tmp_path / "keys.json")
    assert ended.returncode == 3
    assert "PHUSONG_BOOTSTRAP_SERVERS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_with_a_key_file_that_others_can_read_it_ends_with_3_and_names_the_remedy(kafka: str, tmp_path: Path) -> None:
    door = Door(kafka, tmp_path, seed_texts())
    door.key("post-office")
    door.keyfile.chmod(0o644)
    ended = run(["gateway"], bootstrap_servers=kafka, gateway_port=0, keys=door.keyfile)
    assert ended.returncode == 3
    assert f"chmod 600 {door.keyfile}" in ended.stderr
    assert "Traceback" not in ended.stderr
