"""One frozen Settings, read once at the edge; every problem is reported at once.

Comes in: `PHUSONG_*` environment variables and the files of the seeds directory. Goes out: `Settings`, and `read_rules`, the only two
places of the core that touch the outside world. Owns no state. A misspelt key, a wrong value or a broken seed row is a `SettingsError`
that names each of them with its remedy.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from phusong.rules import Rules, SeedError, core_digest

PREFIX = "PHUSONG_"
SEEDS = Path(__file__).resolve().parent.parent / "seeds"

Port = Annotated[int, Field(ge=0, le=65535)]


class SettingsError(ValueError):
    """Something in the environment or in the seeds is wrong; the text names every problem, one a line."""


SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SASL_MECHANISM = "SCRAM-SHA-512"
_PASSWORD_BYTES_MAX = 1024


@dataclass(frozen=True)
class Kafka:
    """Where Kafka is, and how it is spoken to; as text: where it is. The password is in neither its text nor its repr."""

    servers: str
    protocol: SecurityProtocol = "PLAINTEXT"
    ca: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.servers

    @property
    def encrypted(self) -> bool:
        """Whether the connection is encrypted, and the broker proves who it is."""
        return self.protocol.endswith("SSL")

    def options(self) -> dict[str, Any]:
        """What the options of every client of confluent-kafka begin with."""
        found = {"bootstrap.servers": self.servers, "security.protocol": self.protocol}
        if self.encrypted and self.ca is not None:
            found["ssl.ca.location"] = str(self.ca.expanduser())
        if self.username:
            found |= {"sasl.mechanism": SASL_MECHANISM, "sasl.username": self.username, "sasl.password": self.password}
        return found


class Settings(BaseSettings):
    """What an administrator may set, each as `PHUSONG_<NAME>`. Targets and thresholds are rows in seeds/, not settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", case_sensitive=False)

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka, as host:port[,host:port…]")
    kafka_security_protocol: SecurityProtocol = Field("PLAINTEXT", description="how Kafka is spoken to: encrypted (SSL), by name (SASL)")
    kafka_ca: Path | None = Field(None, description="PEM file of who signs for the brokers (default: the system's)")
    kafka_username: str = Field("", description=f"name at Kafka ({SASL_MECHANISM})")
    kafka_password_file: Path | None = Field(None, description="file with the password of that name, and nothing else")
    replication_factor: int = Field(1, ge=1, le=9, description="copies of every topic that `topics apply` creates")
    seeds: Path = Field(SEEDS, description="directory with the register, indicators, targets, reporters, obligations")

    session_seconds: float = Field(10.0, ge=6, le=300, description="a worker silent this long loses its shares (brokers take 6 s or more)")
    heartbeat_seconds: float = Field(10.0, ge=0.2, le=60, description="owners publish their province rows this often")
    republish_seconds: float = Field(60.0, ge=0.5, le=3600, description="owners publish every row again this often")

    worker_metrics_port: Port = Field(8602, description="worker metrics on 127.0.0.1 (0: any free port)")
    bind: str = Field("127.0.0.1", min_length=1, description="address that feed, gateway and worker metrics listen on")
    feed_port: Port = Field(8600, description="feed: /metrics, /api/v1 (0: any free port)")
    gateway_port: Port = Field(8601, description="gateway: POST /v1/events, /metrics (0: any free port)")
    gateway_rate: float = Field(1000.0, ge=1, le=1_000_000, description="gateway: events a second that one key may send")
    gateway_burst: int = Field(5000, ge=1000, le=10_000_000, description="gateway: events that one key may send at once, after a rest")
    keys: Path = Field(Path("~/.phusong/keys.json"), description="file with the gateway's API keys, for its owner alone")

    feed_keys: Path | None = Field(None, description="feed: file with the API keys that may read (default: everybody may)")
    feed_key_file: Path | None = Field(None, description="status, plan, report …: file with the key to show to such a feed")

    webhook_url: str = Field("", description="notify: http(s) address that every change of a verdict is posted to")
    webhook_secret_file: Path = Field(
        Path("~/.phusong/webhook-secret"), description="notify: file with what signs them, for its owner alone"
    )
    notify_metrics_port: Port = Field(8603, description="notify: its metrics (0: any free port)")

    clock_start: AwareDatetime | None = Field(None, description="scenario clock: the moment that is shown at the anchor")
    clock_rate: float = Field(1.0, ge=0, le=1_000_000, description="scenario clock: scenario seconds per second")
    clock_anchor: AwareDatetime | None = Field(None, description="scenario clock: wall time at which it shows its start")

    @model_validator(mode="after")
    def _clock_is_whole(self) -> Self:
        if (self.clock_start is None) != (self.clock_anchor is None):
            raise ValueError("a scenario clock needs both PHUSONG_CLOCK_START and PHUSONG_CLOCK_ANCHOR")
        if self.clock_start is None and self.clock_rate != 1.0:
            raise ValueError("PHUSONG_CLOCK_RATE means nothing without PHUSONG_CLOCK_START and PHUSONG_CLOCK_ANCHOR")
        return self

    @model_validator(mode="after")
    def _kafka_is_whole(self) -> Self:
        problems = list(self._kafka_problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _kafka_problems(self) -> Iterator[str]:
        protocol = self.kafka_security_protocol
        named = {"PHUSONG_KAFKA_USERNAME": self.kafka_username, "PHUSONG_KAFKA_PASSWORD_FILE": self.kafka_password_file}
        for name, value in named.items():
            if protocol.startswith("SASL") and not value:
                yield f"PHUSONG_KAFKA_SECURITY_PROTOCOL={protocol} needs {name}"
            elif value and not protocol.startswith("SASL"):
                yield f"{name} means nothing with PHUSONG_KAFKA_SECURITY_PROTOCOL={protocol}; set SASL_SSL"
        if self.kafka_ca is not None and not protocol.endswith("SSL"):
            yield f"PHUSONG_KAFKA_CA means nothing with PHUSONG_KAFKA_SECURITY_PROTOCOL={protocol}; set SSL or SASL_SSL"

    def kafka(self) -> Kafka:
        """Where Kafka is and how it is spoken to. Raises SettingsError where the password or the certificate cannot be read."""
        password = "" if self.kafka_password_file is None else _password(self.kafka_password_file)
        if self.kafka_ca is not None and not self.kafka_ca.expanduser().is_file():
            raise SettingsError(f"PHUSONG_KAFKA_CA: {self.kafka_ca} is no file; put the PEM certificate of the brokers' authority there")
        return Kafka(self.bootstrap_servers, self.kafka_security_protocol, self.kafka_ca, self.kafka_username, password)

    def as_of(self, wall: datetime) -> datetime:
        """The moment to assess for, given the wall clock: the wall itself or the scenario clock, which never runs ahead of it."""
        if self.clock_start is None or self.clock_anchor is None:
            return wall.astimezone(UTC)
        elapsed_seconds = max(0.0, (wall - self.clock_anchor).total_seconds()) * self.clock_rate
        start = self.clock_start.astimezone(UTC)
        # compare as seconds first: a fast clock left running for months would overflow a datetime
        if elapsed_seconds >= (wall - start).total_seconds():
            return wall.astimezone(UTC)
        return start + timedelta(seconds=elapsed_seconds)


def _password(file: Path) -> str:
    try:
        with file.expanduser().open("rb") as opened:
            found = opened.read(_PASSWORD_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"PHUSONG_KAFKA_PASSWORD_FILE: {file} cannot be read: {error.strerror or error}") from error
    try:
        text = found.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable() or len(found) > _PASSWORD_BYTES_MAX:
        # never a word of what it holds
        raise SettingsError(
            f"PHUSONG_KAFKA_PASSWORD_FILE: {file} must hold the password in one line of {_PASSWORD_BYTES_MAX} bytes at most"
        )
    return text


def address(host: str, port: int) -> str:
    """Where something bound to that host and port is opened; an address that means "all of mine" can be bound, not opened."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment; `overrides` (from the command line) win.

    Raises SettingsError with every problem at once: misspelt keys (with the nearest right one) and wrong values.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    problems = []
    for key in sorted(os.environ):
        if key.upper().startswith(PREFIX) and key.upper() not in known:
            near = difflib.get_close_matches(key.upper(), known, n=1)
            problems.append(f"{key}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    settings = None
    try:
        settings = Settings.model_validate(overrides)
    except ValidationError as error:
        for one in error.errors():
            # what concerns several settings names them itself
            said = one["msg"].removeprefix("Value error, ")
            problems.append(f"{PREFIX}{str(one['loc'][0]).upper()}: {said} (is {one['input']!r})" if one["loc"] else said)
    if problems or settings is None:
        raise SettingsError("\n".join(problems))
    return settings


def read_rules(seeds: Path) -> Rules:
    """The register, catalogue and targets from a seeds directory.

    Raises SettingsError naming every broken file and row.
    """
    texts = seed_texts(seeds)
    try:
        rules = Rules.from_texts(texts)
    except SeedError as error:
        raise SettingsError("\n".join(f"{seeds}/{problem}" for problem in error.problems)) from error
    if tomllib.loads(texts["rules.toml"]).get("core") != core_digest(core_sources()):
        raise SettingsError(
            f"{seeds}/rules.toml: this software's meaning has changed since rules {rules.number} were recorded; "
            "record the new rules with `phusong config record` so that every worker tells them apart"
        )
    return rules


def seed_texts(seeds: Path) -> dict[str, str]:
    """The tables of a seeds directory and its rules.toml, name -> text. Raises SettingsError where there are none or they are no text."""
    try:
        texts = {file.name: file.read_text("utf-8-sig") for file in sorted(seeds.glob("*.csv"))}
        texts |= {file.name: file.read_text("utf-8") for file in sorted(seeds.glob("rules.toml"))}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{seeds}: cannot be read: {error}") from error
    if not texts:
        raise SettingsError(f"{seeds}: no seed files there; set PHUSONG_SEEDS to the directory that holds units.csv")
    return texts


def core_sources() -> dict[str, str]:
    """The source of every module of the core that decides what a row says (all but this one)."""
    return {file.name: file.read_text("utf-8") for file in Path(__file__).parent.glob("*.py") if file.name != "settings.py"}
