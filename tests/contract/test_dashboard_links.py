"""Where the dashboards lead: to each other, to the other language, to the wallboard, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dashboards.names import WALLBOARD, Board, uid
from tests import boards
from tests.boards import Json

PAGES = (r"/", r"/indicators/[^/]+", r"/communes/[^/]+/[^/]+")
"""The wallboard's addresses."""


def lang(path: Path) -> str:
    return path.parent.name


def links(panel: Json) -> list[str]:
    """Addresses behind the cells of a panel."""
    return [link["url"] for _, name, value in boards.overrides(panel) if name == "links" for link in value]


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_every_dashboard_leads_to_the_others_in_its_language_and_to_itself_in_the_other(path: Path) -> None:
    """General to specific, with the chosen province, indicator and time."""
    board = next(board for board in Board if board == boards.name(path))
    other = "en" if lang(path) == "vi" else "vi"
    inside = [link for link in boards.board(path)["links"] if link["url"].startswith("/d/")]
    assert [link["url"] for link in inside] == [
        *(f"/d/{uid(one, lang(path))}" for one in Board if one is not board),
        f"/d/{uid(board, other)}",
    ]
    for link in inside:
        assert link["includeVars"]
        assert link["keepTime"]
        assert not link["targetBlank"]
        assert "placement" not in link, "it would hide behind a button"


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_no_link_leads_anywhere_but_to_a_dashboard_and_to_a_page_of_the_wallboard(path: Path) -> None:
    """In the same language; no other host appears in the file at all."""
    text = path.read_text("utf-8")
    assert {host.rstrip("/") for host in re.findall(r"https?://[^/\"]+/?", text)} == {WALLBOARD}
    every = [
        *(link["url"] for link in boards.board(path)["links"]),
        *(url for panel in boards.board(path)["panels"] for url in links(panel)),
    ]
    for url in every:
        if url.startswith("/d/"):
            assert url[3:].partition("?")[0] in boards.IDS
        else:
            page, _, query = url.removeprefix(WALLBOARD).partition("?")
            assert any(re.fullmatch(pattern, page) for pattern in PAGES), url
            assert f"lang={lang(path)}" in query.split("&")


@pytest.mark.parametrize(
    ("path", "panel"), [pytest.param(path, panel, id=f"{path.stem}-{panel['id']}") for path, panel in boards.panels() if links(panel)]
)
def test_a_link_in_a_row_is_made_of_columns_of_that_row(path: Path, panel: Json) -> None:
    """A field that is not there would leave a hole in the address; one whose values are mapped would put the word in."""
    mapped = {name for name, key, _ in boards.overrides(panel) if key == "mappings"}
    heads = boards.organized(panel)["renameByName"]
    for url in links(panel):
        for field in re.findall(r"\${__data\.fields\.(\w+)}", url):
            assert field in boards.columns(panel)
            assert heads[field] not in mapped
        there = {variable["name"] for variable in boards.variables(path)} | {"__url_time_range"}
        assert set(re.findall(r"\${(\w+)}", url)) <= there
        if url.startswith("/d/"):
            wanted = {
                variable["name"]
                for variable in boards.variables(next(one for one in boards.PATHS if one.stem == url[3:].partition("?")[0]))
            }
            assert set(re.findall(r"var-(\w+)=", url)) == wanted


def test_every_commune_and_every_indicator_in_a_table_leads_to_its_page() -> None:
    """Whoever sees a row can ask for its evidence."""
    for _, panel in boards.panels():
        if panel["type"] == "table":
            there = boards.columns(panel)
            urls = links(panel)
            if "commune" in there:
                assert any("/communes/" in url for url in urls), panel["title"]
            if "indicator" in there:
                assert any("/indicators/" in url for url in urls), panel["title"]
