"""`phusong audit`: everything that is published, recomputed from the raw topics by today's rules.

Comes in: the source topics and everything that workers write, each to its present end, and the rules. Goes out: `Audit`, and its lines in
Vietnamese or English. Owns what it has read, in memory: what a worker and a feed hold. Rows that readers leave out are counted alone.

A running system is always a little behind its log. So a row is right when it is the core's answer after the log as read now, or after one
of the records read since the look before; whatever is not right is looked at again: a few times, and for two sessions as long as a worker
is alive and may merely be behind. `as_of` is the latest moment that the share's rows are true for: a system that has stopped is audited
for the moment at which it stopped. Rows of other rules than today's are counted, not compared.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException, Message
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from feed.reading import Partition, Reading, Tell, headers_of
from feed.snapshot import Held, LeftOut, Snapshot
from feed.text import Lang, number, say
from ops.published import Admitted, Chains, Difference, Kind, Letters, row_differences
from phusong.admission import Admission
from phusong.evidence import Outcome
from phusong.periods import VIETNAM
from phusong.rows import Row
from phusong.rules import Rules
from phusong.settings import Kafka, Settings
from phusong.topics import COMMUNES, DEAD_LETTERS, PROVINCES, SOURCES, VERDICTS, log_id, share_of
from streams.share import Share

LOOKS = 3
"""How often what differs is looked at, whoever is alive: two topics are never read at quite the same moment."""
GROUP = "phusong"
"""The workers' group: without members nobody will publish what is missing."""
_OUTPUTS = (COMMUNES.name, PROVINCES.name, VERDICTS.name, DEAD_LETTERS.name)
_DOMAIN_OF = {topic.name: domain for domain, topic in SOURCES.items()}
_LETTERS_KEPT_MS = int(DEAD_LETTERS.config["retention.ms"])
_ANSWER_SECONDS_MAX = 5.0
_SHOWN = 40
"""How many differences the terminal shows; `--json` has all."""


class Counts(Struct, frozen=True, kw_only=True):
    """What became of the records of one topic: the others add up to `offsets`; `control`: offsets that hold no committed record."""

    offsets: int
    admitted: int
    duplicate: int
    superseded: int
    rejected: int
    control: int


class Audit(Struct, frozen=True, kw_only=True):
    """What was compared, and what differs."""

    rules: int
    log: str
    as_of: datetime
    """The latest moment that a row was compared for."""
    records: dict[str, Counts]
    """By topic."""
    rows: int
    verdicts: int
    dead_letters: int
    left_out: dict[LeftOut, int]
    """Records of the row topics that readers do not show."""
    differences: list[Difference]
    other_rules: dict[int, int]
    """Number of rules -> rows and dead letters that were published under them and are not compared."""
    admitted_now: list[Admitted]

    @property
    def clean(self) -> bool:
        """Whether everything published is what today's rules make of the log."""
        return not self.differences and not self.other_rules


def audit(settings: Settings, rules: Rules, tell: Tell, report: Callable[[str], None], lang: Lang = "vi") -> Audit:
    """Read, recompute, compare. Raises ReadingError when Kafka cannot be read."""
    kafka = settings.kafka()
    with Reading(kafka, list(_DOMAIN_OF)) as sources, Reading(kafka, _OUTPUTS) as outputs:
        auditor = _Auditor(settings, rules, sources)
        patience_seconds = 2 * settings.session_seconds + 10  # a takeover: the session of who died, and a rebuild
        deadline = 0.0
        looks = 0
        while True:
            outputs.read(auditor.take_output)
            auditor.look()
            sources.read(auditor.take_source, tell)
            found = auditor.compare()
            looks += 1
            deadline = deadline or time.monotonic() + patience_seconds
            settling = sum(one.may_settle for one in found.differences)
            if not found.differences or (looks >= LOOKS and not (settling and time.monotonic() < deadline and _at_work(kafka))):
                return found
            if looks == LOOKS:
                vi = f"chờ bộ xử lý: {number(settling, lang)} điểm chưa khớp, tối đa {patience_seconds:.0f} giây"
                report(say(lang, vi, f"waiting for the workers: {settling} points do not match yet, at most {patience_seconds:.0f} s"))
            time.sleep(min(2.0, 0.25 * looks))


