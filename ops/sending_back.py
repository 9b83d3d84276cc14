"""Rejected records on their way back, once: unchanged, or as the mended events of a file.

Comes in: which letters, or a file. Goes out: records in the source topics with the header `phusong-replay-of`; counts on stdout, what is
not sent and its remedy on stderr. Owns the counts of one run. A letter that was sent back, by whomever, is refused: before anything is sent
the source topics are read for that header. Two runs at the same moment may both send: what arrives twice counts once.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from feed.text import Lang, number, say
from ops.letters import KEPT_MAX, REPLAY_OF, Found, Identity, Letter, Row, Today, Wanted, each, header_value, judge, look, mended
from ops.letters import identity as named
from ops.terminal import DIFFERENCE, DONE, TROUBLE, console, reading_bar, say_aside
from phusong.admission import Admission
from phusong.events import Event, Rejected
from phusong.periods import VIETNAM
from phusong.settings import Settings, SettingsError
from phusong.topics import SOURCES
from producers.publisher import Publisher

Send = Callable[[Identity, Event], None]


def look_up(settings: Settings, admission: Admission, wanted: Wanted, lang: Lang) -> Found:
    """`letters.look` with a bar."""
    with reading_bar(lang) as tell:
        return look(settings.kafka(), admission, wanted, _now_ms(), tell)


def tell_missing(wanted: Wanted, found: Found, lang: Lang) -> bool:
    """Say which of the identities that were named are no dead letters; whether there are any."""
    missing = sorted(wanted.identities - {named(row.identity) for row in found.letters})
    for one in missing:
        say_aside(
            say(
                lang,
                f"{one}: không có trong các bản ghi bị loại (giữ 400 ngày); xem `phusong dead-letters list`",
                f"{one}: is not among the dead letters (kept for 400 days); see `phusong dead-letters list`",
            )
        )
    return bool(missing)


def moment(at: datetime, lang: Lang) -> str:
    """A moment in Vietnam, to the minute."""
    return f"{at.astimezone(VIETNAM):{say(lang, '%d/%m/%Y %H:%M', '%Y-%m-%d %H:%M')}}"


def standing(row: Row, lang: Lang) -> str:
    """How it is with a letter now, in a few words."""
    if row.replayed_at is not None:
        return say(lang, "đã gửi lại ", "sent back ") + moment(row.replayed_at, lang)
    words = {
        Today.SEND: ("gửi lại được", "can be sent back"),
        Today.MEND: ("phải sửa", "to be mended"),
        Today.COUNTS: ("đã được tính", "counts"),
    }
    return say(lang, *words[row.today])


def remedy(row: Row, lang: Lang) -> str:
    """What to do about a letter."""
    if row.replayed_at is not None:
        return say(lang, "không phải làm gì nữa", "nothing is left to do")
    if row.today is Today.COUNTS:
        return say(
            lang,
            "theo quy tắc hiện nay nó được tính ngay tại chỗ, trong mọi worker chạy với quy tắc này: không phải gửi lại",
            "by today's rules it counts where it lies, in every worker that runs with them: nothing to send",
        )
    if row.today is Today.SEND:
        return f"phusong dead-letters replay {row.identity}"
    steps = (f"phusong dead-letters export {row.identity} > mend.jsonl", "phusong dead-letters replay --repaired mend.jsonl")
    return say(lang, "{0}; sửa tệp; {1}", "{0}; mend the file; {1}").format(*steps)


class SendingBack:
    """One run. `named`: the letters were named one by one, so that each which is not sent makes the exit code 1."""

    def __init__(self, settings: Settings, admission: Admission, lang: Lang, *, dry_run: bool, named: bool) -> None:
        self._settings = settings
        self._admission = admission
        self._lang: Lang = lang
        self._dry_run = dry_run
        self._named = named
        self._counts: Counter[str] = Counter()
        self._code = DONE

    def unchanged(self, wanted: Wanted) -> int:
        """Send the records of these letters as they are; returns the exit code. Raises ReadingError or PublishError."""
        found = self._look_up(wanted)
        rows = [row for row in found.letters if self._is_open(row) and self._is_sendable(row)]
        with self._sending(len(rows)) as send:

            def back(letter: Letter) -> None:
                today, event, why = judge(self._admission, letter, _now_ms())
                if event is None or today is not Today.SEND:
                    self._refuse(f"{letter.identity}: {why}")
                else:
                    send(letter.identity, event)

            each(self._settings.kafka(), rows, back, lambda _read, _of: None)
        return self._end()

    def mended(self, path: Path) -> int:
        """Send the events of a file, all lines of a letter or none; returns the exit code. Raises OSError, ReadingError, PublishError."""
        lines, broken = self._check(path)
        if not lines:
            return self._end()
        found = self._look_up(Wanted(identities=frozenset(lines)))
        chosen = {named(row.identity) for row in found.letters if self._is_open(row)}
        for one in sorted(chosen & broken):
            if lines[one] > 1:
                self._refuse(
                    say(
                        self._lang,
                        f"{one}: không gửi dòng nào của bản ghi này khi còn dòng sai",
                        f"{one}: none of its lines is sent while one of them is wrong",
                    )
                )
        chosen -= broken
        with self._sending(sum(lines[one] for one in chosen)) as send:
            for line in mended(path):
                if line.identity in chosen and line.identity is not None and not isinstance(line.outcome, Rejected):
                    send(line.identity, line.outcome)
        return self._end()

    def _check(self, path: Path) -> tuple[Counter[Identity], set[Identity | None]]:
        """How many lines mend each letter, and the letters with a line that the reader would reject."""
        lines: Counter[Identity] = Counter()
        broken: set[Identity | None] = set()
        for line in mended(path):
            if line.identity is not None:
                lines[line.identity] += 1
            if len(lines) > KEPT_MAX:
                raise SettingsError(f"{path}: mends more than {number(KEPT_MAX, self._lang)} records; cut the file in two")
            try:
                if isinstance(line.outcome, Rejected):
                    raise line.outcome
                self._admission.outgoing(line.outcome, _now_ms())
            except Rejected as error:
                self._refuse(f"{path}:{line.number}: {error}")
                broken.add(line.identity)
        return lines, broken

    def _look_up(self, wanted: Wanted) -> Found:
        found = look_up(self._settings, self._admission, wanted, self._lang)
        if tell_missing(wanted, found, self._lang):
            self._code = DIFFERENCE
        if found.left_out:
            say_aside(
                say(
                    self._lang,
                    f"chỉ xét {number(KEPT_MAX, self._lang)} bản ghi mới nhất; thu hẹp bằng --since, --until để gửi những bản ghi cũ hơn",
                    f"the newest {number(KEPT_MAX, self._lang)} only; narrow it with --since, --until to send back older ones",
                )
            )
        return found

    def _is_open(self, row: Row) -> bool:
        """Whether it was not sent back yet and does not count already."""
        if row.replayed_at is None and row.today is not Today.COUNTS:
            return True
        self._counts["replayed" if row.replayed_at is not None else "counts"] += 1
        if self._named:
            self._code = DIFFERENCE
            say_aside(f"{row.identity}: {standing(row, self._lang)}: {say(self._lang, 'không gửi nữa', 'not sent')}")
        return False

    def _is_sendable(self, row: Row) -> bool:
        if row.today is Today.SEND:
            return True
        self._refuse(f"{row.identity}: {row.now}\n  {remedy(row, self._lang)}")
        return False

    def _refuse(self, sentence: str) -> None:
        self._counts["refused"] += 1
        self._code = DIFFERENCE
        say_aside(sentence)

    @contextmanager
    def _sending(self, total: int) -> Iterator[Send]:
        """On leaving, everything is acknowledged, or told and the exit code is 3."""
        if self._dry_run or not total:
            yield self._would
            return
        publisher = None
        try:
            with (
                _bar(total, self._lang) as advance,
                Publisher(self._settings.kafka(), self._admission, lambda: datetime.now(UTC)) as publisher,
            ):
                yield self._sender(publisher, advance)
                if publisher.flush():
                    self._code = TROUBLE
                    say_aside(publisher.lost())
        except KeyboardInterrupt:
            say_aside(say(self._lang, "đã dừng; chạy lại để gửi phần còn lại", "stopped; run it again for the rest"))
            raise
        finally:
            if publisher is not None:
                self._counts["sent"] = publisher.acknowledged
                self._counts["failed"] = publisher.taken - publisher.acknowledged

    def _sender(self, publisher: Publisher, advance: Callable[[], None]) -> Send:
        def send(one: Identity, event: Event) -> None:
            advance()
            if publisher.failed:
                # the broker has been away for longer than a delivery may take: the next record would fare no better
                self._counts["unsent"] += 1
                return
            try:
                publisher.send(event, headers=[(REPLAY_OF, header_value(one))])
            except Rejected as error:
                self._refuse(f"{one}: {error}")

        return send

    def _would(self, one: Identity, event: Event) -> None:
        _, route = self._admission.outgoing(event, _now_ms())
        self._counts["sent"] += 1
        print(f"{one} → {SOURCES[route.domain].name}[{route.share}], {say(self._lang, 'khóa', 'key')} {route.province}")

    def _end(self) -> int:
        sent = say(self._lang, "sẽ gửi lại", "would be sent back") if self._dry_run else say(self._lang, "đã gửi lại", "sent back")
        words = {
            "sent": sent,
            "replayed": say(self._lang, "đã gửi lại từ trước", "sent back before"),
            "counts": say(self._lang, "đã được tính tại chỗ", "count where they lie"),
            "refused": say(self._lang, "phải sửa", "to be mended"),
            "failed": say(self._lang, "chưa được xác nhận", "not acknowledged"),
            "unsent": say(self._lang, "chưa gửi", "not tried"),
        }
        print(
            ", ".join(
                f"{number(self._counts[one], self._lang)} {word}" for one, word in words.items() if self._counts[one] or one == "sent"
            )
        )
        return self._code


@contextmanager
def _bar(total: int, lang: Lang) -> Iterator[Callable[[], None]]:
    """A bar on stderr for what is sent, one step a record."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(say(lang, "Gửi lại", "Sending back"), total=total)
        yield lambda: progress.advance(task)


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
