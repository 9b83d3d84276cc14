"""Coverage-guided fuzzing of what reads events: bytes and headers nobody foresaw are an event or are rejected, and nothing else.

Comes in: how many inputs, of what (records of a source topic, also as posted to the gateway; CSV files), and a seed; the golden events, or
the awkward sheets of the tests, as the first of them. Goes out: one JSON object on stdout (`runs`, `seconds`,
`admitted`, `rejected` by reason, `crashes`); the fuzzer's own words on stderr. Owns a temporary corpus. An input that breaks a rule of
`check`, or takes longer than SECONDS_MAX, is kept as KEPT… and ends the run with another exit code than 0; one of those
files given as an argument is looked at again, alone.

An input is one record: a byte that says how it travels, its `ce_*` headers (none: structured mode), and its value.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

import atheris
import msgspec

with atheris.instrument_imports(include=["phusong", "producers.gateway.http_events", "producers.sheets"]):
    from phusong.acknowledgements import Acknowledged, decode_acknowledged, encode_acknowledged
    from phusong.admission import Admission, Route
    from phusong.events import MAX_SENTENCE, Event, Reason, Rejected, decode, encode
    from phusong.topics import MAX_VALUE_BYTES, PARTITIONS, SOURCES
    from producers.gateway.http_events import BATCHED, BINARY, STRUCTURED, Refused, read_events
    from tests import fuzz_sheets, worlds

GOLDEN = Path(__file__).parent / "contract/golden"
KEPT = Path(tempfile.gettempdir()) / "phusong-fuzz-"
SECONDS_MAX = 10
"""How long one input may take, on a machine that others use as well; they take 0.1 ms."""
INPUT_BYTES_MAX = 3 * MAX_VALUE_BYTES

Headers = list[tuple[str, bytes | None]]

_HEADERS_END, _HEADER_END, _NAME_END = b"\x1d", b"\x1e", b"\x1f"
_APPENDED_MS = tuple(
    int(datetime(*day, tzinfo=UTC).timestamp() * 1000) for day in ((2023, 7, 20), (2024, 2, 29), (2026, 1, 1), (2023, 6, 30))
)
_RIGHT_WAYS = 200
_LARGE_BYTES = 4096


class Input:
    """One record of a source topic, as bytes that a fuzzer can change anywhere."""

    def __init__(self, way: int, headers: Headers, value: bytes) -> None:
        self.way = way
        """Below _RIGHT_WAYS: it travels as it should, and this tells when; the others differ in key, topic or partition."""
        self.headers = headers
        self.value = value

    @classmethod
    def read(cls, data: bytes) -> Input:
        """Any bytes are an input."""
        head, end, value = data[1:].partition(_HEADERS_END)
        if not end:
            head, value = b"", data[1:]
        headers: Headers = []
        for line in head.split(_HEADER_END) if head else ():
            name, named, raw = line.partition(_NAME_END)
            headers.append((name.decode(errors="replace"), raw if named else None))
        return cls(data[0] if data else 0, headers, value)

    def write(self) -> bytes:
        """What `read` reads back."""
        lines = [name.encode(errors="replace") + (b"" if raw is None else _NAME_END + raw) for name, raw in self.headers]
        return bytes([self.way]) + _HEADER_END.join(lines) + _HEADERS_END + self.value

    def travel(self, route: Route | None) -> tuple[bytes | None, str, int, int]:
        """Key, domain, partition and the moment (ms) at which Kafka took it."""
        appended_ms = _APPENDED_MS[self.way % len(_APPENDED_MS)]
        key, domain, partition = (route.key, route.domain, route.share) if route else (b"08", "postal", 0)
        match 0 if self.way < _RIGHT_WAYS else self.way % 4 + 1:
            case 1:
                key = (None, b"", b"\xff" * 100, b"99")[self.way // 4 % 4]
            case 2:
                domain = next(one for one in SOURCES if one != domain)
            case 3 | 4:
                partition = (partition + 1) % PARTITIONS
        return key, domain, partition, appended_ms


class Target:
    """What is fuzzed, and what came of it."""

    def __init__(self) -> None:
        self.admission = Admission(worlds.world())
        self.runs = 0
        self.crashes = 0
        self.admitted = 0
        self.rejected: Counter[str] = Counter()

    def check(self, data: bytes) -> None:
        """Raise AssertionError, or whatever was raised, unless the record is admitted as its writer would have sent it, or is rejected."""
        self.runs += 1
        given = Input.read(data)
        event = self._decoded(given)
        self._over_http(given, event)
        route = None if event is None else self._told(lambda: self.admission.route(event))
        key, domain, partition, appended_ms = given.travel(route)
        try:
            found, where = self.admission.record(given.value, given.headers, key, domain, partition, appended_ms)
        except Rejected as error:
            self._explained(error)
            self.rejected[error.reason] += 1
            return
        assert found == event
        assert where == route
        self.admitted += 1
        for written in (found, _respelt(found, "NFD"), _respelt(found, "NFC")):
            value, sent = self.admission.outgoing(written, appended_ms)
            assert decode(value) == found, "the writer would have sent another event"
            assert sent == where, "the writer would have sent it elsewhere"

    def _decoded(self, given: Input) -> Event | None:
        event = self._told(lambda: decode(given.value, given.headers))
        if event is None:
            return None
        value = encode(event)
        if len(value) <= MAX_VALUE_BYTES:
            again = decode(value)
            assert again == event, "what was decoded is written as another event"
            assert encode(again) == value, "writing is no fixed point"
        return event

    def _over_http(self, given: Input, event: Event | None) -> None:
        """The gateway reads no other event than Kafka's reader, and takes none for another's."""
        attributes = {
            name[3:].lower(): raw.decode("latin-1") for name, raw in given.headers if raw is not None and name.lower().startswith("ce_")
        }
        mode, body = (BINARY, given.value) if given.headers else (STRUCTURED, given.value)
        if self.runs % 4 == 0:
            mode, body = BATCHED, b"[" + given.value + b",\n" + given.value + b"]"
        refusal: Refused | None = None
        try:
            found = read_events(mode, attributes, body)
        except Refused as error:
            refusal, found = error, []
        if refusal is not None:
            assert refusal.status in (400, 413)
            assert 0 < len(refusal.detail) <= MAX_SENTENCE, f"a refusal of {len(refusal.detail)} characters"
        for one in found:
            if isinstance(one.outcome, Rejected):
                self._explained(one.outcome)
                continue
            assert (one.id, one.source) == (one.outcome.id, one.outcome.source)
            if isinstance(one.outcome, Acknowledged):
                # of a topic of its own, whose reader is another
                written = encode_acknowledged(one.outcome)
                assert encode_acknowledged(decode_acknowledged(written)) == written
            else:
                assert decode(encode(one.outcome)) == one.outcome
            if mode == BINARY:
                said = {name: unicodedata.normalize("NFC", unquote(text.strip('"'))) for name, text in attributes.items()}
                plain = all(text.isascii() and "\\" not in text and '"' not in text for text in attributes.values())
                assert not plain or (one.outcome.source, one.outcome.id) == (said["source"], said["id"]), "it passes for another's"
            elif event is not None:
                assert one.outcome == event, "over HTTP it is another event"

    def _told(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Rejected as error:
            self._explained(error)
            return None

    def _explained(self, error: Rejected) -> None:
        assert error.reason in set(Reason) - {Reason.PROCESSOR_ERROR}, f"{error.reason} is no reason for a record"
        assert 0 < len(error.sentence) <= MAX_SENTENCE, f"a sentence of {len(error.sentence)} characters"
        error.sentence.encode(errors="strict")


def _respelt(one: Any, form: Any) -> Any:
    """An event with its text in another normal form; not validated: a name of 200 letters has more in NFD, and is the same name."""
    if type(one) is str:
        return unicodedata.normalize(form, one)
    if isinstance(one, tuple):
        return tuple(_respelt(inner, form) for inner in one)
    if isinstance(one, msgspec.Struct):
        return type(one)(**{name: _respelt(getattr(one, name), form) for name in one.__struct_fields__})
    return one


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its names as written, repeated ones too."""