class _Auditor:
    """What was read so far, and which rows were right already."""

    def __init__(self, settings: Settings, rules: Rules, sources: Reading) -> None:
        self._settings, self._rules, self._sources = settings, rules, sources
        admission = Admission(rules)
        numbers = {partition for _, partition in sources.starts}
        self._shares = {partition: Share(partition, rules, admission) for partition in sorted(numbers)}
        # a row names a province of its own list; its share is that of the home province
        units = rules.register.units.values()
        self._share_of = {(unit.vintage, unit.province): share_of(rules.register.home(unit).encode()) for unit in units}
        self._outcomes = {topic: [0] * len(Outcome) for topic in _DOMAIN_OF}
        self._begins_ms: dict[str, int] = {}
        self._snapshot = Snapshot()
        self._snapshot.start_over(log_id(sources.ids))
        self._chains = Chains()
        self._letters = Letters()
        self._expected: dict[str, Row] = {}
        self._published: dict[str, Held[Any]] = {}
        self._right: set[str] = set()
        """Keys of rows that were right at one look."""
        self._closely = False
        """Whether each record is followed by a look at the rows that it changes."""
        self._as_of: dict[int, datetime] = {}
        self._due: dict[Partition, int] = {}
        """Where the log ended at the first look: what is rejected later need not have its dead letter yet."""

    def take_output(self, topic: str, partition: int, run: list[Message]) -> None:
        for message in run:
            if topic == VERDICTS.name:
                self._chains.add(message.key(), message.value(), f"{topic}[{partition}]@{message.offset()}")
            elif topic == DEAD_LETTERS.name:
                where = f"{topic}[{partition}]@{message.offset()}"
                self._letters.letter(message.key(), message.value(), headers_of(message), where)
            else:
                appended = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                self._snapshot.apply(topic, message.key(), message.value(), headers_of(message), appended)

    def take_source(self, topic: str, partition: int, run: list[Message]) -> None:
        begin_ms = run[0].timestamp()[1]
        self._begins_ms[topic] = min(begin_ms, self._begins_ms.get(topic, begin_ms))
        share, outcomes = self._shares[partition], self._outcomes[topic]
        for part in [[message] for message in run] if self._closely else [run]:
            seen, rejects = share.apply(_DOMAIN_OF[topic], part)
            for outcome, count in enumerate(seen):
                outcomes[outcome] += count
            for reject in rejects:
                message = reject.message
                content = (message.key(), message.value(), reject.headers)
                identity = (topic, partition, message.offset())
                self._letters.reject(identity, reject.reason, self._rules.number, message.timestamp()[1], content)
            if self._closely:
                for row in self._recomputed(share, datetime.min.replace(tzinfo=UTC)):
                    held = self._published.get(row.key)
                    if held is not None and held.row == row and held.version.rules == self._rules.number:
                        self._right.add(row.key)

    def look(self) -> None:
        """Take what is published now as that which is compared with the log, as it was read before and as it will be."""
        every: list[Held[Any]] = [*self._snapshot.communes(), *self._snapshot.provinces()]
        self._published = {one.row.key: one for one in every}
        if self._closely:
            for key, row in self._expected.items():
                self._row(key, row, self._published.get(key))

    def compare(self) -> Audit:
        """What differs after all that was read."""
        self._closely = True
        self._due = self._due or dict(self._sources.ends)
        held = list(self._published.values())
        as_of = self._as_of = self._moments(held)
        for share in self._shares.values():
            for _ in self._recomputed(share, as_of[share.number]):
                pass
        rules = self._rules.number
        differences = list(self._cut())
        others = Counter(one.version.rules for one in held if one.version.rules != rules)
        for key, row in self._expected.items():
            differences += self._row(key, row, self._published.get(key))
        for key in self._published.keys() - self._expected.keys():
            differences += self._row(key, None, self._published[key])
        shown = {one.row.key: one.row.verdict for one in self._snapshot.provinces() if one.version.rules == rules}
        differences += self._chains.differences(shown)
        self._chains.look_again()
        kept_since_ms = int(time.time() * 1000) - _LETTERS_KEPT_MS
        found, old, admitted = self._letters.compare(rules, self._due, self._sources.ends, self._begins_ms, kept_since_ms)
        return Audit(
            rules=rules,
            log=self._snapshot.log,
            as_of=max(as_of[share.number] for share in self._shares.values() if share.provinces),
            records=self._records(),
            rows=len(self._published),
            verdicts=self._chains.entries,
            dead_letters=len(self._letters.sent),
            left_out={why: self._snapshot.left_out[why] for why in LeftOut if why is not LeftOut.OLDER and self._snapshot.left_out[why]},
            differences=sorted([*differences, *found], key=lambda one: (one.kind, one.key)),
            other_rules=dict(sorted((others + old).items())),
            admitted_now=admitted,
        )

    def _row(self, key: str, expected: Row | None, held: Held[Any] | None) -> list[Difference]:
        if key in self._right or (held is not None and held.version.rules != self._rules.number):
            return []
        share = self._share(expected if held is None else held.row)
        offsets, as_of = (share.offsets, self._as_of[share.number]) if share else (0, max(self._as_of.values()))
        found = row_differences(held, expected, offsets, as_of)
        if not found:
            self._right.add(key)
        return found

    def _share(self, row: Any) -> Share | None:
        number = self._share_of.get((row.vintage, row.province))
        return None if number is None else self._shares.get(number)

    def _moments(self, held: list[Held[Any]]) -> dict[int, datetime]:
        """Share -> the latest moment that its rows are true for (those beyond the log do not count); without rows, now."""
        found: dict[int, datetime] = {}
        for one in held:
            share = self._share(one.row)
            if share is not None and one.version.rules == self._rules.number and one.version.offsets <= share.offsets:
                found[share.number] = max(one.version.as_of, found.get(share.number, one.version.as_of))
        now = self._settings.as_of(datetime.now(UTC))
        return {number: found.get(number, now) for number in self._shares}

    def _recomputed(self, share: Share, as_of: datetime) -> Iterator[Row]:
        """The rows of the share that are other than they were."""
        for province in share.provinces.values():
            for row in province.rows(as_of):
                self._expected[row.key] = row
                yield row

    def _cut(self) -> Iterator[Difference]:
        for (topic, partition), start in self._sources.starts.items():
            if start > 0:
                yield Difference(kind=Kind.LOG, key=f"{topic}[{partition}]", field="first offset", published=start, recomputed=0)

    def _records(self) -> dict[str, Counts]:
        found = {}
        for topic, outcomes in self._outcomes.items():
            mine = [one for one in self._sources.ends if one[0] == topic]
            offsets = sum(self._sources.ends[one] - self._sources.starts[one] for one in mine)
            rejected = sum(identity[0] == topic for identity in self._letters.rejected)
            found[topic] = Counts(
                offsets=offsets,
                admitted=outcomes[Outcome.ADMITTED],
                duplicate=outcomes[Outcome.DUPLICATE],
                superseded=outcomes[Outcome.SUPERSEDED],
                rejected=rejected,
                control=offsets - sum(outcomes) - rejected,
            )
        return found


