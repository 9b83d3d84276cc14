"""ops/plan.py: never more communes or villages than it takes, exactly enough of them, and what is unknown apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.text import Lang
from ops.cli import main
from ops.plan import Commune, Plan, as_json, describe, fetch_plans, of_rows, plan
from phusong.assessment import assess
from phusong.events import Stated
from phusong.rows import CommuneRow, State, Verdict, encode
from phusong.rules import Rules
from phusong.settings import SettingsError
from tests.worlds import MOBILE, cells_of, counts, indicator, instant, obligation, reporter, seed_texts, stated, target

AS_OF = instant("2023-07-20")
CODES = ("00001", "00002", "00003", "00004")
Json = dict[str, Any]


def commune(code: str, weight: int, ratio: str = "0", *, known: bool = True, uncovered: tuple[str, ...] = ()) -> Commune:
    """A commune whose register and reports agree on its size."""
    share = Fraction(ratio)
    return Commune(
        code=code,
        name=f"Xã {code}",
        weight=Fraction(weight),
        ratio=share,
        high=share if known else Fraction(1),
        known=known,
        state=State.FRESH if known else State.UNKNOWN,
        expected=weight if known else None,
        uncovered=uncovered,
    )


def codes(communes: Iterable[Commune]) -> list[str]:
    return [one.code for one in communes]


def test_the_worked_example_of_the_docs() -> None:
    found = plan(
        [commune("00001", 5, "1/5"), commune("00002", 10, "3/5"), commune("00003", 20, "17/20")],
        Fraction(35),
        Fraction("0.9"),
        villages=True,
    )
    assert (found.ratio, found.needed) == (Fraction(24, 35), Fraction("7.5"))
    assert (codes(found.communes), found.enough) == (["00001", "00002"], True)
    assert found.after(one.gain for one in found.communes) == Fraction(32, 35)
    assert (len(found.villages), found.villages_enough) == (8, True)


communes_ = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 12), st.booleans()).map(lambda t: (t[0], Fraction(min(t[1], 12), 12), t[2])), max_size=7
).map(
    lambda found: [
        Commune(
            code=f"{number:05}",
            name="",
            weight=Fraction(weight),
            ratio=ratio if known else Fraction(0),
            high=ratio if known else Fraction(1),
            known=known,
            expected=weight if known else None,
        )
        for number, (weight, ratio, known) in enumerate(found)
    ]
)
targets_ = st.fractions(0, 1, max_denominator=20)


def ratio_with(communes: list[Commune], weight: Fraction, full: Iterable[Commune]) -> Fraction:
    """By the definition: Σ w·r / Σ w, those that are covered in full counting 1; what is not listed is covered in full."""
    done = {one.code for one in full}
    listed = sum((one.weight for one in communes), Fraction(0))
    covered = sum((one.weight * (1 if one.code in done else one.ratio) for one in communes), Fraction(0))
    return (weight - listed + covered) / weight


@given(communes_, st.integers(0, 5), targets_)
def test_no_smaller_choice_of_communes_reaches_the_target(communes: list[Commune], rest: int, wanted: Fraction) -> None:
    weight = sum((one.weight for one in communes), Fraction(rest))
    found = plan(communes, weight, wanted)
    if not weight:
        assert found.ratio is None
        return
    assert found.ratio == ratio_with(communes, weight, ())
    known = [one for one in communes if one.known]
    reaching = [
        size for size in range(len(known) + 1) if any(ratio_with(communes, weight, some) >= wanted for some in combinations(known, size))
    ]
    if reaching:
        assert len(found.communes) == reaching[0]
        assert found.enough
        assert ratio_with(communes, weight, found.communes) >= wanted
    else:
        assert not found.enough
        assert set(codes(found.communes)) == {one.code for one in known if one.gain}
    assert (found.needed == 0) == (found.ratio >= wanted)


@given(communes_, st.integers(0, 5), targets_)
def test_no_fewer_reports_reach_the_target(communes: list[Commune], rest: int, wanted: Fraction) -> None:
    weight = sum((one.weight for one in communes), Fraction(rest))
    found = plan(communes, weight, wanted)
    if not found.needed:
        assert found.reports == ()
        return
    unknown = [one for one in communes if not one.known and one.weight]
    assert set(codes(found.reports)) == set(codes(unknown))
    reaching = [
        size
        for size in range(1, len(unknown) + 1)
        if any(ratio_with(communes, weight, some) >= wanted for some in combinations(unknown, size))
    ]
    assert found.reports_needed == (reaching[0] if reaching else None)
    if found.reports_needed is not None:
        assert ratio_with(communes, weight, found.reports[: found.reports_needed]) >= wanted


@given(communes_, st.integers(0, 5), targets_)
def test_no_fewer_villages_reach_the_target(communes: list[Commune], rest: int, wanted: Fraction) -> None:
    weight = sum((one.weight for one in communes), Fraction(rest))
    found = plan(communes, weight, wanted, villages=True)
    if not found.needed:
        assert found.villages == ()
        return
    every = [gain for one in communes if one.known for gain in dark(one)]
    assert sum(every) == sum(one.gain for one in communes if one.known)
    gains = [one.gain for one in found.villages]
    assert found.villages_enough == (sum(every) >= found.needed)
    if found.villages_enough:
        assert sum(gains) >= found.needed
        largest = sorted(every, reverse=True)
        assert gains == largest[: len(gains)]
        assert sum(largest[: len(gains) - 1]) < found.needed, "one less is not enough, whichever they are"


def dark(one: Commune) -> list[Fraction]:
    """What each village of a commune's gap adds; where the ratio does not stand for whole villages, the last one less."""
    villages = Fraction(one.expected or 0) * (1 - one.ratio)
    parts = [Fraction(1)] * int(villages)
    return [*parts, villages % 1] if villages % 1 else parts