class Raw(str):
    """A piece of JSON text put down as it is."""

    __slots__ = ()


_DATES = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59"),
    *("2023-06-30T00:00:00+07:00", "2023-06-30t00:00:00z", "2023-06-30 00:00:00Z", "2023-06-30T00:00:00", "2023-06-30", "20230630"),
    *("2023-06-30T23:59:60Z", "2023-06-30T24:00:00Z", "2023-02-29T00:00:00Z", "2024-02-29T00:00:00-00:00", "2023-06-30T00:00:00+24:00"),
    *("2023-06-30T00:00:00.1Z", "2023-06-30T00:00:00.1234567890Z", "2023-06-30T00:00Z", "2023-06-30T00:00:00+0700", "2023-07-30T00:00:00Z"),
    *(
        "2023-06-29T17:00:00+00:00",
        "2023-07-15T00:00:00+07:00",
        "2026-01-02T00:00:00.000001Z",
        "1969-12-31T23:59:59Z",
        "2024-01-31T00:00:00Z",
    ),
)
_NUMBERS = (
    *(Raw(one) for one in ("0", "-0", "1", "-1", "2", "1.0", "1e0", "0.5", "1e1", "1E+2", "1e-1", "1e400", "-1e400", "1e9", "0.1e1")),
    *(Raw(one) for one in ("999999999", "1000000000", "1000000001", "2147483648", "9007199254740993", "9223372036854775808")),
    *(Raw(one) for one in ("18446744073709551616", "-9223372036854775809", "01", "1.", ".5", "+1", "NaN", "Infinity", "null", "true")),
    *(Raw(one) for one in ("9" * 400, "1" + "0" * 4000, "8" * 4300, "8" * 4301, "0." + "0" * 400 + "1")),
)
_LETTERS = (
    *("a", "é", "e\u0301", "ệ", "\u0302", "\u0323", "\u0958", "\U0001d160", "\ufb1d", "\u1e9b\u0323", "\uac00", "\u1100\u1161", "\ufeff"),
    *("\x00", "\n", "\x1e", '"', "\\", "\u2028", "\ud800", "\udfff", "\ud83d", "😀", "\U0010ffff", "ß", "İ", " ", "\u00a0", "\u200b", "ſ"),
)
_WORDS = (
    *("1.0", "1", "2.0", "", " ", "application/json", "application/cloudevents+json; charset=utf-8", "text/plain", "APPLICATION/JSON;"),
    *("vn.phusong.coverage.stated.v1", "vn.phusong.coverage.withdrawn.v1", "vn.phusong.coverage.promised.v1"),
    *("vn.phusong.coverage.challenged.v1", "vn.phusong.coverage.verdict-changed.v1", "declared", "measured", "petitioned", "guessed"),
    *("real", "assumed", "simulated", "opened", "sent", "conceded", "disputed", "resolved", "2020-01-01", "2024-09-01", "1999-01-01"),
    *("02275", "2275", "02263", "02284", "00688", "01273", "99999", "02275 ", "post-office", "operator-a", "operator-b", "department"),
    *(
        "nobody",
        worlds.POSTAL,
        worlds.POINTS,
        worlds.MOBILE,
        worlds.SPEAKER,
        "postal.pigeons",
        "Bản Bung",
        "thôn Bản Bung",
        "...",
        "Nà Tạng",
    ),
)
_NAMES = (
    *("specversion", "id", "source", "type", "time", "datacontenttype", "data", "data_base64", "subject", "commune", "indicator", "method"),
    *("origin", "operator", "vintage", "observed_at", "covered", "expected", "uncovered", "measured", "until", "by", "places", "note"),
    *("challenge", "step", "deadline", "statement", "Commune", "commune ", ""),
)
_SIZES = (0, 1, 2, 16, 17, 100, 199, 200, 201, 499, 500, 501, 701, 702, 2000, 2001)
_DEPTHS = (1, 2, 10, 300, 1100, 60_000)


