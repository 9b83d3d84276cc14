"""The documents say what the code does: examples are read by the reader, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phusong.events import Reason, decode, encode

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("seeds/*.md"), *ROOT.glob("dashboards/*.md"), *ROOT.glob("bench/*.md")]
)


def test_the_example_event_in_the_docs_is_one() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/events.md").read_text(), re.DOTALL)
    event = decode(example.encode())
    assert decode(encode(event)) == event


def test_every_reject_reason_is_explained() -> None:
    explained = (ROOT / "docs/events.md").read_text().partition("## What a bad record gets")[2]
    assert set(re.findall(r"\b[a-z_]+\b", explained)) >= set(Reason)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_setting_is_in_the_page_on_operation() -> None:
    from phusong.settings import Settings

    text = (ROOT / "docs/operation.md").read_text()
    assert [name for name in Settings.model_fields if name.upper() not in text] == []


def test_every_example_of_ack_says_which_province() -> None:
    """The shipped rows have two provinces: without it the command refuses."""
    pages = [*PAGES, *(ROOT / "docs" / "runbooks").glob("*.md"), ROOT / "ops" / "acknowledging.py"]
    shown = [found for page in pages for found in re.findall(r"phusong ack [a-z_]+\.[a-z_0-9]+ ([^`\n]+)", page.read_text("utf-8"))]
    assert len(shown) >= 7
    assert all(one.startswith("--province 08 ") for one in shown)
