"""One message of the outgoing webhook: its body, its signature after the Standard Webhooks specification, and the posting of it.

Comes in: a record of coverage.verdicts.v1. Goes out: one POST of that CloudEvent, with the names that a receiver needs. Owns the HTTP
session. A record that is no verdict raises one of `rows.UNREADABLE`; an address or a secret that cannot be used is a SettingsError that
does not repeat it. The specification: https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import ssl
from collections.abc import Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from phusong.rows import decode_verdict
from phusong.rules import Rules
from phusong.settings import SettingsError

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
POST_SECONDS_MAX = 30.0
"""For the whole of one POST, the connection included."""
CONNECT_SECONDS_MAX = 10.0

_SECRET = "whsec_"  # noqa: S105 - only how one begins
_SECRET_BYTES = range(24, 65)
_SECRETS_MAX = 4
_FILE_BYTES_MAX = 4096
_ID = re.compile(r"[0-9A-Za-z_-]{1,200}")


class Outcome(StrEnum):
    """What came of one POST."""

    DELIVERED = "delivered"
    """Any 2xx."""
    REFUSED = "refused"
    """Any other answer; a redirection too, which is never followed."""
    UNREACHABLE = "unreachable"
    """No answer: nobody there, a certificate that does not hold, too slow."""
    GONE = "gone"
    """410: the receiver wants no more."""


class Message(Struct, frozen=True):
    """What is posted: the id of the verdict change, the same at every try, and the body."""

    id: str
    key: str
    body: bytes


class Answer(Struct, frozen=True):
    """What came of a POST, and why, in words for the log."""

    outcome: Outcome
    why: str


class Webhook:
    """The receiver: where it is, and what it knows us by."""

    def __init__(self, url: str, secrets: Sequence[bytes]) -> None:
        self._url = url
        self._secrets = secrets
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """Scheme, host and port: the path may be a secret."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc}"

    async def post(self, message: Message, at: int) -> Answer:
        """One try, at that moment (seconds since 1970); the body of the answer is not read."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # of our own: the client's is made when it is imported, and the system's authorities may be named by SSL_CERT_FILE
                connector=aiohttp.TCPConnector(ssl=ssl.create_default_context()),
                timeout=aiohttp.ClientTimeout(total=POST_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"phusong/{version('phusong')}", "Content-Type": CONTENT_TYPE},
            )
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._secrets, message.id, at, message.body),
        }
        try:
            async with self._session.post(self._url, data=message.body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer(Outcome.UNREACHABLE, _words(error))
        if status // 100 == 2:
            return Answer(Outcome.DELIVERED, str(status))
        return Answer(Outcome.GONE if status == 410 else Outcome.REFUSED, f"HTTP {status}")

    async def close(self) -> None:
        """Leave the receiver."""
        if self._session is not None:
            await self._session.close()


def message(value: bytes | None, rules: Rules) -> Message:
    """The message for a record of coverage.verdicts.v1: its event as it stands, with the names of province and indicator as extensions.

    Raises one of `rows.UNREADABLE` for anything but a verdict event.
    """
    value = value or b""
    event = decode_verdict(value)
    if not _ID.fullmatch(event.id):
        # a header that no client would send, or that signs something else: the id is parted from the body by a dot
        raise msgspec.ValidationError("its id is none of a verdict change")
    names = {"subject": event.data.key}
    if (province := rules.register.provinces.get(event.data.province)) is not None:
        names["provincename"] = province.name_vi
    if (indicator := rules.catalogue.indicators.get(event.data.indicator)) is not None:
        names |= {"indicatorname": indicator.name_vi, "indicatornameen": indicator.name_en}
    # from the record's own JSON: a field that a newer worker has added goes on to the receiver
    body: dict[str, object] = msgspec.json.decode(value)
    return Message(event.id, event.data.key, msgspec.json.encode(body | {name: text for name, text in names.items() if name not in body}))


def sign(secrets: Sequence[bytes], name: str, at: int, body: bytes) -> str:
    """The header webhook-signature: one signature for each secret, so that a receiver may change its own while both hold."""
    signed = b".".join((name.encode(), str(at).encode(), body))
    return " ".join("v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets)


def read_webhook(url: str, secret_file: Path) -> Webhook:
    """The receiver that the settings name. Raises SettingsError with every problem; neither address nor secret is in its text."""
    problems = []
    if (problem := _wrong_with(url)) is not None:
        problems.append(f"PHUSONG_WEBHOOK_URL: {problem}")
    secrets: tuple[bytes, ...] = ()
    try:
        secrets = read_secrets(secret_file)
    except SettingsError as error:
        problems.append(f"PHUSONG_WEBHOOK_SECRET_FILE: {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Webhook(url, secrets)


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets of a file, one a line (`whsec_…`), at most four. Raises SettingsError where others may read it or it holds none."""
    path = path.expanduser()
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise SettingsError(f"{path}: others than its owner may read or write it; make a new secret, then `chmod 600 {path}`")
            text = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error}); docs/webhook.md tells how to make it") from error
    lines = text.decode("ascii", "replace").split()
    if not 1 <= len(lines) <= _SECRETS_MAX or len(text) > _FILE_BYTES_MAX:
        raise SettingsError(f"{path}: must hold one to {_SECRETS_MAX} secrets, each on a line of its own")
    return tuple(_secret(path, number, line) for number, line in enumerate(lines, 1))


def _secret(path: Path, number: int, line: str) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(_SECRET), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not line.startswith(_SECRET) or len(secret) not in _SECRET_BYTES:
        raise SettingsError(f"{path}: line {number} is no secret: {_SECRET} and 24 to 64 bytes in base64, as docs/webhook.md makes one")
    return secret


def _wrong_with(url: str) -> str | None:
    if not url:
        return "is empty: nothing would be sent; set the address of the receiver"
    if not re.fullmatch(r"[!-~]+", url):
        return "holds a space, or a character that must be percent-encoded"
    try:
        parts = urlsplit(url)
        found = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        found = False
        parts = urlsplit("")
    if not found:
        return "must be https://host[:port]/path, or http:// where the network itself is trusted"
    if "@" in parts.netloc:
        return "must not carry a user or password: what is sent is signed instead"
    return "must not carry a #fragment" if parts.fragment else None


def _words(error: BaseException) -> str:
    """Why there was no answer; never the address, which the client's own words may repeat."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate does not hold, or TLS failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        return f"no connection ({os.strerror(code) if code else type(error.os_error).__name__})"
    return f"the connection broke ({type(error).__name__})"