class Mutator:
    """Changes an input where a reporter's software, a spreadsheet or somebody wicked would."""

    def __init__(self, corpus: list[bytes]) -> None:
        self._corpus = corpus
        self._pieces = [piece for data in corpus for piece in _pieces(_parsed(Input.read(data).value))]

    def __call__(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Another input of at most `max_size` bytes, the same for the same arguments."""
        random = Random(seed)
        given = Input.read(data)
        if len(given.value) > _LARGE_BYTES and random.random() < 0.9:
            # large inputs are slow, and say little that small ones do not
            given = Input.read(random.choice(self._corpus))
        for _ in range(random.choice((1, 1, 1, 1, 2, 4))):
            self._change(random, given, max_size)
        return given.write()[:max_size]

    def _change(self, random: Random, given: Input, max_size: int) -> None:
        match random.randrange(20):
            case 0:
                given.value = atheris.Mutate(given.value, max(1, max_size - 1000))
            case 1:
                given.way = random.randrange(256)
            case 2 | 3:
                self._change_headers(random, given)
            case 4:
                other = Input.read(random.choice(self._corpus))
                given.value, given.headers = other.value, other.headers
            case 5:
                given.value = random.choice((b"\xef\xbb\xbf" + given.value, given.value * 2, given.value[: random.randrange(400)], b""))
            case 6 if random.random() < 0.2:
                self._fill(random, given)
            case _:
                try:
                    given.value = _written(random, self._changed(random, _parsed(given.value)))
                except (ValueError, RecursionError):
                    # no JSON any more, or too deep for Python: more often than not something sound again
                    sound = Input.read(random.choice(self._corpus))
                    given.value = random.choice((sound.value, sound.value, atheris.Mutate(given.value, max(1, max_size - 1000))))

    def _fill(self, random: Random, given: Input) -> None:
        """As large as a value may be, give or take a byte: with spaces, or with names that somebody wrote."""
        plain = _parsed_or_none(given.value)
        data = plain if given.headers else dict(plain).get("data") if isinstance(plain, Pairs) else None
        if isinstance(data, Pairs) and random.random() < 0.7:
            name = random.choice(("a", "ệ", "\U0001d160", '"')) * random.choice((60, 60, 190))
            room = MAX_VALUE_BYTES - len(given.value) - random.choice((1, 40, 4000))
            data[:] = [pair for pair in data if pair[0] != "uncovered"]
            data.append(("uncovered", [name] * min(500, max(0, room) // (len(json.dumps(name, ensure_ascii=False).encode()) + 1))))
            given.value = _written(Random(0), plain)
        given.value += b" " * (MAX_VALUE_BYTES - len(given.value) + random.randrange(-1, 2))

    def _change_headers(self, random: Random, given: Input) -> None:
        if not given.headers:
            # the same event in binary mode
            plain = _parsed_or_none(given.value)
            if not isinstance(plain, Pairs) or "data" not in dict(plain):
                return
            given.value = _written(random, dict(plain)["data"])
            given.headers = [(f"ce_{name}", value.encode(errors="replace")) for name, value in plain if type(value) is str]
            given.headers.append(("content-type", b"application/json"))
            return
        place = random.randrange(len(given.headers))
        name, raw = given.headers[place]
        text = (raw or b"").decode(errors="replace")
        changed: tuple[str, bytes | None] = (name, self._text(random, text).encode(errors="replace"))
        match random.randrange(6):
            case 0:
                del given.headers[place]
                return
            case 1:
                given.headers.insert(place, changed)
                return
            case 2:
                changed = (random.choice(("CE_" + name[3:], "ce_" + random.choice(_NAMES), "content-type", name.title())), raw)
            case 3:
                changed = (name, random.choice((None, b"", b"\xff\xfe", b"\xc3", text.encode("utf-16", errors="replace"))))
        given.headers[place] = changed

    def _changed(self, random: Random, plain: Any) -> Any:
        """The same JSON with one value or one name in it changed."""
        if isinstance(plain, Pairs) and plain and random.random() < 0.93:
            place = random.randrange(len(plain))
            name, value = plain[place]
            pairs = Pairs(plain)
            match random.randrange(16):
                case 0:
                    del pairs[place]
                case 1:
                    pairs.append((name, random.choice((value, self._replaced(random, value)))))
                case 2:
                    pairs[place] = (random.choice(_NAMES), value)
                case 3:
                    pairs.append((random.choice(_NAMES), random.choice((value, *self._pieces))))
                case 4:
                    random.shuffle(pairs)
                case _:
                    pairs[place] = (name, self._changed(random, value))
            return pairs
        if isinstance(plain, list) and plain and random.random() < 0.6:
            place = random.randrange(len(plain))
            return [*plain[:place], self._changed(random, plain[place]), *plain[place + 1 :]]
        return self._replaced(random, plain)

    def _replaced(self, random: Random, value: Any) -> Any:
        match random.randrange(12):
            case 0:
                return random.choice(self._pieces)
            case 1:
                depth = random.choice(_DEPTHS)
                opened, closed = random.choice((("[", "]"), ('{"data":', "}")))
                return Raw(opened * depth + "1" + closed * depth)
            case 2:
                return random.choice(_NUMBERS)
        if type(value) is str:
            return self._text(random, value)
        if type(value) is list:
            return [random.choice((*value, *_WORDS, self._text(random, "Bản"))) for _ in range(random.choice(_SIZES))]
        return random.choice((*self._pieces, *_NUMBERS) if value is None else _NUMBERS)

    def _text(self, random: Random, text: str) -> str:
        place = random.randrange(len(text) + 1)
        changed = [
            unicodedata.normalize(random.choice(("NFC", "NFD", "NFKC", "NFKD")), text),
            text[:place] + random.choice(_LETTERS) + text[place:],
            text[:place] + text[place + 1 :],
            random.choice(_LETTERS) * random.choice(_SIZES),
            random.choice(_DATES),
            random.choice(_WORDS),
            text.swapcase(),
        ]
        with suppress(ValueError, OverflowError):
            days = random.choice((0, 1, 30, 31, 365, 9000))
            changed.append((datetime.fromisoformat(text) + random.choice((-1, 1)) * timedelta(days=days, microseconds=1)).isoformat())
        return random.choice(changed)


def _parsed(value: bytes) -> Any:
    return json.loads(value, object_pairs_hook=Pairs, parse_float=Raw, parse_int=Raw, parse_constant=Raw)


def _parsed_or_none(value: bytes) -> Any:
    try:
        return _parsed(value)
    except (ValueError, RecursionError):
        return None


def _pieces(plain: Any) -> list[Any]:
    """A JSON value and every value inside it."""
    inner = [value for _, value in plain] if isinstance(plain, Pairs) else plain if isinstance(plain, list) else []
    return [plain, *(piece for value in inner for piece in _pieces(value))]


def _written(random: Random, plain: Any) -> bytes:
    """JSON text as one writer or another puts it down: with or without escapes and spaces."""
    ascii_only, gap = random.random() < 0.3, random.choice(("", "", " ", "\n\t"))

    def text(value: str) -> str:
        written = json.dumps(value, ensure_ascii=ascii_only)
        # half a pair can only be written as an escape
        return "".join(f"\\u{ord(one):04x}" if "\ud800" <= one <= "\udfff" else one for one in written)

    def each(value: Any) -> str:
        match value:
            case Raw():
                return str(value)
            case str():
                return text(value)
            case Pairs():
                return "{" + ",".join(f"{gap}{text(name)}:{gap}{each(one)}" for name, one in value) + "}"
            case list():
                return "[" + ",".join(map(each, value)) + "]"
        return json.dumps(value)

    return each(plain).encode(errors="replace")


def corpus() -> list[bytes]:
    """The golden events: as they are, and in binary mode; and events of every type that the default world admits."""
    values = [file.read_bytes() for file in sorted(GOLDEN.iterdir()) if not file.name.startswith("verdict")]
    values += [encode(event) for event in _admitted()]
    inputs = [Input(0, [], value) for value in values]
    for value in values:
        plain = json.loads(value)
        headers: Headers = [
            (f"ce_{name}", one.encode()) for name, one in plain.items() if isinstance(one, str) and name != "datacontenttype"
        ]
        headers.append(("content-type", b"application/json"))
        inputs.append(Input(0, headers, json.dumps(plain["data"]).encode()))
    return [one.write() for one in inputs]


def _admitted() -> list[Event]:
    measured = {"method": "measured", "measured": ("Bản Bung", "Nà Tạng"), "source": "department", "operator": "operator-a"}
    envelope = {"specversion": "1.0", "time": "2023-07-05T09:00:00+07:00"}
    subject = {"commune": "02263", "indicator": worlds.MOBILE, "observed_at": "2023-06-30T00:00:00+07:00"}
    follow_ups = (
        ("promised", "operator-a", {"by": "2023-12-31T00:00:00+07:00", "places": ["Bản Lãm"], "note": "BTS"}),
        ("promised", "operator-a", {"by": None}),
        (
            "challenged",
            "department",
            {"operator": "operator-a", "challenge": "c1", "step": "opened", "deadline": "2023-08-31T00:00:00+07:00"},
        ),
        ("challenged", "operator-a", {"challenge": "c1", "step": "conceded", "statement": "department 1", "places": ["Bản Lãm"]}),
    )
    return [
        worlds.stated("02263", worlds.MOBILE, covered=1, expected=3, **measured),
        worlds.stated("02284", until="2023-07-15"),
        *(
            msgspec.convert(
                {**envelope, "id": f"{n}", "source": source, "type": f"vn.phusong.coverage.{kind}.v1", "data": {**subject, **data}}, Event
            )
            for n, (kind, source, data) in enumerate(follow_ups)
        ),
    ]


def parts() -> tuple[Target, list[bytes], Mutator]:
    """The target, its first inputs, and what changes them."""
    first = corpus()
    return Target(), first, Mutator(first)


def main() -> None:
    """Fuzz, then print what came of it; the exit code is 0 when every input kept the rules."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=("records", "csv"), default="records")
    parser.add_argument("again", type=Path, nargs="?", help="one input that was kept: look at it alone")
    asked = parser.parse_args()
    target, first, mutator = fuzz_sheets.parts() if asked.target == "csv" else parts()
    if asked.again:
        target.check(asked.again.read_bytes())
        return
    for data in first:
        target.check(data)
    assert target.admitted, "none of the first inputs is admitted: nothing would be compared"
    with tempfile.TemporaryDirectory() as directory:
        for number, data in enumerate(first):
            (Path(directory) / f"{number:03}").write_bytes(data)
        target.runs = target.admitted = 0
        target.rejected.clear()
        started = time.monotonic()

        def one(data: bytes) -> None:
            try:
                target.check(data)
            except BaseException:
                target.crashes += 1
                raise

        options = (f"-atheris_runs={asked.runs}", f"-seed={asked.seed}", f"-timeout={SECONDS_MAX}", f"-max_len={INPUT_BYTES_MAX}")
        atheris.Setup(
            [sys.argv[0], *options, "-mutate_depth=1", "-print_final_stats=1", f"-artifact_prefix={KEPT}", directory],
            one,
            custom_mutator=mutator,
        )
        try:
            atheris.Fuzz()
        finally:
            # its alarm goes on, and Python takes the handler away first when it ends
            signal.setitimer(signal.ITIMER_REAL, 0)
            seconds = round(time.monotonic() - started, 1)
            counts = {"rejected": dict(sorted(target.rejected.items())), "crashes": target.crashes}
            sys.stdout.write(json.dumps({"runs": target.runs, "seconds": seconds, "admitted": target.admitted, **counts}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