@pytest.mark.parametrize(("wanted", "needed"), [(None, None), (Fraction(1, 2), 0), (Fraction(1, 4), 0)])
def test_without_a_target_or_with_one_that_is_reached_there_is_nothing_to_do(wanted: Fraction | None, needed: int | None) -> None:
    found = plan([commune("00001", 1, "1/2"), commune("00002", 1, "1/2")], Fraction(2), wanted, villages=True)
    assert (found.needed, found.communes, found.villages, found.reports) == (needed, (), (), ())


def test_communes_that_add_the_same_are_taken_by_code() -> None:
    found = plan([commune(code, 1) for code in reversed(CODES)], Fraction(4), Fraction(1, 2))
    assert codes(found.communes) == ["00001", "00002"]


# from rows


def world(value: str = "0.9", base: str = "villages", sizes: tuple[int, ...] = (5, 10, 20, 7)) -> Rules:
    """One province of four communes with 5, 10, 20 and 7 villages; two operators owe reports."""
    texts = seed_texts(
        communes={"08": CODES},
        indicators=(indicator(MOBILE, "quarter", base=base, union="places" if base == "villages" else "largest"),),
        reporters=(reporter("operator-a"),),
        obligations=(obligation("operator-a", MOBILE),),
        targets=(target(MOBILE, value),),
        bases=[counts("2020-01-01", code, villages=str(size), population=str(size)) for code, size in zip(CODES, sizes, strict=True)],
    )
    return Rules.from_texts(texts)


def said(code: str, covered: int, expected: int, *uncovered: str) -> Stated:
    more: Json = {"uncovered": uncovered} if uncovered else {}
    return stated(code, MOBILE, covered, expected, source="operator-a", **more)


STATED = (said("00001", 1, 5, "Bản Lãm", "Nà Tạng"), said("00002", 6, 10), said("00003", 17, 20, "Tát Kẻ", "Tát Nga", "Đồng Rôm"))


def api(rules: Rules, events: Iterable[Stated], as_of: datetime = AS_OF) -> tuple[Json, list[Json]]:
    """The province row and the rows of the gap, as the feed serves them."""
    communes, provinces = assess(rules, "08", cells_of(rules, events), as_of)
    (province,) = provinces.values()
    return json.loads(encode(province)) | {"as_of": as_of.isoformat()}, [
        json.loads(encode(row)) for row in communes.values() if is_gap(row)
    ]


