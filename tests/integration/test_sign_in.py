"""A browser and a command at a feed that asks for a key: the form lets the one in, for rows and events, a file with a key the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from access.keys import create_key
from feed.server import FeedServer
from ops.table import FeedUnreachableError, fetch
from phusong.settings import SettingsError, read_settings
from tests.feeds import RULES
from tests.kafka import wait_until

EVENTS = """() => new Promise(found => {
  const source = new EventSource("/api/v1/events");
  source.addEventListener("heartbeat", () => { source.close(); found("heard"); });
  source.onerror = () => { source.close(); found("refused"); };
})"""
FETCH = """() => fetch("/api/v1/vintages").then(answer => answer.status)"""


@pytest.fixture
def key(tmp_path: Path) -> str:
    return create_key(tmp_path / "keys.json", "wall", (), "", datetime.now(UTC))[1]


@pytest.fixture
def url(tmp_path: Path, key: str) -> Iterator[str]:
    """A feed that has no Kafka: who may ask does not depend on it."""
    server = FeedServer(read_settings(bootstrap_servers="127.0.0.1:1", feed_port=0, feed_keys=tmp_path / "keys.json"), RULES)
    urls: list[str] = []
    thread = threading.Thread(target=lambda: server.serve(urls.append))
    thread.start()
    try:
        yield wait_until(lambda: urls, 10, "the feed listens")[0]
    finally:
        server.stop()
        thread.join(20)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-background-networking"])
        yield browser.new_page()
        browser.close()


@pytest.mark.chromium
def test_the_form_lets_a_browser_in_for_rows_and_events(url: str, key: str, page: Page) -> None:
    page.goto(f"{url}/sign-in")
    assert page.context.request.get(f"{url}/api/v1/vintages").status == 401
    page.fill("#key", "phs_00000000_" + "x" * 43)
    page.click("button")
    assert "Khóa không đúng" in page.inner_text("[role=alert]")
    page.fill("#key", key)
    page.click("button")
    page.wait_for_url(f"{url}/")
    assert (page.evaluate(FETCH), page.evaluate(EVENTS)) == (200, "heard")
    assert key not in page.evaluate("() => document.cookie")


def test_a_command_shows_the_key_of_its_file_and_is_told_when_it_has_none(
    url: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FeedUnreachableError, match="asks for an API key that holds; set PHUSONG_FEED_KEY_FILE to a file with one"):
        fetch(url, "/api/v1/vintages")
    file = tmp_path / "key"
    monkeypatch.setenv("PHUSONG_FEED_KEY_FILE", str(file))
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        fetch(url, "/api/v1/vintages")
    file.write_text("secret\n")
    with pytest.raises(SettingsError, match=r"must hold one key, phs_…") as caught:
        fetch(url, "/api/v1/vintages")
    assert "secret" not in str(caught.value)
    file.write_text(f"{key}\n")
    assert fetch(url, "/api/v1/vintages")
