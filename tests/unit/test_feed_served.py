"""feed/metrics.py and feed/api.py over a snapshot filled by hand: what is exported, under which names, and what a bad query gets."""

from __future__ import annotations

import math
import subprocess
from datetime import datetime
from shutil import which
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from feed.metrics import Family
from feed.resources import RESOURCES
from phusong.periods import VIETNAM
from phusong.rows import CommuneRow, Mark, Projection, ProvinceRow, State, Verdict
from phusong.topics import PROVINCES
from tests.feeds import AS_OF, COMMUNE_ROWS, PROVINCE_ROWS, PUBLISHED, ask, decide, filled, put, take

POSTAL = {"province": "08", "vintage": "2020-01-01", "domain": "postal", "indicator": "postal.staffed_point"}


POSTAL_KEY = "2020-01-01/08/postal.staffed_point"


@pytest.fixture
def app() -> Litestar:
    return filled()


def samples(app: Litestar) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in parse_text(ask(app, "/metrics").text):
        found.setdefault(family.name, [])
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


ROW = {"province", "vintage", "domain", "indicator"}
DESIGN = {
    "coverage_ratio": ROW,
    "coverage_low_ratio": ROW,
    "coverage_high_ratio": ROW,
    "coverage_target_ratio": ROW,
    "coverage_target_due_timestamp_seconds": ROW,
    "coverage_projected_timestamp_seconds": ROW | {"estimate"},
    "coverage_completeness_ratio": ROW,
    "coverage_covered": ROW,
    "coverage_expected": ROW,
    "coverage_units": ROW | {"state"},
    "coverage_marks": ROW | {"mark"},
    "coverage_verdict": ROW | {"verdict"},
    "coverage_verdict_since_timestamp_seconds": ROW,
    "coverage_acknowledged": ROW | {"owner"},
    "coverage_origin": ROW | {"origin"},
    "coverage_oldest_observed_timestamp_seconds": ROW,
    "coverage_unresolved_since_timestamp_seconds": ROW,
    "coverage_as_of_timestamp_seconds": ROW,
    "coverage_published_timestamp_seconds": ROW,
    "coverage_reporter_due_timestamp_seconds": ROW | {"reporter"},
    "coverage_reporter_overdue_communes": ROW | {"reporter"},
    "coverage_reliability_ratio": ROW | {"reporter"},
    "coverage_worst_communes_info": ROW | {"communes"},
    "coverage_commune_ratio": ROW | {"commune"},
    "coverage_commune_weight": ROW | {"commune"},
    "coverage_gap_observed_timestamp_seconds": ROW | {"commune", "name", "district", "state", "villages", "sources"},
    "coverage_vintage_start_timestamp_seconds": {"vintage"},
    "coverage_province_info": {"province", "name"},
    "coverage_indicator_info": {"indicator", "domain", "name_vi", "name_en", "unit", "base", "period"},
    "coverage_reporter_info": {"reporter", "name_vi", "name_en"},
    "coverage_commune_info": {"province", "vintage", "commune", "name", "district", "latitude", "longitude"},
}


def judge(app: Litestar, **more: object) -> None:
    """Publish the postal row of province 08, as it is shown now, with these fields."""
    (held,) = [one for one in app.state.reader.snapshot.provinces() if one.row.key == POSTAL_KEY]
    put(app, msgspec.structs.replace(held.row, **more))


def test_the_names_and_labels_of_the_metrics_are_those_of_the_design(app: Litestar) -> None:
    judge(
        app,
        target_due=AS_OF,
        unresolved_since=AS_OF,
        projection=Projection(reached_at=None, earliest=None, latest=None, pace=0.0, points=4),
    )
    take(app, decide(app, Verdict.MISSED, 1), "department")
    found = samples(app)
    assert {name: set(found[name][0][0]) for name in DESIGN} == DESIGN
    # of an info the parser also tells the family, which has no samples of its own
    assert {name for name, some in found.items() if name.startswith("coverage_") and some} == set(DESIGN)


