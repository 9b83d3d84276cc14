"""/api/v1 over a snapshot filled by hand: its addresses, forms, pages and tags, and what a request gets that cannot be answered."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar

import feed.api
from feed.answers import columns_of
from feed.examples import EXAMPLES
from feed.headings import HEADINGS
from feed.history import KEPT_OF_KEY, History
from feed.openapi import openapi
from feed.paging import cursor_of, page
from feed.resources import BY_PATH, PublishedVerdict
from feed.snapshot import LeftOut
from phusong.acknowledgements import encode_acknowledged
from phusong.periods import VIETNAM
from phusong.rows import Mark, State, Verdict, encode
from phusong.settings import SEEDS, read_rules
from phusong.topics import ACKNOWLEDGEMENTS, VERDICTS
from tests.feeds import COMMUNE_ROWS, NEW, OLD, PUBLISHED, RULES, ask, decide, filled, put, take

POSTAL = "postal.staffed_point"
PATHS = sorted(BY_PATH)


@pytest.fixture
def app() -> Litestar:
    return filled()


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# what there is


def test_the_catalogue_tells_how_each_indicator_is_defined_and_what_its_target_rests_on(app: Litestar) -> None:
    found = {one["indicator"]: one for one in ask(app, "/api/v1/indicators").json()}
    assert list(found) == ["broadcast.loudspeaker", POSTAL]
    postal = found[POSTAL]
    assert (postal["definition_vi"], postal["base"], postal["period"], postal["tolerance"]) == ("definition_vi", "units", "month", 0.05)
    (target,) = postal["targets"]
    assert (target["value"], target["scope"], target["source_vi"], target["in_force"]) == (1, "national", "source_vi", True)
    assert found["broadcast.loudspeaker"]["targets"] == []


def test_the_lists_tell_from_when_to_when_and_how_many_communes_they_have(app: Litestar) -> None:
    old, new = ask(app, "/api/v1/vintages").json()
    assert (old["vintage"], old["in_force"], old["communes"], old["provinces"]) == (OLD, True, 4, {"08": 3, "24": 1})
    assert datetime.fromisoformat(old["end"]) == datetime(2025, 7, 1, tzinfo=VIETNAM)
    assert (new["vintage"], new["in_force"], new["end"], new["communes"]) == (NEW, False, None, 2)
    assert [one["communes"] for one in ask(app, "/api/v1/vintages?province=24").json()] == [1, 1]


def test_a_communes_successions_are_those_of_its_own_territory(app: Litestar) -> None:
    def steps(query: str) -> list[tuple[str, str]]:
        return [(one["predecessor"], one["commune"]) for one in ask(app, f"/api/v1/successions?{query}").json()]

    assert steps("") == [("00001", "00001"), ("00002", "00001"), ("00003", "00001"), ("00009", "00009")]
    assert steps("commune=00002") == [("00002", "00001")]
    # the code stands for two communes: the one that was merged, and the one that came of the three
    assert steps(f"commune=00001&vintage={OLD}") == [("00001", "00001")]
    assert steps(f"commune=00001&vintage={NEW}") == [("00001", "00001"), ("00002", "00001"), ("00003", "00001")]
    assert steps(f"vintage={OLD}") == []


def test_a_reporter_is_shown_with_what_it_owes_and_what_is_overdue(app: Litestar) -> None:
    (one,) = ask(app, "/api/v1/reporters").json()
    assert (one["reporter"], one["operators"], one["overdue"]) == ("post-office", ["post-office"], True)
    (owed,) = one["obligations"]
    assert (owed["province"], owed["indicator"], owed["period"], owed["deadline_days"], owed["grace_days"]) == (
        "08",
        POSTAL,
        "month",
        15,
        5,
    )
    assert (owed["in_force"], owed["overdue"], owed["overdue_communes"]) == (True, True, 2)
    assert datetime.fromisoformat(owed["due"]) == datetime(2023, 2, 21, tzinfo=VIETNAM)
    assert (owed["measurements_agreeing"], owed["measurements"]) == (3, 4)
    assert ask(app, "/api/v1/reporters?indicator=broadcast.loudspeaker").json() == []


def test_the_history_has_each_change_once_newest_last(app: Litestar) -> None:
    first = decide(app, Verdict.UNCERTAIN, 1)
    second = decide(app, Verdict.MISSED, 20, repeated=3)
    third = decide(app, Verdict.MET, 20)
    found = ask(app, "/api/v1/verdicts").json()
    assert [one["id"] for one in found] == [first.id, second.id, third.id]
    assert [(one["from"], one["to"], one["previous"]) for one in found] == [
        (None, "uncertain", None),
        ("uncertain", "missed", first.id),
        ("missed", "met", second.id),
    ]
    assert found[0]["cause"] == {"kind": "statement", "events": ["post-office 1"], "more": 0}
    assert found[0]["published"] == "2026-03-01T12:00:00.500000Z"


def test_the_history_is_narrowed_by_moment_and_list_and_means_every_list_without_one(app: Litestar) -> None:
    decide(app, Verdict.UNCERTAIN, 1)
    decide(app, Verdict.MISSED, 20)
    decide(app, Verdict.UNCERTAIN, 10, NEW)

    def days(query: str) -> list[str]:
        return [one["as_of"][8:10] for one in ask(app, f"/api/v1/verdicts?{query}").json()]

    assert days("") == ["01", "10", "20"]
    assert days("since=2023-06-10T00:00:00Z") == ["10", "20"]
    assert days("since=2023-06-10T07:00:01%2B07:00") == ["20"]
    assert days(f"vintage={OLD}") == ["01", "20"]
    assert days("indicator=broadcast.loudspeaker") == []


def test_a_verdict_that_cannot_be_read_or_has_another_key_is_left_out_and_counted(app: Litestar) -> None:
    snapshot = app.state.reader.snapshot
    event = decide(app, Verdict.MET, 1)
    snapshot.apply(VERDICTS.name, b"other", encode(event), None, PUBLISHED)
    snapshot.apply(VERDICTS.name, event.data.key.encode(), None, None, PUBLISHED)
    assert snapshot.left_out == {LeftOut.UNREADABLE: 2}
    assert len(snapshot.verdicts()) == 1


def test_of_a_key_that_changes_without_end_the_last_are_kept(app: Litestar) -> None:
    event = decide(app, Verdict.MET, 1)
    history = History()
    for number in range(KEPT_OF_KEY + 5):
        history.add(event.data.key.encode(), encode(msgspec.structs.replace(event, id=str(number))), PUBLISHED, number)
    assert [entry.offset for entry in history.entries()] == list(range(5, KEPT_OF_KEY + 5))


@pytest.mark.parametrize(
    ("query", "communes"),
    [
        ("commune=00002", ["00002"]),
        ("state=fresh", ["00001", "00002", "00003"]),
        ("state=stale&state=unknown", []),
        ("mark=not_applicable", ["00003"]),
        ("mark=not_applicable&mark=conflict", ["00001", "00003"]),
        ("mark=conflict&state=fresh&commune=00003", []),
    ],
)
def test_communes_are_narrowed_by_code_state_and_mark(app: Litestar, query: str, communes: list[str]) -> None:
    for code, marks in (("00001", (Mark.CONFLICT,)), ("00002", ()), ("00003", (Mark.NOT_APPLICABLE,))):
        put(app, msgspec.structs.replace(COMMUNE_ROWS[f"{OLD}/{code}/{POSTAL}"], marks=marks, state=State.FRESH))
    found = ask(app, f"/api/v1/communes?indicator={POSTAL}&{query}").json()
    assert [one["commune"] for one in found] == communes


# forms


@pytest.mark.parametrize("path", PATHS)
def test_a_csv_has_the_same_rows_with_a_column_for_each_field(app: Litestar, path: str) -> None:
    take(app, decide(app, Verdict.MISSED, 1), "department")
    rows, answer = ask(app, path).json(), ask(app, path, accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.content == ask(app, f"{path}?format=csv").content
    columns = [one.name for one in columns_of(BY_PATH[path].kind)[0]]
    lines = list(csv.reader(io.StringIO(answer.text)))
    assert lines[0] == columns
    assert {name.partition(".")[0] for name in columns} == set(rows[0])
    assert len(lines) > len(rows) - 1
    assert {len(line) for line in lines} == {len(columns)}


def test_a_cell_is_what_the_field_says(app: Litestar) -> None:
    (province,) = table(ask(app, f"/api/v1/provinces?format=csv&indicator={POSTAL}").text)
    assert (province["ratio"], province["units.fresh"], province["units.stale"], province["marks.assumed"]) == ("0.5", "3", "", "1")
    assert (province["reporters_overdue"], province["reliability"], province["projection.pace"]) == (
        "post-office: 2",
        "post-office: 3, 4",
        "",
    )
    assert province["as_of"] == "2023-06-30T00:00:00Z"
    found = {one["commune"]: one for one in table(ask(app, f"/api/v1/communes?format=csv&indicator={POSTAL}").text)}
    assert (found["00002"]["uncovered"], found["00003"]["ratio"], found["00001"]["covered"]) == ("Bản Lãm", "", "1")


def test_of_a_row_with_a_list_of_objects_the_csv_has_a_line_for_each_and_one_where_there_is_none(app: Litestar) -> None:
    lines = table(ask(app, "/api/v1/indicators?format=csv").text)
    assert [(one["indicator"], one["targets.value"]) for one in lines] == [("broadcast.loudspeaker", ""), (POSTAL, "1.0")]
    (owed,) = table(ask(app, "/api/v1/reporters?format=csv").text)
    assert (owed["reporter"], owed["obligations.indicator"], owed["obligations.overdue_communes"]) == ("post-office", POSTAL, "2")


def test_a_csv_has_vietnamese_headings_and_a_byte_order_mark_for_those_who_ask(app: Litestar) -> None:
    answer = ask(app, "/api/v1/communes?format=csv&lang=vi&bom=1")
    assert answer.content.startswith(b"\xef\xbb\xbfDanh s")
    assert not ask(app, "/api/v1/communes?format=csv&bom=0").content.startswith(b"\xef\xbb\xbf")
    heading = answer.content.decode("utf-8-sig").splitlines()[0].split(",")
    assert heading[:5] == ["Danh sách xã", "Mã tỉnh", "Mã xã", "Tên xã", "Huyện"]


@pytest.mark.parametrize("path", PATHS)
def test_every_column_has_a_vietnamese_heading_of_its_own(path: str) -> None:
    headings = [HEADINGS[one.name] for one in columns_of(BY_PATH[path].kind)[0]]
    assert len(set(headings)) == len(headings)


@pytest.mark.parametrize("text", ["=1+1", "+84", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "＝1", '=HYPERLINK("http://x")'])
def test_text_that_a_spreadsheet_would_take_for_a_formula_is_defused_and_numbers_are_left_alone(app: Litestar, text: str) -> None:
    put(app, msgspec.structs.replace(COMMUNE_ROWS[f"{OLD}/00001/{POSTAL}"], name=text, uncovered=(text, "x"), covered=-1))
    (found,) = table(ask(app, f"/api/v1/communes?format=csv&commune=00001&indicator={POSTAL}").text)
    assert (found["name"], found["uncovered"], found["covered"]) == (f"'{text}", f"'{text}; x", "-1")


@pytest.mark.parametrize("path", ["/api/v1/communes", "/api/v1/gaps"])
def test_geojson_has_a_point_where_the_register_has_one_and_else_null(app: Litestar, path: str) -> None:
    answer = ask(app, f"{path}?indicator={POSTAL}&province=08", accept="application/geo+json")
    assert answer.headers["content-type"] == "application/geo+json"
    collection = answer.json()
    assert collection["type"] == "FeatureCollection"
    features = {one["properties"]["commune"]: one for one in collection["features"]}
    assert [one["properties"] for one in collection["features"]] == ask(app, f"{path}?indicator={POSTAL}&province=08").json()
    assert features["00002"]["geometry"] == {"type": "Point", "coordinates": [105.4, 22.35]}
    assert features["00002"]["id"] == f"{OLD}/00002/{POSTAL}"
    assert {one["geometry"] for code, one in features.items() if code != "00002"} <= {None}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/csv;q=0.5, application/geo+json", "application/geo+json"),
        ("text/*", "text/csv; charset=utf-8; header=present"),
    ],
)
def test_the_form_is_the_one_that_is_liked_best(app: Litestar, accept: str, content_type: str) -> None:
    answer = ask(app, "/api/v1/gaps", accept=accept)
    assert (answer.headers["content-type"], answer.headers["vary"]) == (content_type, "accept")


# pages


@given(st.sets(st.tuples(st.text(max_size=2), st.text(max_size=2)), max_size=30), st.integers(1, 7))
def test_pages_hold_every_row_once_in_order(rows: set[tuple[str, str]], limit: int) -> None:
    found: list[tuple[str, str]] = []
    after: tuple[str, ...] | None = None
    for _ in range(40):
        part, cursor = page(sorted(rows), lambda row: row, limit, after)
        found += part
        if not cursor:
            break
        assert len(part) == limit
        after = part[-1]
    assert found == sorted(rows)


@pytest.mark.parametrize("path", ["/api/v1/communes", "/api/v1/gaps"])
def test_codes_of_several_provinces_stand_mixed_in_their_order(app: Litestar, path: str) -> None:
    row = COMMUNE_ROWS[f"{OLD}/00002/{POSTAL}"]
    for code, province in (("00001a", "24"), ("00000", "24"), ("00002a", "08"), ("00002b", "24")):
        put(app, msgspec.structs.replace(row, commune=code, province=province))
    keys = [(one["indicator"], one["commune"]) for one in ask(app, path).json()]
    assert keys == sorted(keys)
    assert {("postal.staffed_point", code) for code in ("00000", "00001a", "00002", "00002a", "00002b")} <= set(keys)
    some = [one["commune"] for one in ask(app, f"{path}?commune=00002&commune=00001&commune=00009&province=08&indicator={POSTAL}").json()]
    assert some == (["00001", "00002"] if path == "/api/v1/communes" else ["00002"])


def test_a_row_that_moves_to_another_province_is_in_one_only(app: Litestar) -> None:
    row = COMMUNE_ROWS[f"{OLD}/00002/{POSTAL}"]
    put(app, msgspec.structs.replace(row, province="24"), offsets=2)
    for province, there in (("08", False), ("24", True)):
        assert ("00002" in {one["commune"] for one in ask(app, f"/api/v1/communes?province={province}&indicator={POSTAL}").json()}) == there


@pytest.mark.parametrize("path", PATHS)
def test_following_the_links_gives_every_row_once_in_the_same_order(app: Litestar, path: str) -> None:
    for day, to in enumerate((Verdict.MET, Verdict.MISSED, Verdict.UNCERTAIN), 1):
        take(app, decide(app, to, day), "department", day)
    whole = ask(app, path).json()
    found: list[Any] = []
    url = f"{path}?limit=1"
    while url:
        answer = ask(app, url)
        assert len(answer.json()) == 1
        found += answer.json()
        assert len(found) <= len(whole)
        url = answer.links.get("next", {}).get("url", "")
    assert found == whole


def test_the_link_keeps_the_query_and_names_the_list_that_is_being_read(app: Litestar) -> None:
    link = ask(app, f"/api/v1/gaps?limit=1&indicator={POSTAL}&indicator=broadcast.loudspeaker&format=csv").links["next"]["url"]
    assert link.startswith(f"/api/v1/gaps?limit=1&indicator={POSTAL}&indicator=broadcast.loudspeaker&format=csv&vintage={OLD}&cursor=")
    assert ask(app, link).headers["content-type"].startswith("text/csv")


def test_a_row_that_vanishes_between_two_pages_moves_no_other(app: Litestar) -> None:
    path = f"/api/v1/communes?indicator={POSTAL}&province=08&limit=2"
    first = ask(app, path)
    snapshot = app.state.reader.snapshot
    key = f"{OLD}/00001/{POSTAL}".encode()
    (held,) = [one for one in snapshot.communes() if one.row.key.encode() == key]
    snapshot.apply("coverage.communes.v1", key, None, [("phusong-version", encode(held.version))], PUBLISHED)
    assert [one["commune"] for one in ask(app, first.links["next"]["url"]).json()] == ["00003"]


# tags


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_has_not_changed_is_answered_304_without_a_body(app: Litestar, path: str, form: str) -> None:
    first = ask(app, f"{path}?format={form}")
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f'"x", W/{tag}', "*"):
        again = ask(app, f"{path}?format={form}", if_none_match=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-cache"
        assert not {"content-length", "content-type"} & set(again.headers)
    assert ask(app, f"{path}?format={form}", if_none_match='"x"').status_code == 200


def test_each_form_of_the_same_rows_has_a_tag_of_its_own(app: Litestar) -> None:
    queries = ["format=json", "format=csv", "format=csv&lang=vi", "format=csv&bom=1", "format=geojson", "format=json&limit=1"]
    assert len({ask(app, f"/api/v1/gaps?{query}").headers["etag"] for query in queries}) == len(queries)


def test_a_tag_changes_with_the_rows_in_the_answer_and_with_no_others(app: Litestar) -> None:
    def tags() -> list[str]:
        return [ask(app, f"/api/v1/communes?indicator={POSTAL}&commune={code}").headers["etag"] for code in ("00001", "00002")]

    before = tags()
    put(app, msgspec.structs.replace(COMMUNE_ROWS[f"{OLD}/00001/{POSTAL}"], covered=0), offsets=2)
    after = tags()
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)


def test_a_row_published_again_has_another_tag_as_it_tells_when(app: Litestar) -> None:
    before = ask(app, f"/api/v1/provinces?indicator={POSTAL}")
    snapshot = app.state.reader.snapshot
    (held,) = [one for one in snapshot.provinces() if one.row.key == f"{OLD}/08/{POSTAL}"]
    later = PUBLISHED + timedelta(seconds=10)
    snapshot.apply("coverage.provinces.v1", held.row.key.encode(), encode(held.row), [("phusong-version", encode(held.version))], later)
    after = ask(app, f"/api/v1/provinces?indicator={POSTAL}")
    assert before.json() != after.json()
    assert before.headers["etag"] != after.headers["etag"]


def test_a_verdict_taken_on_again_under_the_same_id_has_another_tag(app: Litestar) -> None:
    about = decide(app, Verdict.MISSED, 1)
    first = take(app, about, "Phòng BCVT")
    path = f"/api/v1/provinces?indicator={POSTAL}"
    before = ask(app, path).headers["etag"]
    data = msgspec.structs.replace(first.data, owner="Sở KH&CN")
    again = msgspec.structs.replace(first, time=first.time + timedelta(minutes=1), data=data)
    app.state.reader.snapshot.apply(ACKNOWLEDGEMENTS.name, data.key.encode(), encode_acknowledged(again), None, PUBLISHED)
    answer = ask(app, path, if_none_match=before)
    assert answer.status_code == 200
    assert [one["acknowledged"]["owner"] for one in answer.json() if one["acknowledged"]] == ["Sở KH&CN"]


def test_a_verdict_cannot_be_taken_on_from_the_future_as_nobody_could_give_it_back_before(app: Litestar) -> None:
    taken = take(app, decide(app, Verdict.MISSED, 1), "Phòng BCVT")
    snapshot = app.state.reader.snapshot
    for ahead, shown in ((timedelta(minutes=2), "Phòng BCVT"), (timedelta(seconds=59), "ai đó")):
        late = msgspec.structs.replace(taken, time=PUBLISHED + ahead, data=msgspec.structs.replace(taken.data, owner="ai đó"))
        snapshot.apply(ACKNOWLEDGEMENTS.name, late.data.key.encode(), encode_acknowledged(late), None, PUBLISHED)
        assert ask(app, "/api/v1/acknowledgements").json()[0]["owner"] == shown
    assert snapshot.left_out == {LeftOut.CLOCK_AHEAD: 1}


def test_who_speaks_about_one_indicator_takes_no_verdict_of_another(app: Litestar) -> None:
    taken = take(app, decide(app, Verdict.MISSED, 1), "Phòng BCVT")
    # of another indicator by its own words and its record key, but with that verdict's id
    data = msgspec.structs.replace(taken.data, indicator="broadcast.loudspeaker", owner=None)
    other = msgspec.structs.replace(taken, id="other", time=taken.time + timedelta(minutes=1), data=data)
    app.state.reader.snapshot.apply(ACKNOWLEDGEMENTS.name, data.key.encode(), encode_acknowledged(other), None, PUBLISHED)
    (row,) = [one for one in ask(app, f"/api/v1/provinces?indicator={POSTAL}").json() if one["province"] == "08"]
    assert row["acknowledged"]["owner"] == "Phòng BCVT"


# what cannot be answered


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/none", 404, "Not Found"),
        ("/api/v1/gaps?limit=0", 400, "from 1 to 10000"),
        ("/api/v1/gaps?limit=%D9%A3", 400, "from 1 to 10000"),
        ("/api/v1/gaps?limit=1&limit=2", 400, "given twice"),
        ("/api/v1/gaps?cursor=x", 400, "follow the Link"),
        ("/api/v1/gaps?cursor=" + cursor_of(("a", "b")), 400, "follow the Link"),
        ("/api/v1/gaps?cursor=%FF%FE", 400, "follow the Link"),
        ("/api/v1/gaps?format=xlsx", 400, "one of: csv, geojson, json"),
        ("/api/v1/provinces?format=geojson", 400, "one of: csv, json"),
        ("/api/v1/gaps?state=gone", 400, "one of: fresh, stale, unknown"),
        ("/api/v1/gaps?commune=2", 400, "is not known"),
        ("/api/v1/verdicts?since=2023-06-30", 400, "with an offset"),
        ("/api/v1/verdicts?since=9999-12-31T23:59:59-23:00", 400, "with an offset"),
        ("/api/v1/verdicts?state=fresh", 400, "no parameter 'state' here"),
        ("/api/v1/gaps?%FF=1", 400, "no parameter"),
        ("/api/v1/gaps?" + "province=08&" * 201, 400, "more than 200 parameters"),
        ("/api/v1/events?limit=1", 400, "no parameter 'limit' here"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_problem_details_with_the_remedy(app: Litestar, path: str, status: int, said: str) -> None:
    answer = ask(app, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], bool(problem["title"])) == (status, True)
    assert said in problem["detail"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_parameter_is_refused_with_those_that_there_are(app: Litestar, path: str) -> None:
    problem = ask(app, f"{path}?indicators=x").json()
    assert (problem["parameter"], problem["known"]) == ("indicators", sorted(BY_PATH[path].parameters))


@pytest.mark.parametrize("accept", ["image/png", "nonsense", ",", "text/csv/x", "x" * 2000, "application/geo+json"])
def test_a_form_that_is_not_there_is_refused_with_those_that_are(app: Litestar, accept: str) -> None:
    answer = ask(app, "/api/v1/provinces", accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (406, "application/problem+json")
    assert answer.json()["known"] == ["application/json", "text/csv"]


def test_what_a_client_sent_is_said_back_only_in_part(app: Litestar) -> None:
    answer = ask(app, "/api/v1/gaps?province=" + "x" * 5000)
    assert answer.status_code == 400
    assert len(answer.content) < 1000


def test_our_own_fault_is_logged_and_told_as_a_problem_without_its_reason(
    app: Litestar, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(feed.api, "page", fail)
    answer = ask(app, "/api/v1/gaps")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "the secret reason" in caplog.text


# the description


def test_the_description_has_an_example_of_every_answer_and_each_is_a_row_of_its_kind() -> None:
    paths = openapi(RULES, "1")["paths"]
    assert set(paths) == {*PATHS, "/api/v1/evidence", "/api/v1/events"}
    for path in PATHS:
        operation = paths[path]["get"]
        content = operation["responses"]["200"]["content"]
        assert all("example" in one for one in content.values())
        kind: Any = BY_PATH[path].kind
        assert msgspec.convert(content["application/json"]["example"], list[kind]) == [EXAMPLES[path]]
        assert {one["name"] for one in operation["parameters"]} == {*BY_PATH[path].parameters, "If-None-Match"}
        assert all("example" in next(iter(one["content"].values())) for status, one in operation["responses"].items() if status >= "4")


def test_a_verdict_is_named_as_it_is_on_the_wire() -> None:
    assert "from" in msgspec.to_builtins(EXAMPLES["/api/v1/verdicts"])
    assert "from_" in PublishedVerdict.__struct_fields__


def test_the_description_names_the_provinces_of_the_shipped_rules() -> None:
    rules = read_rules(SEEDS)
    parameters = openapi(rules, "1")["paths"]["/api/v1/gaps"]["get"]["parameters"]
    assert parameters[0]["schema"]["items"]["enum"] == list(rules.register.provinces)
