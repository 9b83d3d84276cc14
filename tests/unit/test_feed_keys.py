"""API keys of the feed: without a key file everybody reads, with one only whoever shows a key of it; pages and probes stay open."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.types import Receive, Scope, Send

from access import keys
from access.keys import KeyFileError, create_key, revoke_key
from feed import sign_in
from feed.api import SCHEMA_PATH, build_feed
from feed.openapi import EVENTS_PATH
from feed.question import EVIDENCE_PATH
from feed.resources import RESOURCES
from feed.sign_in import COOKIE, Readers
from feed.stream import ABORT
from ops.cli import main
from phusong.settings import PREFIX, read_settings
from tests.feeds import RULES, SETTINGS, ask

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GUARDED = [*(one.path for one in RESOURCES), SCHEMA_PATH, EVIDENCE_PATH, EVENTS_PATH]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keys are; a change is noticed at once."""
    monkeypatch.setattr(keys, "LOOK_EVERY_SECONDS", 0.0)
    return tmp_path / "feed-keys.json"


@pytest.fixture
def key(path: Path) -> str:
    return create_key(path, "ioc", (), "", NOW)[1]


@pytest.fixture
def app(path: Path, key: str) -> Litestar:
    made = build_feed(SETTINGS.model_copy(update={"feed_keys": path}), RULES)
    made.state.reader.snapshot.start_over("log")
    return made


def sign(app: Litestar, given: str, more: int = 0, /, **headers: str) -> httpx.Response:
    """What the form sends, with so many fields more."""

    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://feed") as client:
            return await client.post(
                "/sign-in",
                data={"key": given} | {f"{n}": "" for n in range(more)},
                headers={name.replace("_", "-"): one for name, one in headers.items()},
            )

    return asyncio.run(request())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer phs_00000000_" + "x" * 43},
        {"authorization": "Bearer "},
        {"authorization": "Basic cGhzOnBocw=="},
        {"cookie": f"{COOKIE}=phs_none"},
    ],
    ids=["nothing", "an unknown key", "no key", "another scheme", "a cookie of nobody"],
)
def test_without_a_key_that_holds_no_address_of_the_api_answers(app: Litestar, headers: dict[str, str]) -> None:
    for address in GUARDED:
        answer = ask(app, address, **headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), address
        assert answer.headers["www-authenticate"] == 'Bearer realm="phusong"'
        assert "phusong keys create NAME --feed" in answer.json()["detail"]


def test_no_other_way_to_write_an_address_leads_around_the_guard(app: Litestar) -> None:
    for address in ("//api/v1/provinces", "/api/v1/provinces/", "/api//v1/provinces", "/api/v1/./provinces"):
        assert ask(app, address).status_code in {401, 404}, address


@pytest.mark.parametrize("address", ["/metrics/", "/metrics//", "/%6detrics", "/metrics%2f"])
def test_metrics_have_one_address_so_that_a_proxy_can_forbid_it(app: Litestar, address: str) -> None:
    answer = ask(app, address)
    assert answer.status_code == 404
    assert "coverage_" not in answer.text


def test_pages_and_probes_stay_open(app: Litestar) -> None:
    for address in ("/", "/metrics", "/healthz", "/readyz", "/sign-in", "/runbooks"):
        assert ask(app, address).status_code in {200, 503}, address


def test_a_key_lets_in_until_it_is_revoked_by_header_and_by_cookie(app: Litestar, path: Path, key: str) -> None:
    shown = ({"authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key}"}, {"cookie": f"{COOKIE}={key}"})
    for headers in shown:
        assert ask(app, "/api/v1/vintages", **headers).status_code == 200
    # a header that says who asks goes before what a browser remembers
    assert ask(app, "/api/v1/vintages", authorization="Bearer phs_none", cookie=f"{COOKIE}={key}").status_code == 401
    revoke_key(path, key.split("_")[1], NOW)
    for headers in shown:
        assert ask(app, "/api/v1/vintages", **headers).status_code == 401


