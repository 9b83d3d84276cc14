"""`phusong explain` on a real Kafka: every statement with where it lies, who decided and by which rule, and what would change it."""

from __future__ import annotations

from typing import Any

import pytest

from phusong.events import Method, encode
from phusong.rows import CommuneRow
from phusong.topics import POSTAL, TELECOM, share_of
from tests import worlds
from tests.asking import ask
from tests.workers import Stage, by_version
from tests.worlds import stated, succession, unit, vintage, withdrawn

pytestmark = pytest.mark.kafka


def _explained(stage: Stage, *arguments: str, **settings: object) -> Any:
    answer = ask(stage, "explain", *arguments, "--json", **settings)
    assert answer.code == 0, answer.errors
    return answer.plain


def test_a_measurement_that_contradicts_decides_and_the_row_is_the_one_that_is_published(stage: Stage) -> None:
    stage.use(worlds.seed_texts(indicators=_LARGEST))
    declared = stated("02275", worlds.MOBILE, 9, 10, "2023-05-10", source="operator-a", event_id="declared")
    measured = stated(
        "02275", worlds.MOBILE, 6, 10, "2023-05-20", source="inspector", operator="operator-a", method=Method.MEASURED, event_id="measured"
    )
    again = stated("02275", worlds.MOBILE, 10, 10, "2023-06-20", source="operator-a", event_id="again")
    other = stated("02275", worlds.MOBILE, 1, 10, "2023-06-20", source="operator-b", event_id="other")
    stage.send([declared, measured, again, declared, other, stated("02284", worlds.MOBILE, 3, 4, source="operator-a")])
    stage.start_ready()
    stage.wait_for_rows()

    found = _explained(stage, "02275", worlds.MOBILE)
    key = f"2020-01-01/02275/{worlds.MOBILE}"
    row = by_version(stage.rows())[key].row
    assert isinstance(row, CommuneRow)
    assert found["row"]["statements"] == list(row.statements)
    assert (found["row"]["covered"], found["row"]["expected"]) == (6, 10) == (row.covered, row.expected)
    stands = {one["id"]: one for one in found["statements"]}
    assert stands.keys() == {"measured", "again", "other"}
    assert stands["measured"]["decides"]
    assert not stands["again"]["decides"]
    assert "above the measurement of 2023-05-20: counts only if observed from 2023-08-20 on" in stands["again"]["why"]["en"]
    assert stands["other"]["decides"], "it is one of the two behind the value, though the smaller"
    partition = share_of(b"08")
    assert all((one["topic"], one["partition"]) == (TELECOM.name, partition) for one in found["statements"])
    assert [(one["id"], one["offset"], one["why"]["en"]) for one in found["lost"]] == [
        ("declared", 0, "replaced by a greater one of the same slot"),
        ("declared", 3, "a greater one of the same slot was there before it"),
    ]
    assert stands["measured"]["offset"] == 1
    views = {one["operator"]: one for one in found["operators"]}
    assert views["operator-a"]["rule"]["en"] == "a whole measurement stands against a higher declaration"
    assert (views["operator-a"]["covered"], views["operator-b"]["covered"]) == (6, 1)

    text = ask(stage, "explain", "02275", worlds.MOBILE).text
    assert "6 / 10 = 60,0 %" in text
    assert "→ inspector về operator-a: đo kiểm 6 / 10" in text
    assert "khai báo cao hơn kết quả đo chỉ được tính nếu quan sát từ 20/08/2023" in text
    assert {"vi": "đó là operator-a", "en": "that is operator-a"} in found["union"]
    english = ask(stage, "explain", "02275", worlds.MOBILE, "--lang", "en").text
    assert "6 / 10 = 60.0 %" in english
    assert "What would change it:" in english
    assert f"{TELECOM.name}[{partition}]@1" in english