def is_gap(row: CommuneRow) -> bool:
    return row.state is not State.FRESH or (row.ratio is not None and row.ratio < 1)


def test_a_plan_from_rows_names_the_villages_and_lists_unknown_communes_apart() -> None:
    row, gaps = api(world("0.7"), STATED)
    found = of_rows(row, gaps)
    assert (found.ratio, found.needed, found.weight) == (Fraction(24, 42), Fraction("5.4"), 42)
    assert codes(found.communes) == ["00001", "00002"]
    assert [(one.commune, one.name) for one in found.villages] == [
        ("00001", "Bản Lãm"),
        ("00001", "Nà Tạng"),
        ("00001", ""),
        ("00001", ""),
        ("00002", ""),
        ("00002", ""),
    ]
    assert (codes(found.reports), found.reports_needed) == (["00004"], 1)


def test_where_the_known_ones_are_not_enough_the_rest_is_up_to_reports() -> None:
    found = of_rows(*api(world("0.9"), STATED))
    assert (codes(found.communes), found.enough, found.villages_enough) == (["00001", "00002", "00003"], False, False)
    assert (codes(found.reports), found.reports_needed) == (["00004"], None)


def test_thirds_add_up_exactly_to_the_target() -> None:
    """Rows carry ratios as doubles, of which a third is none: they are read back as the fractions that they were."""
    rules = world("2/3", sizes=(3, 7, 21, 3))
    events = (said("00001", 1, 3), said("00002", 7, 7), said("00003", 11, 21), said("00004", 3, 3))
    row, gaps = api(rules, events)
    found = of_rows(row, gaps)
    assert (found.target, found.ratio, found.needed) == (Fraction(2, 3), Fraction(22, 34), Fraction(2, 3))
    assert codes(found.communes) == ["00003"]
    exact = (*events[:2], said("00003", 12, 21), events[3])
    assert of_rows(*api(world("23/34", sizes=(3, 7, 21, 3)), exact)).needed == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=4, max_size=4), targets_)
def test_what_the_plan_says_comes_true_and_one_commune_less_does_not(sizes: list[tuple[int, int]], wanted: Fraction) -> None:
    rules = world(str(wanted), "population", tuple(size for _, size in sizes))
    events = [said(code, min(covered, size), size) for code, (covered, size) in zip(CODES, sizes, strict=True)]
    found = of_rows(*api(rules, events))

    def verdict(full: list[str]) -> Verdict:
        done = [said(one.data.commune, one.data.expected, one.data.expected) if one.data.commune in full else one for one in events]
        row, _ = api(rules, done)
        return Verdict(row["verdict"])

    chosen = codes(found.communes)
    assert verdict(chosen) is Verdict.MET
    for some in combinations(chosen, len(chosen) - 1) if chosen else ():
        assert verdict(list(some)) is Verdict.MISSED


def test_a_commune_whose_weight_is_not_known_weighs_the_mean() -> None:
    texts = seed_texts(
        communes={"08": CODES},
        indicators=(indicator(MOBILE, "quarter", base="villages", union="places"),),
        reporters=(reporter("operator-a"),),
        obligations=(obligation("operator-a", MOBILE),),
        targets=(target(MOBILE),),
        bases=[counts("2020-01-01", code, villages=size) for code, size in zip(CODES, ("5", "10", "6"), strict=False)],
    )
    row, gaps = api(Rules.from_texts(texts), STATED[:2])
    found = of_rows(row, gaps)
    assert found.weight == 28
    assert [(one.code, one.weight) for one in found.reports] == [("00004", 7), ("00003", 6)]


# what is said


def text(row: Json, found: Plan, lang: Lang = "vi") -> str:
    return "\n".join(describe(row, found, lang))


