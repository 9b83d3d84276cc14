"""API keys: who may send to the gateway, for which reporter and about which indicators; and who may read from the feed.

Comes in: a key file (JSON, its owner's alone) and keys as they are presented. Goes out: the `Key` behind a presented one, or None; and a
changed file, replaced as a whole, one writer at a time. Owns that file and, in `KeyRing`, what it held when last looked at. A key is 256
random bits, so that its plain SHA-256 can be kept instead of it: there is nothing to guess. A file that others may read, or that is not
such a file, is a `KeyFileError`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

import msgspec
from msgspec import Struct

LOG = logging.getLogger(__name__)

KEYS_MAX = 10_000
"""The most keys that a file may hold, revoked ones too."""
LOOK_EVERY_SECONDS = 1.0
"""A key that is created or revoked is noticed by a running server within this."""
FORM = re.compile(r"phs_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
"""What a key looks like; for whoever must not write one down."""
_FILE_BYTES_MAX = 16 * 1024 * 1024


class KeyFileError(OSError):
    """The key file cannot be used; the text names it and the remedy."""


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key as the file holds it, without the key itself: `indicators` empty: all; `revoked` None: it holds; `sha256` in hex.

    `reporter`: whom it speaks for; of a key that reads: who holds it.
    """

    id: str
    reporter: str
    indicators: tuple[str, ...] = ()
    note: str = ""
    created: datetime
    revoked: datetime | None = None
    sha256: str
    acknowledges: bool = False
    """Whether verdicts may be taken on and given back with it."""

    def may_speak_for(self, source: str) -> bool:
        """Whether events of that source may come with this key."""
        return source == self.reporter

    def may_speak_about(self, indicator: str) -> bool:
        """Whether events about that indicator may come with this key."""
        return not self.indicators or indicator in self.indicators


class _KeyFile(Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[Key, ...]


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of a file, oldest first; none where there is no file. Raises KeyFileError."""
    path = path.expanduser()
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_mode & 0o077:
                raise KeyFileError(f"{path}: others than its owner may read or write it; `chmod 600 {path}`, then look who has had it")
            text = file.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return ()
    except KeyFileError:
        raise
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({error.strerror or error}); see PHUSONG_KEYS and PHUSONG_FEED_KEYS") from error
    try:
        return msgspec.json.decode(text, type=_KeyFile).keys
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: is no key file ({error}); put back a copy, or move it away and create the keys again") from None


def create_key(
    path: Path, reporter: str, indicators: Sequence[str], note: str, now: datetime, *, acknowledges: bool = False
) -> tuple[Key, str]:
    """A new key in the file (made with its directory where there is none), and, this once, the key itself. Raises KeyFileError."""
    with _changing(path) as (held, write):
        if len(held) >= KEYS_MAX:
            raise KeyFileError(f"{path}: holds {len(held)} keys, revoked ones included; move it away and create those in use again")
        taken = {key.id for key in held}
        name = next(name for name in iter(lambda: secrets.token_hex(4), "") if name not in taken)
        presented = f"phs_{name}_{secrets.token_urlsafe(32)}"
        key = Key(
            id=name,
            reporter=reporter,
            indicators=tuple(indicators),
            note=note,
            created=now,
            sha256=sha256(presented.encode()).hexdigest(),
            acknowledges=acknowledges,
        )
        write((*held, key))
    return key, presented


def revoke_key(path: Path, name: str, now: datetime) -> Key | None:
    """The key of that id, revoked from now on (or since before); None: there is none. Raises KeyFileError."""
    with _changing(path) as (held, write):
        found = next((key for key in held if key.id == name), None)
        if found is None or found.revoked is not None:
            return found
        revoked = msgspec.structs.replace(found, revoked=now)
        write(tuple(revoked if key is found else key for key in held))
        return revoked


class KeyRing:
    """The keys that hold, as a running server asks for them: it looks at the file once a second at most, at its content when it changed.

    While the file cannot be used nobody is let in: a revocation that cannot be read must not be missed. Raises KeyFileError at the start.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.trouble = ""
        self._path = path.expanduser()
        self._clock = clock
        self._look_at = clock() + LOOK_EVERY_SECONDS
        self._stamp = self._read_stamp()
        self._keys = self._index(read_keys(self._path))

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, presented: str) -> Key | None:
        """The key that was presented; None: unknown or revoked."""
        self.refresh()
        name = presented[4:12]
        key = self._keys.get(name)
        # compared even where there is none, so that the time taken does not tell which ids exist
        expected = key.sha256 if key else "0" * 64
        matches = compare_digest(sha256(presented.encode("utf-8", "surrogateescape")).hexdigest(), expected)
        return key if matches else None

    def refresh(self) -> None:
        """Look at the file again where it is time to."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys, self.trouble = self._index(read_keys(self._path)), ""
        except KeyFileError as error:
            self._keys, self.trouble = {}, str(error)
            LOG.error("nobody is let in: %s", error)

    def _read_stamp(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode)

    def _index(self, keys: Sequence[Key]) -> dict[str, Key]:
        return {key.id: key for key in keys if key.revoked is None}


@contextmanager
def _changing(path: Path) -> Iterator[tuple[tuple[Key, ...], Callable[[tuple[Key, ...]], None]]]:
    """The keys held and what writes others in their place, while no other writer is let near."""
    # behind a link, so that whoever reads the file by its own name sees the change too
    path = path.expanduser().resolve()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # a file beside it: the key file itself is replaced, and a lock on what was replaced holds nobody off
        with os.fdopen(_for_owner(path.with_name(f"{path.name}.lock"), os.O_APPEND), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield read_keys(path), lambda keys: _replace(path, msgspec.json.format(msgspec.json.encode(_KeyFile(keys)), indent=1))
    except KeyFileError:
        raise
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be changed ({error.strerror or error}); see PHUSONG_KEYS and PHUSONG_FEED_KEYS") from error


def _replace(path: Path, text: bytes) -> None:
    """The whole file or, when the power fails, the one before."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(_for_owner(part, os.O_EXCL), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _for_owner(path: Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)
