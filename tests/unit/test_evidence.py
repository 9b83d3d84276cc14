"""What /api/v1/evidence is asked; what has no answer is refused with the remedy, before anything is read."""

from __future__ import annotations

import msgspec
import pytest
from litestar import Litestar

from feed.evidence import Explanation
from feed.examples import EVIDENCE
from feed.openapi import openapi
from tests.feeds import RULES, ask, filled

ABOUT = "commune=00001&indicator=postal.staffed_point"


@pytest.fixture(scope="module")
def app() -> Litestar:
    return filled()


@pytest.mark.parametrize(
    ("query", "parameter", "told"),
    [
        ("indicator=postal.staffed_point", "commune", "commune is missing; give one of each: commune, indicator"),
        ("commune=00001", "indicator", "indicator is missing; give one of each: commune, indicator"),
        (f"{ABOUT}&commune=00002", "commune", "commune is given twice"),
        (f"{ABOUT}&vintage=2020-01-01&vintage=2025-07-01", "vintage", "vintage is given twice"),
        ("commune=1&indicator=postal.staffed_point", "commune", "commune '1' is not known; one of: 00001"),
        ("commune=00001&indicator=postal.staffed", "indicator", "one of: broadcast.loudspeaker, postal.staffed_point"),
        (f"{ABOUT}&province=08", "province", "there is no parameter 'province' here; one of: as_of, commune, indicator, vintage"),
        (f"{ABOUT}&as_of=2023-06-01", "as_of", "as_of '2023-06-01' is no moment with an offset"),
        (f"{ABOUT}&as_of=2023-07-01T00:00:00Z", "as_of", "as_of lies ahead: it is 2023-06-30T00:00:00+00:00"),
        (f"{ABOUT}&as_of=2019-07-01T00:00:00Z", "as_of", "no list of communes was in force on 2019-07-01"),
        (f"{ABOUT}&vintage=2025-07-01", "vintage", "the list 2025-07-01 came or comes into force on 2025-07-01"),
        (
            "commune=00002&indicator=postal.staffed_point&vintage=2025-07-01",
            "commune",
            "commune 00002 is none of the list 2025-07-01; it is one of 2020-01-01: add vintage=2020-01-01",
        ),
    ],
)
def test_a_question_that_has_no_answer_is_refused_with_the_remedy(app: Litestar, query: str, parameter: str, told: str) -> None:
    answer = ask(app, f"/api/v1/evidence?{query}")
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert problem["parameter"] == parameter
    assert told in problem["detail"]


def test_evidence_is_had_as_json_alone(app: Litestar) -> None:
    assert ask(app, f"/api/v1/evidence?{ABOUT}", accept="text/csv").status_code == 406


def test_the_description_says_what_is_required_and_shows_an_explanation() -> None:
    operation = openapi(RULES, "1")["paths"]["/api/v1/evidence"]["get"]
    by_name = {one["name"]: one for one in operation["parameters"]}
    assert {name for name, one in by_name.items() if one["required"]} == {"commune", "indicator"}
    assert all(one["schema"]["type"] == "string" for one in by_name.values())
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert msgspec.convert(example, Explanation) == EVIDENCE
