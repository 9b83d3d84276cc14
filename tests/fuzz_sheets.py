"""Fuzzing of what reads reporters' tables (see tests/fuzz.py, `--target csv`): any bytes are rows that count, rows that say why not, or a
`FileError`.

Comes in: bytes of a CSV file. Goes out: nothing but an exception where a rule is broken. Owns one temporary file at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import atheris

from phusong.admission import Admission
from phusong.events import Event, decode
from producers.files import judged, read
from producers.sheets.cells import Text
from producers.sheets.forms import FormOptions, Forms
from producers.sheets.tables import FileError
from tests import worlds
from tests.shipped import shipped_rules

SHEETS = Path(__file__).parent / "sheets"
NOW = datetime(2023, 7, 20, tzinfo=UTC)
TEXT_MAX = 2000
"""The most characters of one sentence about a row."""
_HEAD = "Mã xã,Tên xã,Ngày số liệu,Đã phủ,Tổng số,Nơi chưa phủ\n"
_OWN = (_HEAD + "02263,Khau Tinh,30/06/2023,1,3,Bản Lãm; Nà Tạng\n02284,Thanh Tương,2023-06-30,2,2,\n").encode()
_WORDS = (
    *("02275", "2263", "02263.0", "02284", "Khau Tinh", "30/06/2023", "06/2023", "quý 2/2023", "45107", "2023-06-30T00:00:00+07:00"),
    *(
        "0",
        "1",
        "1,0",
        "1.000",
        "1,000.5",
        "-1",
        "3",
        "99999999999999999999",
        "1e9",
        "#N/A",
        "=1+1",
        "không",
        "Bản Lãm; Nà Tạng",
        "Tổng cộng",
    ),
    *(
        "Mã xã",
        "Tên xã",
        "Ngày số liệu",
        "Đã phủ",
        "Tổng số",
        "Nơi chưa phủ",
        "covered",
        "expected",
        "Chỉ tiêu: telecom.mobile_signal_villages",
    ),
    *(
        "operator-a",
        "measured",
        "2020-01-01",
        "\ufeff",
        "\u200b",
        "\x00",
        '"',
        '""',
        "\r",
        "\u2028",
        "e\u0302\u0301",
        "x" * 300,
        "sep=;",
        "",
        " ",
    ),
)


class SheetTarget:
    """What is fuzzed, and what came of it."""

    def __init__(self) -> None:
        self.runs = self.admitted = self.crashes = 0
        self.rejected: Counter[str] = Counter()
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name) / "table.csv"
        # whose communes the awkward sheets name
        rules = shipped_rules()
        self._forms = Forms(rules, FormOptions(source="operator-a", indicator=worlds.MOBILE), NOW)
        self._admission = Admission(rules)

    def check(self, data: bytes) -> None:
        """Raise AssertionError, or whatever was raised, unless each row counts, is left out, or says why it does not count."""
        self.runs += 1
        self._path.write_bytes(data)
        # the file's time is that of its events
        os.utime(self._path, (NOW.timestamp(), NOW.timestamp()))
        refusal: FileError | None = None
        try:
            events = self._events(len(data))
        except FileError as error:
            refusal, events = error, []
        if refusal is not None:
            self._said(refusal.text)
            self.rejected["file"] += 1
        elif events:
            self.admitted += 1
            with suppress(FileError):
                assert self._events(len(data)) == events, "read again it says something else"
        else:
            self.rejected["no row counts"] += 1

    def _events(self, size: int) -> list[Event]:
        found: list[Event] = []
        for rows, item in enumerate(judged(read(str(self._path), self._forms), self._take), 1):
            assert rows <= size + 2, "more rows than bytes"
            assert (item.event is not None) + bool(item.problems) + (item.skipped is not None) >= (item.number > 0)
            assert item.event is None or not item.problems
            for text in (*(problem.text for problem in item.problems), *(note.text for note in item.notes)):
                self._said(text)
            if item.event is not None:
                found.append(item.event)
        return found

    def _said(self, text: Text) -> None:
        for said in (text.vi, text.en):
            assert 0 < len(said) <= TEXT_MAX, f"a sentence of {len(said)} characters"

    def _take(self, event: Event) -> None:
        value, route = self._admission.outgoing(event, int(NOW.timestamp() * 1000))
        assert self._admission.route(decode(value)) == route


class SheetMutator:
    """Changes cells, rows and bytes."""

    def __init__(self, corpus: list[bytes]) -> None:
        self._corpus = corpus

    def __call__(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Another file of at most `max_size` bytes, the same for the same arguments."""
        random = Random(seed)
        if random.random() < 0.2 or len(data) > 8192:
            return random.choice((atheris.Mutate(data, max_size), random.choice(self._corpus)))[:max_size]
        text = data.decode(errors="surrogateescape")
        rows = text.split("\n")
        row = random.randrange(len(rows))
        separator = next((one for one in (";", "\t", ",") if one in rows[row]), ",")
        cells = rows[row].split(separator)
        cell = random.randrange(len(cells))
        match random.randrange(9):
            case 0:
                rows.insert(row, rows[random.randrange(len(rows))])
            case 1:
                del rows[row]
            case 2:
                rows = [one.replace(separator, random.choice((",", ";", "\t"))) for one in rows]
            case 3:
                cells.insert(cell, random.choice(_WORDS))
                rows[row] = separator.join(cells)
            case 4:
                cells[cell] = f'"{cells[cell]}"'
                rows[row] = separator.join(cells)
            case _:
                cells[cell] = random.choice(_WORDS)
                rows[row] = separator.join(cells)
        changed = "\n".join(rows).encode(errors="surrogateescape" if random.random() < 0.9 else "replace")
        return changed[:max_size]


def parts() -> tuple[SheetTarget, list[bytes], SheetMutator]:
    """The target, its first inputs, and what changes them."""
    first = [_OWN, *(path.read_bytes() for path in sorted(SHEETS.glob("*.csv")) if path.stat().st_size < 8192)]
    return SheetTarget(), first, SheetMutator(first)
