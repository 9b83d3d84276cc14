"""Who may read /api/v1: everybody, or, with `feed_keys`, whoever shows a key of that file.

Comes in: `Authorization: Bearer phs_…`, or the cookie that the form at /sign-in sets for a browser, which can put no header on an
EventSource. Goes out: the request, or 401 with the remedy. Owns the key ring. The cookie holds the key itself, out of reach of scripts and
of other sites: no session is kept here, and a key that is revoked lets nobody in from the next second on; a stream that is open ends then.
Pages, /metrics, /healthz and /readyz are open: pages hold no figures, and what may scrape is the network's matter.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from urllib.parse import parse_qsl

from litestar import MediaType, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from access.keys import FORM, KeyRing
from feed.problems import Refused
from feed.stream import ABORT
from phusong.settings import Settings

LOG = logging.getLogger(__name__)

SIGN_IN_PATH = "/sign-in"
COOKIE = "phusong_key"
COOKIE_PATH = "/api/v1"
COOKIE_SECONDS = 90 * 24 * 3600
"""A wall is signed in once a quarter."""
LOOK_EVERY_SECONDS = 2.0
"""How often an open stream's key is looked at."""

_HEADERS = {"www-authenticate": 'Bearer realm="phusong"'}
_MISSING = (
    "no API key that holds; send `Authorization: Bearer phs_…`, as `phusong keys create NAME --feed` printed it, or in a browser open "
    f"{SIGN_IN_PATH}"
)
_CSP = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_PAGE = """<!doctype html>
<html lang="vi"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Phủ sóng: đăng nhập (sign in)</title>
<style>:root {{ color-scheme: light dark }}
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 10vh auto; padding: 0 1rem }}
input, button {{ font: inherit; padding: .5rem; box-sizing: border-box }}
input {{ width: 100% }}
button {{ margin-top: .75rem }}</style></head>
<body><main><h1>Phủ sóng</h1>
{said}<form method="post" action="/sign-in" autocomplete="off">
<label for="key">Khóa đọc <span lang="en">(API key)</span>: phs_…</label>
<input id="key" name="key" type="password" required autofocus>
<button>Đăng nhập <span lang="en">(sign in)</span></button></form>
<p>Khóa do người quản trị hệ thống cấp; trang này nhớ khóa 90 ngày trong trình duyệt. <span lang="en">The administrator gives out keys; this
browser remembers yours for 90 days.</span></p></main></body></html>
"""
_WRONG = '<p role="alert"><strong>Khóa không đúng hoặc đã bị thu hồi.</strong> <span lang="en">No such key, or it is revoked.</span></p>\n'

AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]


class Readers:
    """Who may read; without a key file everybody. Raises KeyFileError at the start where the file cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._ring = None if settings.feed_keys is None else KeyRing(settings.feed_keys, time.monotonic)
        if self._ring is not None and not len(self._ring):
            LOG.warning("%s holds no key: nobody may read before `phusong keys create NAME --feed`", settings.feed_keys)

    @property
    def named(self) -> bool:
        """Whether a key is asked for."""
        return self._ring is not None

    async def guard(self, connection: AnyConnection, _: BaseRouteHandler) -> None:
        """Let the request through. Raises Refused."""
        # no coroutine would be run in a thread of its own
        if not self._may_read(_shown(connection)):
            raise Refused(401, _MISSING, headers=_HEADERS)

    def watched(self, stream: ASGIApp, connection: AnyConnection) -> ASGIApp:
        """The stream, which ends when the key that it was asked for with is revoked."""
        shown = _shown(connection)
        if self._ring is None:
            return stream

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            sending = asyncio.ensure_future(stream(scope, receive, send))
            try:
                while not (await asyncio.wait({sending}, timeout=LOOK_EVERY_SECONDS))[0]:
                    if not self._may_read(shown):
                        LOG.info("a stream ends: its key is revoked")
                        state: dict[str, Any] = scope["state"]
                        if ABORT in state:
                            state[ABORT]()
                        break
                else:
                    await sending
            finally:
                sending.cancel()

        return run

    def pages(self) -> list[HTTPRouteHandler]:
        """The form, where a key is asked for."""
        if self._ring is None:
            return []

        @get(SIGN_IN_PATH, sync_to_thread=False)
        def form() -> Response[str]:
            return _page("", 200)

        @post(SIGN_IN_PATH)
        async def sign_in(request: AnyRequest) -> Response[str]:
            # as many fields as the body may hold, which is not many
            fields = dict(parse_qsl((await request.body()).decode("latin-1")))
            key = fields.get("key", "").strip()
            if not self._may_read(key):
                return _page(_WRONG, 401)
            # behind a proxy that speaks TLS; who claims it without one only locks himself out
            encrypted = request.headers.get("x-forwarded-proto", "").lower() == "https"
            cookie = Cookie(
                key=COOKIE, value=key, path=COOKIE_PATH, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=encrypted
            )
            return Response("", status_code=303, headers={"location": "/"}, cookies=[cookie])

        return [form, sign_in]

    def _may_read(self, shown: str) -> bool:
        return self._ring is None or (FORM.fullmatch(shown) is not None and self._ring.find(shown) is not None)


def _page(said: str, status: int) -> Response[str]:
    return Response(_PAGE.format(said=said), status_code=status, media_type=MediaType.HTML, headers={"content-security-policy": _CSP})


def _shown(connection: AnyConnection) -> str:
    """The key that came with a request."""
    given = connection.headers.get("authorization", "")
    if given:
        return given[7:].strip() if given[:7].lower() == "bearer " else ""
    return connection.cookies.get(COOKIE, "")
