"""ops/local_kafka.py with real processes: it answers, keeps its data, refuses clearly, and is gone on every exit path."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ops.local_kafka import FREE_BYTES_MIN, LocalKafka, LocalKafkaError, check_free_space, kafka_jars
from tests.kafka import wait_until

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"log_level": 0}  # that a broker goes away is what we test, not news for the terminal


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # an orphan's remains may wait for init to collect them
    return stat.rpartition(")")[2].split()[0] != "Z"


def create_topic(bootstrap_servers: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(10)


def send(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all", **QUIET})
    producer.produce(topic, value)
    assert producer.flush(10) == 0


def first_value(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "unused", **QUIET})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(10)
        return message.value() if message else None
    finally:
        consumer.close()


@contextmanager
def python(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process in the project's root, with its output as text; killed in the end, whatever happened."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_answers_and_stopping_leaves_nothing_behind() -> None:
    with LocalKafka() as kafka:
        create_topic(kafka.bootstrap_servers, "ready")
        pid, data_dir = kafka.pid, kafka.data_dir
        assert is_running(pid)
        assert "Kafka Server started" in kafka.log_path.read_text("utf-8")
    assert not is_running(pid)
    assert not data_dir.exists()


def test_what_was_acknowledged_survives_stop_and_kill_on_the_same_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Java would break on this name twice: in a properties file, and in the C locale
    monkeypatch.setenv("LC_ALL", "C")
    with LocalKafka(tmp_path / "dữ liệu, một") as kafka:
        address = kafka.bootstrap_servers
        create_topic(address, "kept")
        send(address, "kept", b"137 of 138")
        for end in (kafka.stop, kafka.kill):
            pid = kafka.pid
            end()
            assert not is_running(pid)
            kafka.start()
            assert kafka.bootstrap_servers == address
            assert first_value(address, "kept") == b"137 of 138"


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalKafkaError, match=rf"port {port} .*in use.*choose another port"):
            LocalKafka(tmp_path, port).start()


def test_a_directory_serves_one_running_kafka_only(own_kafka: LocalKafka) -> None:
    with pytest.raises(LocalKafkaError, match="another Kafka is running on this directory") as refusal:
        LocalKafka(own_kafka.data_dir).start()
    assert str(own_kafka.data_dir) in str(refusal.value)
    create_topic(own_kafka.bootstrap_servers, "undisturbed")


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LocalKafkaError, match=f"{file}/data: cannot be written"):
        LocalKafka(file / "data").start()


def test_a_kafka_that_gives_up_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n", "utf-8")
    kafka = LocalKafka(tmp_path)
    with pytest.raises(LocalKafkaError, match=r"(?s)exit code 1.*Stored node id 7"):
        kafka.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = kafka.pid


def test_too_little_room_is_told_with_the_figures(tmp_path: Path) -> None:
    check_free_space(tmp_path, FREE_BYTES_MIN)
    with pytest.raises(LocalKafkaError, match="511 MiB free, Kafka needs 512 MiB; make room"):
        check_free_space(tmp_path, FREE_BYTES_MIN - 1)


def test_jars_out_of_reach_are_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: every connection is refused
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        said: list[str] = []
        with pytest.raises(LocalKafkaError, match=r"kafka_2\.13-.*\.pom; connect to .* PHUSONG_BOOTSTRAP_SERVERS"):
            kafka_jars(said.append)
    assert "once" in said[0]
    assert capfd.readouterr().out == ""


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with pytest.raises(LocalKafkaError, match=f"{file}/phusong: cannot be written.*XDG_CACHE_HOME"):
        kafka_jars(lambda _: None)


def test_jars_are_resolved_again_when_one_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jars = kafka_jars(lambda _: None)
    (listing,) = (tmp_path / "phusong").glob("*.jars")
    listing.write_text(listing.read_text("utf-8") + f"{tmp_path}/gone.jar\n", "utf-8")
    assert kafka_jars(lambda _: None) == jars
    assert "gone.jar" not in listing.read_text("utf-8")


def test_kill_9_of_the_parent_takes_kafka_with_it_though_a_forked_child_lives_on() -> None:
    parent = """if True:
        import os, signal
        from ops.local_kafka import LocalKafka
        kafka = LocalKafka()
        kafka.start()
        child = os.fork()
        if child:
            print(kafka.pid, child, kafka.data_dir, flush=True)
        signal.pause()
    """
    with python("-c", parent) as process:
        said = line_of(process).split()
        pid, child, data_dir = int(said[0]), int(said[1]), Path(said[2])
        try:
            assert is_running(pid)
            process.kill()
            wait_until(lambda: not is_running(pid), 15, "Kafka is gone")
            wait_until(lambda: not data_dir.exists(), 5, "its temporary directory is gone")
            assert is_running(child)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_by_hand_it_runs_until_told_to_stop_and_exits_0(tmp_path: Path, how: signal.Signals) -> None:
    with python("-m", "ops.local_kafka", "--data-dir", str(tmp_path)) as process:
        address = line_of(process)
        create_topic(address, "by-hand")
        guard = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii"))
        pid = int(Path(f"/proc/{guard}/task/{guard}/children").read_text("ascii"))
        # as a terminal does: Ctrl-C goes to every process of the foreground group
        assert os.getpgid(guard) == os.getpgid(pid) != os.getpgid(process.pid)
        process.send_signal(how)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, ""), err
        assert not is_running(pid)
    assert (tmp_path / "kafka.log").exists()


def test_by_hand_a_refusal_is_a_sentence_and_exit_3(tmp_path: Path) -> None:
    with python("-m", "ops.local_kafka", "--data-dir", str(tmp_path), "--port", "65536") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, "")
    assert err == "port 65536 is none; choose 1 to 65535, or 0 for any free one\n"
