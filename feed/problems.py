"""What a request gets that cannot be answered: problem details (RFC 9457), whoever notices.

Comes in: `Refused` from the feed's own code, the framework's HTTP errors, anything else that was raised. Goes out: responses, and their
bytes where there is no request yet. Owns no state. What nobody expected is logged and answered 500 without a word of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Struct

LOG = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
_QUOTED_CHARACTERS_MAX = 100


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457). `parameter`: which one is wrong; `known`: what it may be, or all parameters where there is none such."""

    title: str
    status: int
    detail: str
    parameter: str = ""
    known: list[str] = []


class Refused(Exception):  # noqa: N818 - the word of the protocol: the request is refused
    """A request that is answered with `status` and a sentence that holds the remedy."""

    def __init__(
        self, status: int, detail: str, *, parameter: str = "", known: Iterable[str] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, detail, parameter, known)
        self.headers = headers or {}


def problem(status: int, detail: str, parameter: str = "", known: Iterable[str] = ()) -> Problem:
    """The problem details of a status and a sentence."""
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, parameter=parameter, known=list(known))


def quoted(text: str) -> str:
    """What a client has sent, short enough to be said back."""
    return repr(text if len(text) <= _QUOTED_CHARACTERS_MAX else text[:_QUOTED_CHARACTERS_MAX] + "…")


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to a request that raised: the framework calls it for every exception."""
    headers: dict[str, str] = {}
    if isinstance(error, Refused):
        said, headers = error.problem, error.headers
    elif isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        said, headers = problem(error.status_code, error.detail), dict(error.headers or {})
    else:
        LOG.error("%s %s failed", request.method, quoted(request.scope["path"]), exc_info=error)
        said = problem(500, "this is our fault; the feed's log has the reason")
    return Response(msgspec.json.encode(said), status_code=said.status, headers={**headers, "content-type": PROBLEM})


def raw(status: int, detail: str) -> bytes:
    """A whole HTTP/1.1 answer, for a connection that has no request that can be answered; the connection is to be closed after it."""
    body = msgspec.json.encode(problem(status, detail))
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
    more = "retry-after: 5\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    return f"{head}{more}x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n".encode() + body