def test_each_figure_of_a_row_is_exported_as_it_stands(app: Litestar) -> None:
    found = samples(app)

    def of(name: str, **more: str) -> list[float]:
        return [value for labels, value in found[name] if labels == {**POSTAL, **more}]

    assert of("coverage_ratio") == of("coverage_low_ratio") == of("coverage_high_ratio") == [0.5]
    assert (of("coverage_target_ratio"), of("coverage_covered"), of("coverage_expected")) == ([1], [1], [2])
    assert of("coverage_completeness_ratio") == [0]
    assert of("coverage_oldest_observed_timestamp_seconds") == of("coverage_as_of_timestamp_seconds") == [AS_OF.timestamp()]
    assert of("coverage_published_timestamp_seconds") == [PUBLISHED.timestamp()]
    # never stated: its first report, on January, was due 20 days after that month
    assert of("coverage_reporter_due_timestamp_seconds", reporter="post-office") == [datetime(2023, 2, 21, tzinfo=VIETNAM).timestamp()]
    assert of("coverage_commune_ratio", commune="00002") == [0]
    assert of("coverage_reporter_overdue_communes", reporter="post-office") == [2]
    assert of("coverage_reliability_ratio", reporter="post-office") == [0.75]


def test_a_reporter_whom_nothing_was_compared_with_has_no_reliability_and_breaks_no_scrape(app: Litestar) -> None:
    judge(app, reliability={"post-office": (0, 0), "other": (1, 2)})
    assert [(labels["reporter"], value) for labels, value in samples(app)["coverage_reliability_ratio"]] == [("other", 0.5)]


def test_a_commune_is_exported_with_its_names_and_where_the_register_knows_it_its_place(app: Litestar) -> None:
    info = {labels.pop("commune"): labels for labels, _ in samples(app)["coverage_commune_info"]}
    names = {"province": "08", "vintage": "2020-01-01", "district": "Na Hang"}
    assert info["00001"] == {**names, "name": "Xã Một", "latitude": "", "longitude": ""}
    assert info["00002"] == {**names, "name": "Xã Hai", "latitude": "22.35", "longitude": "105.4"}


def test_a_target_without_a_due_date_and_a_row_without_a_projection_have_no_such_series(app: Litestar) -> None:
    found = samples(app)
    assert found["coverage_target_due_timestamp_seconds"] == found["coverage_projected_timestamp_seconds"] == []


def test_a_projection_is_exported_by_estimate_and_never_is_infinite(app: Litestar) -> None:
    due = datetime(2025, 12, 31, tzinfo=VIETNAM)
    judge(app, target_due=due, projection=Projection(reached_at=due, earliest=AS_OF, latest=None, pace=0.1, points=4))
    found = samples(app)
    assert found["coverage_target_due_timestamp_seconds"] == [(POSTAL, due.timestamp())]
    estimates = {labels["estimate"]: value for labels, value in found["coverage_projected_timestamp_seconds"]}
    assert estimates == {"earliest": AS_OF.timestamp(), "middle": due.timestamp(), "latest": math.inf}


def test_the_verdict_that_holds_began_with_the_last_entry_of_its_chain(app: Litestar) -> None:
    assert samples(app)["coverage_verdict_since_timestamp_seconds"] == []
    decide(app, Verdict.UNCERTAIN, 1)
    # its row is still to come: what is shown holds since some other moment
    assert samples(app)["coverage_verdict_since_timestamp_seconds"] == []
    decide(app, Verdict.MISSED, 20, repeated=2)
    assert samples(app)["coverage_verdict_since_timestamp_seconds"] == [(POSTAL, AS_OF.replace(day=20).timestamp())]


def test_an_owner_is_exported_while_it_has_taken_the_verdict_that_holds(app: Litestar) -> None:
    first = decide(app, Verdict.MISSED, 1)
    assert samples(app)["coverage_acknowledged"] == []
    take(app, first, 'Phòng "Bưu chính"', 1)
    assert samples(app)["coverage_acknowledged"] == [({**POSTAL, "owner": 'Phòng "Bưu chính"'}, 1)]
    take(app, first, None, 2)
    assert samples(app)["coverage_acknowledged"] == []
    take(app, first, "department", 3)
    decide(app, Verdict.MET, 2)
    judge(app, verdict=Verdict.MET)
    # that was another verdict
    assert samples(app)["coverage_acknowledged"] == []