def _at_work(kafka: Kafka) -> bool:
    """Whether a worker is alive, or was until a session ago."""
    admin = AdminClient({**kafka.options(), "log_level": 0})
    described = admin.describe_consumer_groups([GROUP], request_timeout=_ANSWER_SECONDS_MAX)[GROUP]
    try:
        return described.result(2 * _ANSWER_SECONDS_MAX).state not in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
    except KafkaException:
        return False  # there is no such group


_OUTCOMES = ("admitted", "duplicate", "superseded", "rejected", "control")


def describe(found: Audit, lang: Lang) -> Iterator[str]:
    """The audit for people: what was compared, what differs, and what to do about it."""
    at = found.as_of.astimezone(VIETNAM)
    yield say(
        lang,
        f"Đối chiếu theo quy tắc số {found.rules}, tính đến {at:%d/%m/%Y %H:%M}",
        f"Audit by rules {found.rules}, as of {at:%Y-%m-%d %H:%M}",
    )
    outcomes = say(lang, "ghi nhận|trùng|cũ hơn|bị loại|điều khiển", "admitted|duplicate|superseded|rejected|control").split("|")
    for topic, counts in found.records.items():
        parts = [f"{number(getattr(counts, name), lang)} {word}" for name, word in zip(_OUTCOMES, outcomes, strict=True)]
        yield f"  {topic}: {number(counts.offsets, lang)} {say(lang, 'vị trí', 'offsets')} = {' + '.join(parts)}"
    rows, verdicts, letters = (number(count, lang) for count in (found.rows, found.verdicts, found.dead_letters))
    yield "  " + say(
        lang,
        f"đã so với nhật ký: {rows} dòng số liệu, {verdicts} lần đổi kết luận, {letters} bản ghi bị loại",
        f"compared with the log: {rows} rows, {verdicts} changes of verdict, {letters} dead letters",
    )
    for why, left in found.left_out.items():
        yield "  " + say(lang, f"{number(left, lang)} bản ghi không ai hiển thị ({why})", f"{number(left, lang)} records not shown ({why})")
    yield from _describe_other_rules(found, lang)
    if found.differences:
        yield say(lang, f"KHÁC NHAU: {number(len(found.differences), lang)} điểm", f"DIFFERENCES: {number(len(found.differences), lang)}")
        yield from _first([_told(difference, lang) for difference in found.differences], lang)
    elif found.clean:
        yield say(lang, "Khớp hoàn toàn: mọi điều đã công bố đúng như nhật ký.", "Clean: everything published is what the log says.")
    yield from _describe_admitted(found, lang)


