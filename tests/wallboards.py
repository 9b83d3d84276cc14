"""A running system with a browser before it: for the tests of the wallboard and for the pictures in docs/.

Comes in: a directory. Goes out: `system`, the demo's processes on a Kafka that may be stopped and continued, and `browser`, pages that
remember what they asked for and complained of. Owns what it starts, while its `with` lasts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from ops.demo import START, child, demo
from ops.local_kafka import LocalKafka
from phusong.admission import Admission
from phusong.settings import PREFIX, read_rules, read_settings
from producers.files import send_file
from producers.publisher import Publisher
from tests.kafka import wait_until

CHROMIUM = "/usr/bin/chromium"
SIZES = {"wall": {"width": 1920, "height": 1080}, "phone": {"width": 390, "height": 844}}
WAIT_MS = 20_000


class System:
    """Kafka, a worker and a feed with the facts of mid-2023; `environment` is that of its processes."""

    def __init__(self, broker: LocalKafka, url: str, environment: dict[str, str], directory: Path) -> None:
        self.broker = broker
        self.url = url
        self.environment = environment
        self._directory = directory
        self._sent = 0

    def rows(self, name: str, **query: str) -> list[dict[str, Any]]:
        """The rows of an address of the API."""
        found = httpx.get(f"{self.url}/api/v1/{name}", params=query, timeout=30)
        found.raise_for_status()
        rows: list[dict[str, Any]] = found.json()
        return rows

    def send(self, *events: dict[str, Any]) -> None:
        """Send events as a reporter does, and wait until Kafka has them."""
        self._sent += 1
        file = self._directory / f"sent-{self._sent}.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in events))
        with self._around():
            settings = read_settings()
            with Publisher(settings.kafka(), Admission(read_rules(settings.seeds)), lambda: datetime.now(UTC)) as publisher:
                sent = send_file(str(file), publisher, lambda _: None, lambda _: None)
        assert (sent.rejected, sent.failed) == (0, 0)

    def run(self, *command: str, **settings: str) -> str:
        """What a `phusong` command prints, with more settings than the system's own."""
        return subprocess.run(
            [sys.executable, "-m", "ops.cli", *command], env=self._with(settings), check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def _with(self, settings: dict[str, str]) -> dict[str, str]:
        return {**self.environment, **{PREFIX + name.upper(): value for name, value in settings.items()}}

    @contextmanager
    def another_feed(self, port: int, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Another feed on that port, ready, that may be killed."""
        with child(["feed"], self._with({**settings, "feed_port": str(port)}), self._directory / "another-feed.log") as process:
            wait_until(lambda: _is_ready(f"http://127.0.0.1:{port}"), 60, "the other feed is ready")
            yield process

    @contextmanager
    def without_kafka(self) -> Iterator[None]:
        """Kafka stands still, as on a machine that hangs."""
        os.kill(self.broker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.broker.pid, signal.SIGCONT)

    def _around(self) -> Any:
        return patch.dict(os.environ, {name: value for name, value in self.environment.items() if name.startswith(PREFIX)})


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def system(directory: Path, start: str = START) -> Iterator[System]:
    """The demo, from that moment of the scenario clock on."""
    with LocalKafka(directory / "kafka") as broker:
        given = {
            "BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "FEED_PORT": "0",
            "WORKER_METRICS_PORT": "0",
            "CLOCK_START": start,
            "CLOCK_ANCHOR": datetime.now(UTC).isoformat(),
        }
        environment = {**os.environ, **{PREFIX + name: value for name, value in given.items()}}
        with patch.dict(os.environ, environment), demo(read_settings(), directory, lambda _: None) as running:
            yield System(broker, running.url, environment, directory)


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium; it asks nobody for anything."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"])
        try:
            yield made
        finally:
            made.close()


class View:
    """A page, the addresses it asked for and what it complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    def open(self, path: str, until: str = "#pulse .live") -> None:
        """Open a page and wait until it lives and shows its figures."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector(until, timeout=WAIT_MS)
        self.page.wait_for_selector("main td, main .quiet li", timeout=WAIT_MS)


@contextmanager
def view(browser: Browser, url: str, *, size: str = "wall", scheme: Any = "light", lang: str = "vi", scale: float = 1) -> Iterator[View]:
    """A page of its own, `scale` picture points to one of its own; at its end: nothing was asked of another origin."""
    context = browser.new_context(
        viewport=SIZES[size],  # type: ignore[arg-type]
        color_scheme=scheme,
        device_scale_factor=scale,
        reduced_motion="reduce",
        locale="vi-VN" if lang == "vi" else "en-GB",
    )
    made = View(context.new_page(), url)
    try:
        yield made
        assert not [one for one in made.asked if not one.startswith(f"{url}/")]
    finally:
        context.close()