def test_a_gap_is_exported_with_its_names_its_villages_and_who_said_so(app: Litestar) -> None:
    row = msgspec.structs.replace(COMMUNE_ROWS["2020-01-01/00001/postal.staffed_point"], name='Xã "Một"\\', district="Na Hang")
    said = {"statements": ("post-office 1", "department 7", "post-office 2"), "uncovered": ("Bản Lãm", "Nà Tạng"), "ratio": 0.5}
    put(app, msgspec.structs.replace(row, state=State.STALE, observed_at=AS_OF, **said))

    def gaps() -> dict[str, tuple[dict[str, str], float]]:
        found = samples(app)["coverage_gap_observed_timestamp_seconds"]
        return {labels.pop("commune"): (labels, value) for labels, value in found if POSTAL.items() <= labels.items()}

    assert gaps() == {
        "00001": (
            {
                **POSTAL,
                "name": 'Xã "Một"\\',
                "district": "Na Hang",
                "state": "stale",
                "villages": "Bản Lãm; Nà Tạng",
                "sources": "post-office; department",
            },
            AS_OF.timestamp(),
        ),
        "00002": ({**POSTAL, "name": "Xã Hai", "district": "Na Hang", "state": "fresh", "villages": "Bản Lãm", "sources": ""}, 0),
    }
    put(app, msgspec.structs.replace(row, uncovered=tuple(f"Bản {number}" for number in range(100))))
    villages = gaps()["00001"][0]["villages"]
    assert len(villages) == 200
    assert villages.startswith("Bản 0; Bản 1; ")
    assert villages.endswith("…")
    put(app, msgspec.structs.replace(row, state=State.FRESH, ratio=1.0))
    assert set(gaps()) == {"00002"}


def test_the_communes_that_lack_most_of_the_weight_are_named_worst_first(app: Litestar) -> None:
    def worst() -> list[str]:
        found = samples(app)["coverage_worst_communes_info"]
        return [labels["communes"] for labels, _ in found if POSTAL.items() <= labels.items()]

    base = COMMUNE_ROWS["2020-01-01/00001/postal.staffed_point"]

    def state(commune: str, name: str, weight: int | None, ratio: float | None) -> None:
        put(app, msgspec.structs.replace(base, commune=commune, name=name, weight=weight, ratio=ratio, state=State.FRESH))

    for number, (name, weight, ratio) in enumerate(
        (("Xã Một", 10, 0.9), ("Xã Hai", 5, 0.0), ("Xã Ba", 8, 0.5), ("Xã Bốn", 8, 0.5), ("Xã Năm", None, 0.0), ("Xã Sáu", 90, 1.0)), 1
    ):
        state(f"0000{number}", name, weight, ratio)
    assert worst() == ["Xã Hai, Xã Ba, Xã Bốn"]
    for number in range(1, 7):
        state(f"0000{number}", "Xã", 1, 1.0)
    assert worst() == []


def test_the_gaps_that_are_exported_are_those_that_the_api_lists(app: Litestar) -> None:
    exported = {(labels["indicator"], labels["commune"]) for labels, _ in samples(app)["coverage_gap_observed_timestamp_seconds"]}
    assert exported == {(one["indicator"], one["commune"]) for one in ask(app, "/api/v1/gaps").json()}


def test_a_communes_ratio_is_absent_while_it_is_unknown_and_its_weight_while_that_is(app: Litestar) -> None:
    put(app, msgspec.structs.replace(COMMUNE_ROWS["2020-01-01/00001/postal.staffed_point"], state=State.UNKNOWN, ratio=0.0, weight=None))
    put(app, msgspec.structs.replace(COMMUNE_ROWS["2020-01-01/00002/postal.staffed_point"], weight=40))
    found = samples(app)
    assert "00001" not in {labels["commune"] for labels, _ in found["coverage_commune_ratio"] if labels["domain"] == "postal"}
    weights = {labels["commune"]: value for labels, value in found["coverage_commune_weight"] if labels["domain"] == "postal"}
    assert weights == {"00002": 40, "00003": 1}


