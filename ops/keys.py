"""`phusong keys`: who may send events through the gateway, and with `--feed` who may read from the feed.

Comes in: a reporter or a reader, indicators, the id of a key. Goes out: the new key, once, on stdout; the list. Owns no state: key files
belong to access/keys.py. A reporter or an indicator that has no row is refused with the nearest that have.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from feed.text import Lang, say
from ops.terminal import DIFFERENCE, DONE, console, say_aside
from phusong.settings import Settings, SettingsError, read_rules, read_settings

NOTE_CHARACTERS_MAX = 200
READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

keys_app = App(name="keys", help="Khóa API của cổng nhận sự kiện và của feed. API keys: of the gateway, or of the feed.")


@keys_app.command(name="create")
def keys_create(
    reporter: str,
    /,
    *,
    indicator: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    note: str = "",
    acknowledges: Annotated[bool, Parameter(negative="")] = False,
    feed: bool = False,
    lang: Lang = "vi",
) -> int:
    """Tạo khóa cho một đơn vị báo cáo hoặc người đọc. Create a key; it is shown this once, on stdout, and only its hash is kept.

    Examples: `phusong keys create operator-a --note "Trung tâm NOC"`; `phusong keys create department --indicator postal.staffed_point`;
    `phusong keys create ioc --feed`.

    Parameters
    ----------
    reporter
        Whom the key speaks for: a row of reporters.csv. With --feed: who reads, any name.
    indicator
        What it may speak about; repeatable (default: everything).
    note
        For yourself: who holds it, where.
    acknowledges
        It may also take verdicts on and give them back (docs/acknowledgements.md).
    feed
        A key that reads from the feed (PHUSONG_FEED_KEYS) instead of one that sends to the gateway.
    lang
        Language of the text: vi or en.
    """
    from access.keys import create_key

    settings = read_settings()
    path = _file(settings, feed=feed)
    if feed:
        if indicator or acknowledges:
            raise SettingsError("--indicator, --acknowledges: a key of the feed reads everything and sends nothing; leave them out")
        if not READER.fullmatch(reporter):
            raise SettingsError(f"{reporter!r}: name the reader in at most 100 letters, digits, . _ or -, for example ioc")
    else:
        catalogue = read_rules(settings.seeds).catalogue
        _known("reporter", reporter, catalogue.reporters)
        for name in indicator:
            _known("indicator", name, catalogue.indicators)
    if len(note) > NOTE_CHARACTERS_MAX or not note.isprintable():
        raise SettingsError(f"--note: one line of at most {NOTE_CHARACTERS_MAX} characters")
    key, presented = create_key(path, reporter, sorted(set(indicator)), note, datetime.now(UTC), acknowledges=acknowledges)
    print(presented)
    say_aside(
        say(
            lang,
            f"Khóa {key.id} của {reporter}. Hãy cất giữ ngay: khóa không hiện lại lần nào nữa.",
            f"Key {key.id} of {reporter}. Keep it now: it is not shown again.",
        )
    )
    return DONE


@keys_app.command(name="list")
def keys_list(*, feed: bool = False, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Danh sách khóa (không hiện khóa). The keys by id, reporter and indicators; never the keys themselves.

    Examples: `phusong keys list`; `phusong keys list --json | jq '.[] | select(.revoked == null)'`.

    Parameters
    ----------
    feed
        Those of the feed (PHUSONG_FEED_KEYS).
    lang
        Language of the text: vi or en.
    as_json
        Print them as JSON.
    """
    import json

    from rich.table import Table
    from rich.text import Text

    from access.keys import read_keys

    held = read_keys(_file(read_settings(), feed=feed))
    if as_json:
        plain = [
            {
                "id": key.id,
                "reporter": key.reporter,
                "indicators": list(key.indicators),
                "note": key.note,
                "created": key.created.isoformat(),
                "revoked": key.revoked and key.revoked.isoformat(),
            }
            for key in held
        ]
        print(json.dumps(plain, ensure_ascii=False, indent=1))
        return DONE
    table = Table(box=None, header_style="bold")
    headings = (
        ("Mã", "Id"),
        ("Đơn vị", "Reporter"),
        ("Chỉ tiêu", "Indicators"),
        ("Tạo", "Created"),
        ("Thu hồi", "Revoked"),
        ("Ghi chú", "Note"),
    )
    for vi, en in headings:
        table.add_column(say(lang, vi, en))
    for key in held:
        revoked = "" if key.revoked is None else f"{key.revoked:%Y-%m-%d %H:%M}Z"
        about = " ".join(key.indicators) or say(lang, "tất cả", "all")
        table.add_row(key.id, key.reporter, about, f"{key.created:%Y-%m-%d %H:%M}Z", revoked, Text(key.note))
    console().print(table)
    return DONE


@keys_app.command(name="revoke")
def keys_revoke(name: Annotated[str, Parameter(name="ID")], /, *, feed: bool = False, lang: Lang = "vi") -> int:
    """Thu hồi khóa. Revoke a key; running servers refuse it within a second.

    Example: `phusong keys revoke 3f9c01ab`.

    Parameters
    ----------
    name
        The key's id, as in `phusong keys list`.
    feed
        One of the feed (PHUSONG_FEED_KEYS).
    lang
        Language of the text: vi or en.
    """
    from access.keys import revoke_key

    path = _file(read_settings(), feed=feed)
    key = revoke_key(path, name, datetime.now(UTC))
    if key is None:
        print(
            say(
                lang,
                f"{path}: không có khóa {name!r}; xem `phusong keys list`",
                f"{path}: no key {name!r}; see `phusong keys list`",
            ),
            file=sys.stderr,
        )
        return DIFFERENCE
    print(say(lang, f"Khóa {key.id} của {key.reporter} đã thu hồi.", f"Key {key.id} of {key.reporter} is revoked."))
    return DONE


def _file(settings: Settings, *, feed: bool) -> Path:
    """Where those keys are."""
    if not feed:
        return settings.keys
    if settings.feed_keys is None:
        raise SettingsError("PHUSONG_FEED_KEYS is not set, so everybody may read: set it to a file, here and for the feed")
    return settings.feed_keys


def _known(what: str, name: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or names
        raise SettingsError(f"{what} {name!r} has no row in seeds/; one of: {', '.join(near)}")