def test_who_never_reported_who_withdrew_and_who_is_not_obliged_are_told(stage: Stage) -> None:
    stage.send(
        [
            stated("02275", worlds.MOBILE, 4, 5, "2023-06-30", source="operator-b", event_id="b"),
            withdrawn("02275", worlds.MOBILE, "2023-06-30", source="operator-b", event_id="back"),
            stated("02275", worlds.POSTAL, 1, 1, source="inspector", operator="post-office", method=Method.PETITIONED, event_id="petition"),
            stated("02275", worlds.POSTAL, 1, 1, source="inspector", operator="department", event_id="not obliged"),
        ]
    )
    found = _explained(stage, "02275", worlds.MOBILE)
    views = {one["operator"]: one for one in found["operators"]}
    assert views["operator-a"]["rule"]["en"] == "never reported"
    assert views["operator-b"]["rule"]["en"].startswith("withdrawn: unknown")
    assert {one["id"]: one["why"]["en"] for one in found["statements"]} == {
        "back": "withdraws: the slot is empty",
        "b": "taken back: only its size still weighs",
    }
    assert any("operator-a" in text["en"] and "upper bound stays at 100 %" in text["en"] for text in found["union"])

    found = _explained(stage, "02275", worlds.POSTAL)
    whys = {one["id"]: one["why"]["en"] for one in found["statements"]}
    assert whys["petition"].startswith("a petition moves nothing")
    assert whys["not obliged"] == "no obligation about this operator is in force: does not count"
    assert found["row"]["state"] == "unknown"


def test_what_is_inherited_is_explained_by_the_communes_that_it_was_made_of(stage: Stage) -> None:
    lists = [vintage("2020-01-01", end="2024-09-01"), vintage("2024-09-01")]
    units = [unit(name, code) for name in ("2020-01-01", "2024-09-01") for code in ("02275", "02284")] + [unit("2020-01-01", "02290")]
    successions = [
        succession("2024-09-01", "02275", "02275"),
        succession("2024-09-01", "02275", "02290"),
        succession("2024-09-01", "02284", "02284"),
    ]
    stage.use(
        worlds.seed_texts(
            communes={"08": ("02275", "02284")}, vintages=lists, units=units, successions=successions, obligations=_POSTAL, targets=()
        )
    )
    stage.send([stated("02275", covered=1, event_id="covered"), stated("02290", covered=0, event_id="gap")])
    found = _explained(stage, "02275", worlds.POSTAL, "--as-of", "2024-10-01")
    assert found["row"]["vintage"] == "2024-09-01"
    assert {(one["commune"], one["vintage"], one["decides"]) for one in found["statements"]} == {
        ("02275", "2020-01-01", True),
        ("02290", "2020-01-01", True),
    }
    (operator,) = found["operators"]
    assert operator["rule"]["en"] == "inherited from Xã 02275 (02275, 2020-01-01), Xã 02290 (02290, 2020-01-01)"

    before = _explained(stage, "02290", worlds.POSTAL, "--vintage", "2020-01-01", "--as-of", "2023-07-01")
    assert before["row"]["covered"] == 0


def test_as_of_a_day_leaves_out_what_was_observed_later(stage: Stage) -> None:
    stage.send(
        [stated("02275", covered=0, observed_at="2023-05-31", event_id="may"), stated("02275", observed_at="2023-06-30", event_id="june")]
    )
    found = _explained(stage, "02275", worlds.POSTAL, "--as-of", "2023-06-15")
    assert [one["id"] for one in found["statements"]] == ["may"]
    assert found["left_out"] == 1
    assert found["row"]["covered"] == 0
    assert _explained(stage, "02275", worlds.POSTAL)["row"]["covered"] == 1


def test_a_commune_or_an_indicator_that_does_not_exist_is_wrong_use_and_the_nearest_are_named(stage: Stage) -> None:
    for arguments, told in (
        (("2275", worlds.POSTAL), "02275 Xã 02275"),
        (("02275", "staffed_point"), worlds.POSTAL),
        (("02275", "postal.staffed_pont"), worlds.POSTAL),
        (("02275", worlds.POSTAL, "--vintage", "2021"), "2020-01-01"),
        (("02275", worlds.POSTAL, "--as-of", "yesterday"), "2023-06-30"),
        (("02275", worlds.POSTAL, "--as-of", "2019-01-01"), "2020-01-01"),
    ):
        answer = ask(stage, "explain", *arguments)
        assert (answer.code, answer.text) == (2, ""), arguments
        assert told in answer.errors


def test_codes_written_with_escapes_are_found_too(stage: Stage) -> None:
    with stage.sending() as send:
        value = encode(stated("02275", event_id="e")).replace(b'"02275"', b'"\\u0030\\u0032275"')
        send(POSTAL, value, b"08")
    assert [one["id"] for one in _explained(stage, "02275", worlds.POSTAL)["statements"]] == ["e"]


_POSTAL = (worlds.obligation("post-office", worlds.POSTAL),)
_LARGEST = (
    *(one for one in worlds.INDICATORS if one["indicator"] != worlds.MOBILE),
    worlds.indicator(worlds.MOBILE, "quarter", union="largest"),
)
