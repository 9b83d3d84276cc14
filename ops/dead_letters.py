"""`phusong dead-letters`: which records were rejected and why, one of them whole, and sending them back, once.

Comes in: identities or filters, and a file of mended events. Goes out: tables, records, lines of JSON on stdout; records sent back to the
topic where they belong, each with the header `phusong-replay-of`. Owns no state: what was sent back is read from the source topics. What
cannot be sent is told with its remedy and makes the exit code 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter, Token

from feed.text import Lang, number, say
from ops import asked
from ops.terminal import DIFFERENCE, DONE, console, print_found, reading_bar, say_aside
from phusong.admission import Admission
from phusong.events import Reason
from phusong.periods import VIETNAM
from phusong.settings import SettingsError, read_rules, read_settings

if TYPE_CHECKING:
    # reads with the Kafka client, which is slow to import: only when a command runs
    from ops.letters import Found, Letter, Row, Wanted

app = App(
    name="dead-letters",
    help="Bản ghi bị loại: vì sao, và gửi lại sau khi sửa. The rejected records: why, and sending them back.",
    default_parameter=Parameter(negative=""),
)

Reasons = Annotated[list[Reason] | None, Parameter(name="--reason", name_transform=str.lower)]
Reporters = Annotated[list[str] | None, Parameter(name="--reporter")]
Json = Annotated[bool, Parameter("--json")]


def _day(_type: object, tokens: Sequence[Token]) -> date:
    return asked.day(tokens[0].value)


Day = Annotated[date | None, Parameter(converter=_day)]
"""30/06/2023 or 2023-06-30."""


@app.command(name="list")
def list_letters(
    *,
    reason: Reasons = None,
    reporter: Reporters = None,
    since: Day = None,
    until: Day = None,
    lang: Lang = "vi",
    as_json: Json = False,
) -> int:
    """Liệt kê các bản ghi bị loại. List the rejected records: when, why, whose, and what today's rules make of them.

    Examples: `phusong dead-letters list`; `phusong dead-letters list --reason key_mismatch --reporter operator-a --since 2023-06-01`.

    Parameters
    ----------
    reason
        Only these reasons (docs/events.md has them all).
    reporter
        Only of these sources, where the source can be read.
    since
        First day, 2023-06-01, on which Kafka took the record.
    until
        Last day.
    lang
        Language of the text: vi or en.
    as_json
        Print them as JSON, whole sentences.
    """
    from ops.sending_back import look_up

    settings = read_settings()
    found = look_up(settings, Admission(read_rules(settings.seeds)), _wanted((), reason, reporter, since, until), lang)
    if as_json:
        print_found(found, list, as_json=True)
    else:
        _show(found, lang)
    return DONE


@app.command
def show(identity: str, /, *, lang: Lang = "vi", as_json: Json = False) -> int:
    """Xem trọn một bản ghi bị loại. One rejected record whole: key, headers, value, why, the remedy, whether it was sent back.

    Example: `phusong dead-letters show postal/8/1234`.

    Parameters
    ----------
    identity
        As `phusong dead-letters list` shows it: domain/partition/offset.
    lang
        Language of the text: vi or en.
    as_json
        Print it as JSON.
    """
    from ops.letters import each
    from ops.sending_back import look_up, tell_missing

    settings = read_settings()
    wanted = _wanted((identity,))
    found = look_up(settings, Admission(read_rules(settings.seeds)), wanted, lang)
    if tell_missing(wanted, found, lang):
        return DIFFERENCE
    (row,) = found.letters

    def shown(letter: Letter) -> None:
        if as_json:
            print(json.dumps(_plain(row, letter), ensure_ascii=False, indent=1))
        else:
            print("\n".join(_describe(row, letter, lang)))

    with reading_bar(lang) as tell:
        each(settings.kafka(), found.letters, shown, tell)
    return DONE


@app.command
def export(
    *identities: str,
    reason: Reasons = None,
    reporter: Reporters = None,
    since: Day = None,
    until: Day = None,
    lang: Lang = "vi",
) -> int:
    """Xuất những bản ghi phải sửa, mỗi dòng một bản ghi. The records that must be mended, a line of JSON each, on stdout.

    Mend the lines in an editor, keep their `phusongreplayof`, and send them: `phusong dead-letters replay --repaired FILE`.

    Examples: `phusong dead-letters export --reporter operator-a > mend.jsonl`; `phusong dead-letters export postal/8/1234 > mend.jsonl`.

    Parameters
    ----------
    identities
        As `phusong dead-letters list` shows them; none: all that the filters let through.
    reason
        Only these reasons.
    reporter
        Only of these sources.
    since
        First day on which Kafka took the record.
    until
        Last day.
    lang
        Language of the text: vi or en.
    """
    from ops.letters import Today, each, exported
    from ops.sending_back import look_up, tell_missing

    settings = read_settings()
    wanted = _wanted(identities, reason, reporter, since, until)
    found = look_up(settings, Admission(read_rules(settings.seeds)), wanted, lang)
    code = DIFFERENCE if tell_missing(wanted, found, lang) else DONE
    rows = {row.place: row for row in found.letters if row.today is Today.MEND and row.replayed_at is None}

    def write(letter: Letter) -> None:
        sys.stdout.buffer.write(exported(letter, rows[letter.place].now) + b"\n")

    with reading_bar(lang) as tell:
        each(settings.kafka(), list(rows.values()), write, tell)
    sys.stdout.buffer.flush()
    others = len(found.letters) - len(rows)
    if others:
        say_aside(
            say(
                lang,
                f"{others} bản ghi không phải sửa (gửi lại được, đã gửi lại, hoặc đã được tính): không xuất",
                f"{others} records need no mending (can be sent back, were sent back, or count already): left out",
            )
        )
    return code


@app.command
def replay(
    *identities: str,
    reason: Reasons = None,
    reporter: Reporters = None,
    since: Day = None,
    until: Day = None,
    repaired: Path | None = None,
    dry_run: bool = False,
    lang: Lang = "vi",
) -> int:
    """Gửi lại, một lần. Send rejected records back to where they belong, once: unchanged where today's rules admit them, or mended.

    Exit code 1 when something would be rejected again, or was named and is not sent.

    Examples: `phusong dead-letters replay postal/8/1234`; `phusong dead-letters replay --reason key_mismatch --dry-run`;
    `phusong dead-letters replay --repaired mend.jsonl`.

    Parameters
    ----------
    identities
        As `phusong dead-letters list` shows them.
    reason
        All of these reasons.
    reporter
        All of these sources.
    since
        First day on which Kafka took the record.
    until
        Last day.
    repaired
        JSONL, one mended event a line; its `phusongreplayof` names the letter, as `phusong dead-letters export` wrote it.
    dry_run
        Print what would be sent, send nothing.
    lang
        Language of the text: vi or en.
    """
    from ops.sending_back import SendingBack

    filters = bool(reason or reporter or since or until)
    if [bool(identities), filters, repaired is not None].count(True) != 1:
        raise SettingsError(
            say(
                lang,
                "nêu đúng một cách chọn: các mã bản ghi, hoặc bộ lọc (--reason, --reporter, --since, --until), hoặc --repaired TỆP",
                "choose in exactly one way: identities, or filters (--reason, --reporter, --since, --until), or --repaired FILE",
            )
        )
    settings = read_settings()
    admission = Admission(read_rules(settings.seeds))
    run = SendingBack(settings, admission, lang, dry_run=dry_run, named=not filters)
    if repaired is not None:
        return run.mended(repaired)
    return run.unchanged(_wanted(identities, reason, reporter, since, until))


def _wanted(
    identities: Sequence[str],
    reasons: Sequence[Reason] | None = None,
    reporters: Sequence[str] | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Wanted:
    from ops.letters import Wanted, identity

    return Wanted(
        identities=frozenset(map(identity, identities)),
        reasons=frozenset(one.value for one in reasons or ()),
        reporters=frozenset(reporters or ()),
        since=None if since is None else datetime.combine(since, time.min, VIETNAM),
        until=None if until is None else datetime.combine(until, time.max, VIETNAM),
    )


def _show(found: Found, lang: Lang) -> None:
    from rich.table import Table
    from rich.text import Text

    from ops.sending_back import moment, standing

    headings = say(
        lang,
        "bản ghi,Kafka nhận lúc,lý do,nguồn,xã,nay,vì sao và cách sửa",
        "record,Kafka took it,reason,source,commune,now,why and the remedy",
    )
    if found.letters:
        table = Table()
        for heading, whole in zip(headings.split(","), (True, True, True, False, True, False, False), strict=True):
            table.add_column(heading, no_wrap=whole, overflow="fold")
        for row in found.letters:
            cells = (row.identity, moment(row.taken_at, lang), row.reason, row.reporter, row.commune, standing(row, lang), row.sentence)
            # Text: what strangers wrote is no markup
            table.add_row(*(Text(cell or "–") for cell in cells))
        console().print(table)
    print("\n".join(_counted(found, lang)))


def _counted(found: Found, lang: Lang) -> Iterator[str]:
    for reason, count in found.by_reason.items():
        yield f"{reason}: {number(count, lang)}"
    every = number(len(found.letters), lang)
    yield say(lang, f"tất cả: {every}", f"all: {every}")
    if found.left_out:
        kept, out = every, number(found.left_out, lang)
        yield say(
            lang,
            f"chỉ kể {kept} bản ghi mới nhất; bỏ qua {out} bản ghi cũ hơn: hãy thu hẹp bằng --since, --until, --reason",
            f"the newest {kept} only; {out} older ones are left out: narrow it with --since, --until, --reason",
        )
    if found.unreadable:
        other = number(found.unreadable, lang)
        yield say(
            lang,
            f"{other} bản ghi trong topic này không phải do worker ghi: bỏ qua",
            f"{other} records of the topic were not written by a worker: left out",
        )


def _describe(row: Row, letter: Letter, lang: Lang) -> Iterator[str]:
    from ops.letters import printable, text
    from ops.sending_back import moment, remedy, standing

    topic, partition, offset = letter.identity
    yield f"{row.identity}   {topic}[{partition}]@{offset}"
    yield f"{say(lang, 'Kafka nhận lúc', 'Kafka took it')}: {moment(row.taken_at, lang)}"
    yield f"{say(lang, 'lý do', 'reason')}: {row.reason} ({say(lang, 'quy tắc số', 'rules')} {row.rules})"
    yield f"  {row.sentence}"
    yield f"{say(lang, 'nay', 'now')}: {standing(row, lang)}"
    if row.now:
        yield f"  {row.now}"
    yield f"  {remedy(row, lang)}"
    yield f"{say(lang, 'khóa', 'key')}: {_bytes(letter.key)}"
    for name, raw in letter.headers:
        yield f"{printable(name)}: {_bytes(raw)}"
    size = number(len(letter.value or b""), lang)
    yield f"{say(lang, 'nội dung', 'value')} ({size} bytes):"
    yield text(letter.value) or "–"


def _bytes(raw: bytes | None) -> str:
    from ops.letters import text

    return "–" if raw is None else text(raw)


def _plain(row: Row, letter: Letter) -> dict[str, Any]:
    """The row, and the record: key, headers and value as text, or in hexadecimal where they are no text."""
    import msgspec

    from ops.letters import text

    return {
        **msgspec.to_builtins(row),
        "key": None if letter.key is None else text(letter.key),
        "headers": [[name, None if raw is None else text(raw)] for name, raw in letter.headers],
        "value": None if letter.value is None else text(letter.value),
    }