def test_what_the_catalogue_and_the_register_hold_is_exported_by_name(app: Litestar) -> None:
    found = samples(app)
    starts = {labels["vintage"]: value for labels, value in found["coverage_vintage_start_timestamp_seconds"]}
    assert starts == {one: datetime.fromisoformat(f"{one}T00:00:00+07:00").timestamp() for one in ("2020-01-01", "2025-07-01")}
    assert found["coverage_province_info"] == [({"province": code, "name": "name_vi"}, 1) for code in ("08", "24")]
    names = {"name_vi": "name_vi", "name_en": "name_en"}
    assert found["coverage_reporter_info"] == [({"reporter": "post-office", **names}, 1)]
    assert found["coverage_indicator_info"] == [
        ({"indicator": one, "domain": domain, **names, "unit": "xã", "base": "units", "period": period}, 1)
        for one, domain, period in (("postal.staffed_point", "postal", "month"), ("broadcast.loudspeaker", "broadcast", "quarter"))
    ]


def test_a_scrape_shows_what_the_rows_say_now_and_writes_only_those_anew_that_say_something_else(
    app: Litestar, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    lines = Family.lines

    def counted(family: Family[Any], at: tuple[str, ...], rows: Any) -> bytes:
        written.append(family.metric.name)
        return lines(family, at, rows)

    before = samples(app)
    monkeypatch.setattr(Family, "lines", counted)
    held = app.state.reader.snapshot.communes()
    for one in held:
        put(app, one.row, offsets=2)
    assert samples(app) == before
    assert "coverage_commune_ratio" not in written
    put(app, msgspec.structs.replace(held[0].row, name="Xã Khác"), offsets=3)
    samples(app)
    # its group, which is one of two
    assert written.count("coverage_commune_ratio") == 1


def test_a_reporter_who_owes_nothing_is_zero_and_one_that_nobody_measured_has_no_reliability(app: Litestar) -> None:
    put(app, msgspec.structs.replace(PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"], reporters_overdue={}, reliability={}))
    found = samples(app)
    assert found["coverage_reporter_overdue_communes"] == [({**POSTAL, "reporter": "post-office"}, 0)]
    assert found["coverage_reliability_ratio"] == []


def test_every_member_of_a_known_set_is_exported_and_what_does_not_hold_is_zero(app: Litestar) -> None:
    found = samples(app)

    def of(name: str, label: str) -> dict[str, float]:
        return {labels.pop(label): value for labels, value in found[name] if labels["indicator"] == POSTAL["indicator"]}

    assert of("coverage_units", "state") == {"fresh": 3, "stale": 0, "unknown": 0}
    assert of("coverage_verdict", "verdict") == {"met": 0, "missed": 1, "not_yet": 0, "uncertain": 0, "no_target": 0}
    assert of("coverage_origin", "origin") == {"real": 1, "assumed": 1, "simulated": 0}
    assert of("coverage_marks", "mark") == {str(mark): int(mark in (Mark.ASSUMED, Mark.NOT_APPLICABLE)) for mark in Mark}


def test_an_undefined_figure_is_left_out_never_zero_or_nan(app: Litestar) -> None:
    undefined = {"ratio": None, "low": None, "high": None, "completeness": None}
    put(app, msgspec.structs.replace(PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"], **undefined))
    found = samples(app)
    for name in ("ratio", "low_ratio", "high_ratio", "completeness_ratio", "oldest_observed_timestamp_seconds"):
        assert not [labels for labels, _ in found[f"coverage_{name}"] if labels == POSTAL], name
    assert "00003" not in {labels["commune"] for labels, _ in found["coverage_commune_ratio"] if labels["domain"] == "postal"}
    assert {labels["indicator"] for labels, _ in found["coverage_target_ratio"]} == {"postal.staffed_point"}
    assert "NaN" not in ask(app, "/metrics").text


def test_only_the_list_in_force_and_the_catalogue_are_exported(app: Litestar) -> None:
    found = samples(app)
    shown = {(labels["vintage"], labels["indicator"]) for labels, _ in found["coverage_published_timestamp_seconds"]}
    assert shown == {("2020-01-01", "postal.staffed_point"), ("2020-01-01", "broadcast.loudspeaker")}
    assert {labels["vintage"] for labels, _ in found["coverage_commune_info"]} == {"2020-01-01"}


def test_the_feed_tells_of_itself(app: Litestar) -> None:
    app.state.reader.snapshot.apply(PROVINCES.name, b"x", b"{", None, PUBLISHED)
    found = samples(app)
    assert found["phusong_feed_ready"] == [({}, 0)]
    assert found["phusong_feed_kafka_seen_timestamp_seconds"] == [({}, 0)]
    assert found["phusong_feed_rows"] == [({"kind": "commune"}, 8), ({"kind": "province"}, 5), ({"kind": "verdict"}, 0)]
    assert (found["phusong_feed_streams"], found["phusong_feed_streams_dropped_total"]) == ([({}, 0)], [({}, 0)])
    left_out = {labels["why"]: value for labels, value in found["phusong_feed_left_out_total"]}
    assert left_out == {"other_log": 0, "clock_ahead": 0, "older": 0, "unreadable": 1}
    assert found["phusong_build_info"][0][0]["rules"] == "7"


def test_metrics_come_as_openmetrics_to_those_who_ask_for_it(app: Litestar) -> None:
    answer = ask(app, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = {family.name: family.type for family in parse_openmetrics(answer.text)}
    assert set(families) == {family.name.removesuffix("_info") for family in parse_text(ask(app, "/metrics").text)}
    assert answer.headers["content-length"] == str(len(answer.content))
    assert (families["coverage_ratio"], families["coverage_commune"], families["phusong_feed_left_out"]) == ("gauge", "info", "counter")
    assert ask(app, "/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_of(app: Litestar) -> None:
    judge(
        app,
        target_due=AS_OF,
        unresolved_since=AS_OF,
        projection=Projection(reached_at=None, earliest=None, latest=None, pace=0.0, points=4),
    )
    take(app, decide(app, Verdict.MISSED, 1), "department")
    promtool = which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; on Debian: apt install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=ask(app, "/metrics").text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_provinces_are_the_rows_with_the_moment_they_are_true_for(app: Litestar) -> None:
    answer = ask(app, "/api/v1/provinces?indicator=postal.staffed_point")
    assert answer.headers["content-type"] == "application/json"
    (row,) = answer.json()
    assert set(row) == {*ProvinceRow.__struct_fields__, "as_of", "published", "verdict_id", "verdict_since", "acknowledged"}
    assert (row["covered"], row["expected"], row["verdict"], row["province_name"]) == (1, 2, "missed", "name_vi")
    assert (row["as_of"], row["published"]) == ("2023-06-30T00:00:00Z", "2026-03-01T12:00:00.500000Z")


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", ["2020-01-01/broadcast.loudspeaker", "2020-01-01/postal.staffed_point"]),
        ("?vintage=2025-07-01", ["2025-07-01/broadcast.loudspeaker", "2025-07-01/postal.staffed_point"]),
        (
            "?indicator=postal.staffed_point&vintage=2020-01-01&vintage=2025-07-01",
            [f"20{v}-01/postal.staffed_point" for v in ("20-01", "25-07")],
        ),
        ("?province=24", []),
        ("?province=08&indicator=postal.staffed_point", ["2020-01-01/postal.staffed_point"]),
    ],
)
def test_a_query_narrows_the_rows_and_without_a_list_it_means_the_one_in_force(app: Litestar, query: str, keys: list[str]) -> None:
    rows = ask(app, f"/api/v1/provinces{query}").json()
    assert [f"{row['vintage']}/{row['indicator']}" for row in rows] == keys


def test_gaps_name_the_communes_and_the_places_that_are_missing(app: Litestar) -> None:
    (gap,) = ask(app, "/api/v1/gaps?indicator=postal.staffed_point").json()
    assert (gap["commune"], gap["name"], gap["district"], gap["uncovered"]) == ("00002", "Xã Hai", "Na Hang", ["Bản Lãm"])
    assert (gap["state"], gap["covered"], gap["expected"], gap["ratio"]) == ("fresh", 0, 1, 0)
    assert set(gap) == {*CommuneRow.__struct_fields__, "as_of", "published"}


def test_communes_are_all_of_them_those_without_a_gap_too(app: Litestar) -> None:
    found = ask(app, "/api/v1/communes?indicator=postal.staffed_point&province=08").json()
    assert [(one["commune"], one["ratio"], one["challenges_open"]) for one in found][:2] == [("00001", 1, 0), ("00002", 0, 0)]
    assert set(found[0]) == {*CommuneRow.__struct_fields__, "as_of", "published"}


def test_what_is_unknown_or_stale_is_a_gap_and_gaps_are_sorted(app: Litestar) -> None:
    row = COMMUNE_ROWS["2020-01-01/00001/postal.staffed_point"]
    put(app, msgspec.structs.replace(row, state=State.STALE, covered=1, expected=1, ratio=1.0))
    gaps = [(gap["indicator"], gap["commune"], gap["state"]) for gap in ask(app, "/api/v1/gaps?province=08").json()]
    assert gaps == [
        *(("broadcast.loudspeaker", commune, "unknown") for commune in ("00001", "00002", "00003")),
        ("postal.staffed_point", "00001", "stale"),
        ("postal.staffed_point", "00002", "fresh"),
    ]


@pytest.mark.parametrize("path", ["/api/v1/provinces", "/api/v1/communes", "/api/v1/gaps"])
@pytest.mark.parametrize(
    ("query", "parameter", "known"),
    [
        ("indicator=postal.x", "indicator", ["broadcast.loudspeaker", "postal.staffed_point"]),
        ("province=08&province=8", "province", ["08", "24"]),
        ("vintage=", "vintage", ["2020-01-01", "2025-07-01"]),
    ],
)
def test_a_query_that_cannot_match_is_refused_with_what_is_known(
    app: Litestar, path: str, query: str, parameter: str, known: list[str]
) -> None:
    answer = ask(app, f"{path}?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["parameter"], problem["known"]) == (400, parameter, known)
    assert all(one in problem["detail"] for one in known)


def test_before_the_reading_thread_runs_the_feed_is_neither_alive_nor_ready(app: Litestar) -> None:
    assert (ask(app, "/healthz").status_code, ask(app, "/readyz").status_code) == (503, 503)


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/api/v1/gaps", "/api/v1/gaps?x=1", "/none", "/api/v1/schema/openapi.json"])
def test_every_answer_forbids_guessing_its_type_keeping_it_and_loading_from_elsewhere(app: Litestar, path: str) -> None:
    answer = ask(app, path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    # a row may be kept, if it is asked for again each time whether it is still the same
    assert answer.headers["cache-control"] == ("no-cache" if path == "/api/v1/gaps" else "no-store")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_index_and_the_schema_name_what_there_is(app: Litestar) -> None:
    index, schema = ask(app, "/").text, ask(app, "/api/v1/schema/openapi.json").json()
    assert set(schema["paths"]) == {*(one.path for one in RESOURCES), "/api/v1/evidence", "/api/v1/events"}
    for path in (*schema["paths"], "/metrics", "/healthz", "/readyz", "/api/v1/schema/openapi.json"):
        assert f'href="{path}"' in index
        if path not in {"/api/v1/evidence", "/api/v1/events"}:
            assert ask(app, path).status_code in {200, 503}


@pytest.mark.parametrize(
    "path", ["/metrics", "/healthz", "/api/v1/gaps", "/api/v1/gaps?format=csv", "/api/v1/gaps?x=1", "/none", "/api/v1/schema/openapi.json"]
)
def test_head_is_answered_as_get_is_without_a_body(app: Litestar, path: str) -> None:
    whole, head_only = ask(app, path), ask(app, path, method="HEAD")
    assert (head_only.status_code, dict(head_only.headers)) == (whole.status_code, dict(whole.headers))
    assert (head_only.content, bool(whole.content)) == (b"", True)
    if path == "/api/v1/gaps":
        assert ask(app, path, method="HEAD", if_none_match=whole.headers["etag"]).status_code == 304


def test_other_methods_are_refused_with_those_that_there_are(app: Litestar) -> None:
    answer = ask(app, "/api/v1/gaps", method="DELETE")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