def test_without_a_key_file_everybody_reads_and_there_is_nothing_to_sign_in_to() -> None:
    open_to_all = build_feed(SETTINGS, RULES)
    assert ask(open_to_all, "/api/v1/vintages").status_code == 200
    assert ask(open_to_all, "/sign-in").status_code == 404
    assert "securitySchemes" not in ask(open_to_all, SCHEMA_PATH).json()["components"]


def test_the_description_of_a_guarded_feed_says_what_to_show(app: Litestar, key: str) -> None:
    document = ask(app, SCHEMA_PATH, authorization=f"Bearer {key}").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert all(one["get"]["security"] == [{"key": []}] and "401" in one["get"]["responses"] for one in document["paths"].values())


@pytest.mark.parametrize("proto", ["", "https"])
def test_a_browser_signs_in_with_a_cookie_that_no_script_and_no_other_site_can_use(app: Litestar, key: str, proto: str) -> None:
    answer = sign(app, f" {key} ", **({"x_forwarded_proto": proto} if proto else {}))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/api/v1", "strict", True)
    assert bool(cookie["secure"]) == bool(proto)
    assert ask(app, "/api/v1/vintages", cookie=f"{COOKIE}={cookie.value}").status_code == 200


@pytest.mark.parametrize("given", ["", "phs_none", "<script>alert(1)</script>", "phs_00000000_" + "x" * 43])
def test_a_wrong_key_is_told_and_never_said_back(app: Litestar, given: str) -> None:
    answer = sign(app, given)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert not given or given not in answer.text


def test_a_form_of_many_fields_is_read_as_any_other(app: Litestar, key: str) -> None:
    assert sign(app, key, 15).status_code == 303
    assert sign(app, "phs_none", 15).status_code == 401


def test_a_key_file_that_others_may_read_ends_the_start(path: Path, key: str) -> None:
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        build_feed(SETTINGS.model_copy(update={"feed_keys": path}), RULES)


def test_a_stream_ends_when_its_key_is_revoked(path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "LOOK_EVERY_SECONDS", 0.01)
    readers = Readers(SETTINGS.model_copy(update={"feed_keys": path}))
    happened: list[str] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("ended")

    async def run() -> None:
        shown = [(b"authorization", f"Bearer {key}".encode())]
        scope: Any = {"type": "http", "headers": shown, "state": {ABORT: lambda: happened.append("cut")}}
        running = asyncio.ensure_future(readers.watched(endless, ASGIConnection(scope))(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert not running.done()
        revoke_key(path, key.split("_")[1], NOW)
        await asyncio.wait_for(running, 10)

    asyncio.run(run())
    assert happened == ["cut", "ended"]


def run(path: Path | None, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    if path is not None:
        monkeypatch.setenv("PHUSONG_FEED_KEYS", str(path))
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    return int(str(ended.value.code))


def test_the_command_makes_lists_and_revokes_keys_of_the_feed(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(path, "create", "ioc", "--feed", "--note", "Trung tâm điều hành", monkeypatch=monkeypatch) == 0
    presented = capsys.readouterr().out.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = build_feed(SETTINGS.model_copy(update={"feed_keys": path}), RULES)
    assert ask(made, "/api/v1/vintages", authorization=f"Bearer {presented}").status_code == 200
    assert run(path, "list", "--feed", "--json", monkeypatch=monkeypatch) == 0
    assert '"reporter": "ioc"' in capsys.readouterr().out
    assert run(path, "revoke", presented.split("_")[1], "--feed", monkeypatch=monkeypatch) == 0
    assert ask(made, "/api/v1/vintages", authorization=f"Bearer {presented}").status_code == 401


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("create", "trung tâm", "--feed"), "name the reader in at most 100 letters"),
        (("create", "ioc", "--feed", "--indicator", "postal.staffed_point"), "a key of the feed reads everything"),
    ],
)
def test_a_key_of_the_feed_that_cannot_be_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], told: str
) -> None:
    assert run(path, *given, monkeypatch=monkeypatch) == 2
    assert told in capsys.readouterr().err
    assert not path.exists()


def test_without_a_file_for_them_keys_of_the_feed_are_refused_with_the_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(None, "create", "ioc", "--feed", monkeypatch=monkeypatch) == 2
    assert "PHUSONG_FEED_KEYS is not set" in capsys.readouterr().err
    assert read_settings().feed_keys is None