def test_the_text_tells_the_numbers_in_the_language_asked_for() -> None:
    row, gaps = api(world("0.7"), STATED)
    found = of_rows(row, gaps)
    vi, en = text(row, found), text(row, found, "en")
    assert "Hiện 57,1 %, chỉ tiêu 70 %: còn thiếu 5,4 trên 42." in vi
    assert "Ít nhất 2 xã cần phủ hết, sẽ đạt 76,2 %:" in vi
    assert "Hoặc ít nhất 6 thôn, sẽ đạt 71,4 %:" in vi
    assert "  Xã 00001 (00001): Bản Lãm, Nà Tạng, 2 thôn chưa nêu tên" in vi
    assert "Có thể chỉ cần báo cáo: chưa rõ 1 xã; nếu 1 xã đầu báo cáo là đã phủ hết thì đạt chỉ tiêu:" in vi
    assert "Now 57.1 %, target 70 %: 5.4 of 42 missing." in en
    assert "The fewest communes to cover in full: 2, then 76.2 %:" in en


def test_the_text_names_at_least_the_unknown_communes_whose_reports_would_be_enough() -> None:
    row, _ = api(world("0.7"), STATED)
    listed = [commune(f"{number:05}", 1, known=False) for number in range(20)]
    for wanted, shown in (("1/20", 10), ("15/20", 15), ("1", 20)):
        said = text(row, plan(listed, Fraction(20), Fraction(wanted)))
        assert said.count(" Xã 000") == shown
        assert ("xã khác: xem --json" in said) == (shown < 20)


def test_the_text_says_so_when_there_is_no_target() -> None:
    texts = seed_texts(communes={"08": CODES}, obligations=(), targets=(), indicators=(indicator(MOBILE),))
    row, gaps = api(Rules.from_texts(texts), ())
    assert "Chưa có chỉ tiêu đang áp dụng" in text(row, of_rows(row, gaps))


def test_the_text_says_so_when_the_target_is_reached_and_whether_that_is_certain() -> None:
    full = [said(code, size, size) for code, size in zip(CODES, (5, 10, 20, 7), strict=True)]
    row, gaps = api(world(), full)
    assert text(row, of_rows(row, gaps)).endswith("Đã đạt: 100,0 %, chỉ tiêu 90 %.")
    row, gaps = api(world(), full, instant("2024-07-01"))
    assert "Kết luận vẫn là chưa đủ căn cứ (uncertain)" in text(row, of_rows(row, gaps))


def test_the_json_has_every_figure() -> None:
    row, gaps = api(world("0.7"), STATED)
    shown = json.loads(json.dumps(as_json(row, of_rows(row, gaps))))
    assert {name: shown[name] for name in ("province", "indicator", "target", "needed", "enough", "reports_needed")} == {
        "province": "08",
        "indicator": MOBILE,
        "target": 0.7,
        "needed": 5.4,
        "enough": True,
        "reports_needed": 1,
    }
    assert shown["ratio_after"] == 32 / 42
    assert [(one["commune"], one["gain"]) for one in shown["communes"]] == [("00001", 4), ("00002", 4)]
    assert shown["villages"][0] == {"commune": "00001", "village": "Bản Lãm", "gain": 1}
    assert [(one["commune"], one["ratio"], one["gain"]) for one in shown["reports"]] == [("00004", None, 7)]


# from a feed


@pytest.fixture
def feed() -> Iterator[str]:
    """An HTTP server that answers with rows as the feed does."""
    row, gaps = api(world("0.7"), STATED)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps([row] if self.path == "/api/v1/provinces" else gaps).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_command_reads_the_feed(feed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", MOBILE, "--province", "08", "--url", feed, "--json"])
    assert ended.value.code == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert [one["commune"] for one in shown["communes"]] == ["00001", "00002"]
    with pytest.raises(SystemExit) as ended:
        main(["plan", MOBILE, "--url", feed, "--lang", "en"])
    assert ended.value.code == 0
    assert "The fewest communes to cover in full: 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "province", "said"),
    [("telecom.mobile_signal_village", None, f"did you mean {MOBILE}?"), (MOBILE, "02", "province '02': the feed shows none")],
)
def test_what_the_feed_does_not_show_is_told_with_what_it_does(feed: str, name: str, province: str | None, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        fetch_plans(feed, name, province)
    assert said in str(caught.value)


def test_a_feed_that_does_not_answer_is_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", MOBILE, "--url", "http://127.0.0.1:9"])
    assert ended.value.code == 3
    assert "is `phusong feed` running?" in capsys.readouterr().err
