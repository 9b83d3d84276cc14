"""`phusong keys`: who may send events through the gateway.

Comes in: a reporter, indicators, the id of a key. Goes out: the new key, once, on stdout; the list. Owns no state: the key file belongs to
producers/gateway/keys.py. A reporter or an indicator that has no row is refused with the nearest that have.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from ops.terminal import DIFFERENCE, DONE, console, say_aside
from ops.text import Lang, say
from phusong.settings import SettingsError, read_rules, read_settings

NOTE_CHARACTERS_MAX = 200

keys_app = App(name="keys", help="Khóa API của cổng nhận sự kiện. The gateway's API keys: each speaks for one reporter.")


@keys_app.command(name="create")
def keys_create(
    reporter: str,
    /,
    *,
    indicator: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    note: str = "",
    lang: Lang = "vi",
) -> int:
    """Tạo khóa cho một đơn vị báo cáo. Create a key for one reporter; it is shown this once, on stdout, and only its hash is kept.

    Examples: `phusong keys create operator-a --note "Trung tâm NOC"`; `phusong keys create department --indicator postal.staffed_point`.

    Parameters
    ----------
    reporter
        Whom the key speaks for: a row of reporters.csv.
    indicator
        What it may speak about; repeatable (default: everything).
    note
        For yourself: who holds it, where.
    lang
        Language of the text: vi or en.
    """
    from producers.gateway.keys import create_key

    settings = read_settings()
    catalogue = read_rules(settings.seeds).catalogue
    _known("reporter", reporter, catalogue.reporters)
    for name in indicator:
        _known("indicator", name, catalogue.indicators)
    if len(note) > NOTE_CHARACTERS_MAX or not note.isprintable():
        raise SettingsError(f"--note: one line of at most {NOTE_CHARACTERS_MAX} characters")
    key, presented = create_key(settings.keys, reporter, sorted(set(indicator)), note, datetime.now(UTC))
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
def keys_list(*, lang: Lang = "vi", as_json: Annotated[bool, Parameter("--json")] = False) -> int:
    """Danh sách khóa (không hiện khóa). The keys by id, reporter and indicators; never the keys themselves.

    Examples: `phusong keys list`; `phusong keys list --json | jq '.[] | select(.revoked == null)'`.

    Parameters
    ----------
    lang
        Language of the text: vi or en.
    as_json
        Print them as JSON.
    """
    import json

    from rich.table import Table
    from rich.text import Text

    from producers.gateway.keys import read_keys

    held = read_keys(read_settings().keys)
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
def keys_revoke(name: Annotated[str, Parameter(name="ID")], /, *, lang: Lang = "vi") -> int:
    """Thu hồi khóa. Revoke a key; running gateways refuse it within a second.

    Example: `phusong keys revoke 3f9c01ab`.

    Parameters
    ----------
    name
        The key's id, as in `phusong keys list`.
    lang
        Language of the text: vi or en.
    """
    from producers.gateway.keys import revoke_key

    settings = read_settings()
    key = revoke_key(settings.keys, name, datetime.now(UTC))
    if key is None:
        print(
            say(
                lang,
                f"{settings.keys}: không có khóa {name!r}; xem `phusong keys list`",
                f"{settings.keys}: no key {name!r}; see `phusong keys list`",
            ),
            file=sys.stderr,
        )
        return DIFFERENCE
    print(say(lang, f"Khóa {key.id} của {key.reporter} đã thu hồi.", f"Key {key.id} of {key.reporter} is revoked."))
    return DONE


def _known(what: str, name: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or names
        raise SettingsError(f"{what} {name!r} has no row in seeds/; one of: {', '.join(near)}")
