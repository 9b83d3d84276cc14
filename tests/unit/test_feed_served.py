"""feed/metrics.py and feed/api.py over a snapshot filled by hand: what is exported, under which names, and what a bad query gets."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime
from shutil import which

import httpx
import msgspec
import pytest
from litestar import Litestar
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import feed.api
from feed.api import build_feed
from feed.snapshot import Reader
from phusong.assessment import assess
from phusong.events import Origin
from phusong.periods import VIETNAM
from phusong.rows import VERSION_HEADER, CommuneRow, Mark, ProvinceRow, State, Verdict, Version, encode
from phusong.rules import Rules
from phusong.settings import read_settings
from phusong.topics import COMMUNES, PROVINCES
from tests.worlds import indicator, obligation, reporter, seed_texts, succession, target, unit, vintage

AS_OF = datetime(2023, 6, 30, tzinfo=UTC)
PUBLISHED = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
# the scenario clock stands still, on a day of the first list
SETTINGS = read_settings(clock_start=AS_OF, clock_anchor=PUBLISHED, clock_rate=0)

OLD, NEW = "2020-01-01", "2025-07-01"
UNITS = (
    unit(OLD, "00001") | {"name": "Xã Một", "district": "Na Hang"},
    unit(OLD, "00002") | {"name": "Xã Hai", "district": "Na Hang", "latitude": "22.35", "longitude": "105.4"},
    unit(OLD, "00003") | {"name": "Xã Ba", "district": "Na Hang"},
    unit(OLD, "00009", "24") | {"name": "Xã Chín", "district": "Yên Phong"},
    unit(NEW, "00001") | {"name": "Xã Khác"},
    unit(NEW, "00009", "24") | {"name": "Xã Chín"},
)
RULES = Rules.from_texts(
    seed_texts(
        communes={"08": (), "24": ()},
        vintages=(vintage(OLD, end=NEW), vintage(NEW)),
        units=UNITS,
        successions=(*(succession(NEW, "00001", f"0000{n}") for n in (1, 2, 3)), succession(NEW, "00009", "00009")),
        indicators=(indicator("postal.staffed_point"), indicator("broadcast.loudspeaker", "quarter")),
        reporters=(reporter("post-office"),),
        obligations=(obligation("post-office", "postal.staffed_point"),),
        targets=(target("postal.staffed_point"),),
        number=7,
    )
)
COMMUNE_ROWS, PROVINCE_ROWS = assess(RULES, "08", {}, AS_OF)
# what another feed, whose clock is ahead, would show, too: rows of a list that is not in force yet
LATER_COMMUNE_ROWS, LATER_PROVINCE_ROWS = assess(RULES, "08", {}, datetime(2025, 7, 1, tzinfo=UTC))
# 1 of 2 applicable communes: one covered, one with a named gap, one not applicable
STATED = {
    "00001": {"state": State.FRESH, "covered": 1, "expected": 1, "ratio": 1.0, "low": 1.0, "origin": Origin.ASSUMED, "uncovered": ()},
    "00002": {"state": State.FRESH, "covered": 0, "expected": 1, "ratio": 0.0, "low": 0.0, "uncovered": ("Bản Lãm",)},
    "00003": {"state": State.FRESH, "covered": 0, "expected": 0, "ratio": None, "low": None, "high": None},
}
POSTAL = {"province": "08", "vintage": "2020-01-01", "domain": "postal", "indicator": "postal.staffed_point"}


def put(app: Litestar, row: CommuneRow | ProvinceRow) -> None:
    reader: Reader = app.state.reader
    version = Version(rules=7, log="log", offsets=1, as_of=AS_OF)
    topic = COMMUNES if isinstance(row, CommuneRow) else PROVINCES
    reader.snapshot.apply(topic.name, row.key.encode(), encode(row), [(VERSION_HEADER, encode(version))], PUBLISHED)


@pytest.fixture
def app() -> Litestar:
    """The application, its reading thread not started, over every row of both lists and one of an indicator that has been struck."""
    made = build_feed(SETTINGS, RULES)
    made.state.reader.snapshot.start_over("log")
    for row in (LATER_COMMUNE_ROWS | COMMUNE_ROWS).values():
        stated = STATED[row.commune] if row.indicator == "postal.staffed_point" and row.vintage == "2020-01-01" else {}
        put(made, msgspec.structs.replace(row, **stated))
    for total in (LATER_PROVINCE_ROWS | PROVINCE_ROWS).values():
        put(made, total)
    put(
        made,
        msgspec.structs.replace(
            PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"],
            covered=1,
            expected=2,
            ratio=0.5,
            low=0.5,
            high=0.5,
            verdict=Verdict.MISSED,
            units={State.FRESH: 3},
            origins={Origin.REAL: 1, Origin.ASSUMED: 1},
            marks={**dict.fromkeys(Mark, 0), Mark.ASSUMED: 1, Mark.NOT_APPLICABLE: 1},
            reporters_overdue={"post-office": 2},
            reliability={"post-office": (3, 4)},
            oldest_observed_at=AS_OF,
        ),
    )
    put(made, msgspec.structs.replace(PROVINCE_ROWS["2020-01-01/08/postal.staffed_point"], indicator="postal.struck"))
    assert not made.state.reader.snapshot.left_out
    return made


def ask(app: Litestar, path: str, **headers: str) -> httpx.Response:
    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://feed") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(request())


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
    "coverage_completeness_ratio": ROW,
    "coverage_covered": ROW,
    "coverage_expected": ROW,
    "coverage_units": ROW | {"state"},
    "coverage_marks": ROW | {"mark"},
    "coverage_verdict": ROW | {"verdict"},
    "coverage_origin": ROW | {"origin"},
    "coverage_oldest_observed_timestamp_seconds": ROW,
    "coverage_as_of_timestamp_seconds": ROW,
    "coverage_published_timestamp_seconds": ROW,
    "coverage_reporter_due_timestamp_seconds": ROW | {"reporter"},
    "coverage_reporter_overdue_communes": ROW | {"reporter"},
    "coverage_reliability_ratio": ROW | {"reporter"},
    "coverage_commune_ratio": ROW | {"commune"},
    "coverage_commune_info": {"province", "vintage", "commune", "name", "district", "latitude", "longitude"},
}


def test_the_names_and_labels_of_the_metrics_are_those_of_the_design(app: Litestar) -> None:
    found = samples(app)
    assert {name: set(found[name][0][0]) for name in DESIGN} == DESIGN
    assert {name for name in found if name.startswith("coverage_")} == set(DESIGN)


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


def test_a_commune_is_exported_with_its_names_and_where_the_register_knows_it_its_place(app: Litestar) -> None:
    info = {labels.pop("commune"): labels for labels, _ in samples(app)["coverage_commune_info"]}
    names = {"province": "08", "vintage": "2020-01-01", "district": "Na Hang"}
    assert info["00001"] == {**names, "name": "Xã Một", "latitude": "", "longitude": ""}
    assert info["00002"] == {**names, "name": "Xã Hai", "latitude": "22.35", "longitude": "105.4"}


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
    assert found["phusong_feed_rows"] == [({"kind": "commune"}, 8), ({"kind": "province"}, 5)]
    left_out = {labels["why"]: value for labels, value in found["phusong_feed_left_out_total"]}
    assert left_out == {"other_log": 0, "clock_ahead": 0, "older": 0, "unreadable": 1}
    assert found["phusong_build_info"][0][0]["rules"] == "7"


def test_metrics_come_as_openmetrics_to_those_who_ask_for_it(app: Litestar) -> None:
    answer = ask(app, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = {family.name: family.type for family in parse_openmetrics(answer.text)}
    assert (families["coverage_ratio"], families["coverage_commune"], families["phusong_feed_left_out"]) == ("gauge", "info", "counter")
    assert ask(app, "/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_of(app: Litestar) -> None:
    promtool = which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; on Debian: apt install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=ask(app, "/metrics").text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_provinces_are_the_rows_with_the_moment_they_are_true_for(app: Litestar) -> None:
    answer = ask(app, "/api/v1/provinces?indicator=postal.staffed_point")
    assert answer.headers["content-type"] == "application/json"
    (row,) = answer.json()
    assert set(row) == {*ProvinceRow.__struct_fields__, "as_of", "published"}
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
        ("indicators=postal.staffed_point", "indicators", ["indicator", "province", "vintage"]),
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


def test_an_answer_beyond_the_bound_is_refused_with_the_remedy(app: Litestar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.api, "ANSWER_ROWS_MAX", 1)
    answer = ask(app, "/api/v1/gaps")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "name a province, an indicator or a vintage" in answer.json()["detail"]
    assert ask(app, "/api/v1/gaps?indicator=postal.staffed_point").status_code == 200


def test_before_the_reading_thread_runs_the_feed_is_neither_alive_nor_ready(app: Litestar) -> None:
    assert (ask(app, "/healthz").status_code, ask(app, "/readyz").status_code) == (503, 503)


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/api/v1/gaps", "/api/v1/gaps?x=1", "/none", "/api/v1/schema/openapi.json"])
def test_every_answer_forbids_guessing_its_type_keeping_it_and_loading_from_elsewhere(app: Litestar, path: str) -> None:
    answer = ask(app, path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_index_and_the_schema_name_what_there_is(app: Litestar) -> None:
    index, schema = ask(app, "/").text, ask(app, "/api/v1/schema/openapi.json").json()
    assert set(schema["paths"]) == {"/api/v1/provinces", "/api/v1/communes", "/api/v1/gaps"}
    assert {p["name"] for p in schema["paths"]["/api/v1/gaps"]["get"]["parameters"]} == {"province", "indicator", "vintage"}
    for path in (*schema["paths"], "/metrics", "/healthz", "/readyz", "/api/v1/schema/openapi.json"):
        assert f'href="{path}"' in index
        assert ask(app, path).status_code in {200, 503}