def _describe_other_rules(found: Audit, lang: Lang) -> Iterator[str]:
    for old, count in found.other_rules.items():
        yield say(
            lang,
            f"KHÁC QUY TẮC: {number(count, lang)} bản ghi công bố theo quy tắc {old}, không so được với quy tắc {found.rules}: "
            f"khởi động lại bộ xử lý với quy tắc {found.rules}, hoặc đặt PHUSONG_SEEDS về quy tắc {old}",
            f"OTHER RULES: {number(count, lang)} records published under rules {old} cannot be compared with rules {found.rules}: "
            f"start the workers again with rules {found.rules}, or set PHUSONG_SEEDS to rules {old}",
        )


def _describe_admitted(found: Audit, lang: Lang) -> Iterator[str]:
    if not found.admitted_now:
        return
    total = number(len(found.admitted_now), lang)
    yield say(
        lang,
        f"TRƯỚC BỊ LOẠI, NAY HỢP LỆ: {total} bản ghi. Chúng vẫn nằm trong nhật ký: bộ xử lý nào khởi động với quy tắc {found.rules} "
        "đều tính chúng, không cần gửi lại. Nếu vẫn gửi lại (phusong send), bản trùng không bị tính hai lần.",
        f"REJECTED THEN, ADMITTED NOW: {total} records. They are still in the log: every worker that starts with rules {found.rules} "
        "counts them, nothing needs to be sent again. If you do send them again (phusong send), a duplicate counts once.",
    )
    told = [
        f"{one.topic}[{one.partition}]@{one.offset}: {one.reason} ({say(lang, 'quy tắc', 'rules')} {one.rules})"
        for one in found.admitted_now
    ]
    yield from _first(told, lang)


def _first(lines: list[str], lang: Lang) -> Iterator[str]:
    for line in lines[:_SHOWN]:
        yield "  " + line
    if (rest := len(lines) - _SHOWN) > 0:
        yield "  " + say(lang, f"… và {number(rest, lang)} điểm khác: --json", f"… and {number(rest, lang)} more: --json")


def _told(one: Difference, lang: Lang) -> str:
    nothing = say(lang, "không có", "nothing")
    published, recomputed = (nothing if value is None else str(value) for value in (one.published, one.recomputed))
    behind = say(lang, f" (còn {one.behind} bản ghi chưa tính)", f" ({one.behind} records not yet applied)") if one.behind else ""
    return say(
        lang,
        f"{one.key} · {one.field}: công bố {published}, tính lại {recomputed}{behind}",
        f"{one.key} · {one.field}: published {published}, recomputed {recomputed}{behind}",
    )
