"""A Kafka that asks for TLS and a password: everything that speaks to it does so by the settings, and no word of the password is told.

The broker's own listener stays open for the harness; what is tested is only told of the secured ones, where an unencrypted or unnamed
client gets no answer.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from msgspec import Struct

from feed import reading
from feed.reading import Reading, ReadingError
from ops import local_kafka, topics
from ops.local_kafka import LocalKafka
from phusong.events import encode
from phusong.settings import read_settings
from phusong.topics import POSTAL
from tests import worlds
from tests.asking import ask, command
from tests.kafka import wait_until
from tests.workers import Stage
from tests.worlds import stated

pytestmark = pytest.mark.kafka

ACLS = (
    (
        ResourceType.TOPIC,
        "coverage.",
        (
            *(AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS, AclOperation.READ, AclOperation.WRITE),
            *(AclOperation.CREATE, AclOperation.ALTER_CONFIGS),
        ),
    ),
    (ResourceType.GROUP, "phusong", (AclOperation.DESCRIBE, AclOperation.READ)),
)
"""What docs/operation.md says that our name needs, and no more."""
USER, PASSWORD = "phusong", 'mật-khẩu \'của "phú song"; =,'


class Secured(Struct, frozen=True):
    """A broker with listeners of every kind: their addresses by protocol, and what clients need."""

    open: str
    addresses: dict[str, str]
    ca: Path
    password_file: Path

    def settings(self, protocol: str) -> dict[str, object]:
        """What an administrator sets for that listener."""
        found: dict[str, object] = {"bootstrap_servers": self.addresses[protocol], "kafka_security_protocol": protocol}
        if protocol.endswith("SSL"):
            found["kafka_ca"] = self.ca
        if protocol.startswith("SASL"):
            found |= {"kafka_username": USER, "kafka_password_file": self.password_file}
        return found


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("secured")
    ca = _certificate(directory, "ca")
    password_file = directory / "password"
    password_file.write_text(PASSWORD + "\n")
    ports: dict[str, int] = {}
    plain = local_kafka._properties

    def properties(port: int, controller_port: int) -> str:
        taken = [port, controller_port]
        for protocol in ("SSL", "SASL_PLAINTEXT", "SASL_SSL"):
            # after a restart the same again
            ports.setdefault(protocol, _free_port(taken))
            taken.append(ports[protocol])
        more = "".join(f",{protocol}://127.0.0.1:{number}" for protocol, number in ports.items())
        lines = [
            line + more if line.startswith(("listeners=", "advertised.listeners=")) else line
            for line in plain(port, controller_port).splitlines()
        ]
        kinds = "".join(f",{protocol}:{protocol}" for protocol in ports)
        lines = [line + kinds if line.startswith("listener.security.protocol.map=") else line for line in lines]
        jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        for protocol in ports:
            if protocol.endswith("SSL"):
                lines += [
                    f"listener.name.{protocol.lower()}.ssl.keystore.type=PEM",
                    f"listener.name.{protocol.lower()}.ssl.keystore.location={directory / 'ca-both.pem'}",
                ]
            if protocol.startswith("SASL"):
                lines += [
                    f"listener.name.{protocol.lower()}.sasl.enabled.mechanisms=SCRAM-SHA-512",
                    f"listener.name.{protocol.lower()}.scram-sha-512.sasl.jaas.config={jaas}",
                ]
        # whoever comes without a name is the harness
        lines += ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"]
        return "\n".join(lines) + "\n"

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(local_kafka, "_properties", properties)
        with LocalKafka(directory / "kafka") as broker:
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
            info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            asked = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, info, PASSWORD.encode())])
            allowed = admin.create_acls(
                [
                    AclBinding(kind, name, ResourcePatternType.PREFIXED, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)
                    for kind, name, operations in ACLS
                    for operation in operations
                ]
            )
            for future in (*asked.values(), *allowed.values()):
                future.result(20)
            addresses = {protocol: f"127.0.0.1:{number}" for protocol, number in ports.items()}
            yield Secured(broker.bootstrap_servers, addresses, ca, password_file)


def _free_port(taken: list[int]) -> int:
    while (port := local_kafka._free_port()) in taken:
        pass
    return port


def _certificate(directory: Path, name: str) -> Path:
    """A certificate of 127.0.0.1 that signs for itself; beside it, key and certificate in one file."""
    key, certificate = directory / f"{name}-key.pem", directory / f"{name}.pem"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ),
        check=True,
        capture_output=True,
    )
    (directory / f"{name}-both.pem").write_text(key.read_text() + certificate.read_text())
    return certificate


def test_from_the_topics_to_the_audit_everything_speaks_tls_and_by_name(secured: Secured, tmp_path: Path) -> None:
    settings = secured.settings("SASL_SSL")
    said: list[str] = []
    assert topics.apply(read_settings(**settings), said.append) == 0, said
    stage = Stage(secured.open, tmp_path, None, **settings)
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(encode(stated(code, event_id=f"june {code}")) for code in ("02275", "02284")) + b"\n")
    sent = ask(stage, "send", str(events))
    assert sent.code == 0, sent.errors
    try:
        worker = stage.start_ready()
        address_file = tmp_path / "address"
        process, env = command(stage, "feed", "--address-file", str(address_file), feed_port=0)
        log_path = tmp_path / "feed.log"
        with log_path.open("wb") as log:
            feed = subprocess.Popen(process, env=env, cwd=tmp_path, stdout=log, stderr=log)
        try:
            wait_until(address_file.exists, 30, "the feed listens")
            with httpx.Client(base_url=address_file.read_text(), timeout=30) as client:
                path = f"/api/v1/communes?commune=02275&indicator={worlds.POSTAL}"
                wait_until(lambda: [one["covered"] for one in client.get(path).json()] == [1], 30, "the row is shown")
                evidence = client.get(f"/api/v1/evidence?commune=02275&indicator={worlds.POSTAL}").json()
                assert [one["id"] for one in evidence["statements"]] == ["june 02275"]
        finally:
            feed.terminate()
            feed.wait(20)
        for asked in (("topics", "check"), ("audit",), ("explain", "02275", worlds.POSTAL), ("dead-letters", "list")):
            answer = ask(stage, *asked)
            assert answer.code == 0, (asked, answer.errors)
            assert PASSWORD not in answer.text + answer.errors
        for log_file in (worker.log_path, log_path):
            assert PASSWORD not in log_file.read_text()
    finally:
        stage.close()


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT"])
def test_the_other_kinds_of_listener_are_spoken_to_as_they_ask_by_faust_too(secured: Secured, tmp_path: Path, protocol: str) -> None:
    settings = secured.settings(protocol)
    said: list[str] = []
    assert topics.apply(read_settings(**settings), said.append) == 0, said
    stage = Stage(secured.open, tmp_path, None, **settings)
    try:
        stage.start_ready()
    finally:
        stage.close()


def test_who_has_the_wrong_password_or_authority_is_told_so_without_the_password(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "CONNECT_SECONDS_MAX", 3.0)
    monkeypatch.setattr(reading, "ANSWER_SECONDS_MAX", 3.0)
    wrong = tmp_path / "wrong"
    wrong.write_text("not-this-one")
    for change, told in (
        ({"kafka_password_file": wrong}, "Authentication failed"),
        ({"kafka_ca": _certificate(tmp_path, "other")}, "certificate"),
    ):
        settings = read_settings(**{**secured.settings("SASL_SSL"), **change})
        said: list[str] = []
        assert topics.check(settings, said.append) == 3
        with pytest.raises(ReadingError) as caught:
            Reading(settings.kafka(), [POSTAL.name])
        for text in ("\n".join(said), str(caught.value)):
            assert told in text
            assert "correct PHUSONG_BOOTSTRAP_SERVERS or PHUSONG_KAFKA_*" in text
            assert "not-this-one" not in text
