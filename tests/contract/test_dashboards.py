"""The dashboards as files: up to date, whole, alike in both languages, and such that Grafana can provision them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import build
from dashboards.alerts import ALERTS
from dashboards.messages import CATALOGUE, LANGS, read
from dashboards.names import DATASOURCE_UID, Board, Panel, uid
from dashboards.promql import VERDICT_CODES
from dashboards.sdk import Dashboard, JSONEncoder
from feed.snapshot import LeftOut
from phusong.events import Origin, Reason
from phusong.evidence import Outcome
from phusong.periods import Period
from phusong.register import Base
from phusong.rows import Mark, State, Verdict
from phusong.topics import SOURCES
from streams.notify_metrics import End
from tests import boards

UIDS = {"phusong-province", "phusong-indicator", "phusong-gaps", "phusong-reporting", "phusong-pipeline"}
"""Links, bookmarks and alerts point to them: for ever."""

ADDED_BY_THE_SDK = {"placement"}
"""Said on reading where nothing was said; see boards._plain."""


def again(board: boards.Json) -> Any:
    """Read by the SDK and written again: it drops what it does not know."""
    return json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))


def dropped(before: Any, after: Any, at: str = "") -> list[str]:
    """What is in the one and not, or not the same, in the other; and what the other says beyond that."""
    if isinstance(before, dict) and isinstance(after, dict):
        lost = [f"{at}.{key}: gone" for key in before.keys() - after.keys()]
        lost += [f"{at}.{key}: added" for key in after.keys() - before.keys() - ADDED_BY_THE_SDK]
        return lost + [one for key in before.keys() & after.keys() for one in dropped(before[key], after[key], f"{at}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [one for number, (left, right) in pairs for one in dropped(left, right, f"{at}[{number}]")]
    return [] if before == after else [f"{at}: {before!r} became {after!r}"]


def texts(value: Any) -> list[str]:
    """Every string in a dashboard."""
    if isinstance(value, dict):
        return [*value, *(one for inner in value.values() for one in texts(inner))]
    if isinstance(value, list):
        return [one for inner in value for one in texts(inner)]
    return [value] if isinstance(value, str) else []


def test_generated_files_are_up_to_date() -> None:
    """What is committed is what `python -m dashboards.build` writes."""
    assert build.drift(build.HERE) == []
    assert build.main(["--check"]) == 0


def test_check_notices_missing_changed_and_left_over_files(tmp_path: Path) -> None:
    """Each kind of drift is named."""
    directory = tmp_path / "grafana" / "dashboards" / "vi"
    directory.mkdir(parents=True)
    (directory / "old.json").write_text("{}")
    (directory / "phusong-province.json").write_text("{}")
    problems = build.drift(tmp_path)
    assert "grafana/dashboards/vi/old.json: nothing generates it; Grafana would load it" in problems
    assert "grafana/dashboards/vi/phusong-province.json: differs from its source" in problems
    assert "prometheus/rules.yml: missing" in problems


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_a_dashboard_survives_the_schema_and_a_misspelt_key_does_not(path: Path) -> None:
    """Nothing is dropped, changed or added on the way through the SDK, and what it does not know would be noticed."""
    board = boards.board(path)
    assert dropped(board, again(board)) == []
    assert dropped(board | {"refersh": "30s"}, again(board | {"refersh": "30s"})) == [".refersh: gone"]


def test_there_are_five_dashboards_in_two_languages_under_uids_that_never_change() -> None:
    """The file is named after the uid; the Vietnamese one has the plain uid."""
    assert {board.value for board in Board} == UIDS
    assert {path.parent.name: {one.stem for one in boards.PATHS if one.parent == path.parent} for path in boards.PATHS} == {
        lang: {uid(board, lang) for board in Board} for lang in LANGS
    }
    for path in boards.PATHS:
        assert boards.board(path)["uid"] == path.stem


@pytest.mark.parametrize("path", boards.PATHS, ids=boards.IDS)
def test_a_dashboard_can_be_provisioned_from_a_file(path: Path) -> None:
    """Classic schema 42, no id, no inputs, not editable, the one datasource by its literal uid, Vietnam's time."""
    board = boards.board(path)
    text = path.read_text("utf-8")
    assert board["schemaVersion"] == 42
    assert board.get("id") is None
    assert board["editable"] is False
    assert "__inputs" not in board
    assert "${DS_" not in text
    sources = re.findall(r'"datasource": ({[^}]*})', text)
    assert {json.dumps(json.loads(one), sort_keys=True) for one in sources} == {f'{{"type": "prometheus", "uid": "{DATASOURCE_UID}"}}'}
    assert board["timezone"] == "Asia/Ho_Chi_Minh"


def test_both_languages_ask_the_same_and_look_alike() -> None:
    """Only words differ: ids, places, kinds and queries are the same but for the label that a name is read from."""

    def without_words(path: Path) -> list[Any]:
        return [
            (panel["id"], panel["type"], panel["gridPos"], [one["expr"].replace("name_vi", "name_en") for one in panel["targets"]])
            for panel in boards.board(path)["panels"]
        ]

    for path in boards.PATHS:
        if path.parent.name == "vi":
            english = path.parents[1] / "en" / f"{path.stem}-en.json"
            assert without_words(path) == without_words(english)
            assert boards.board(path)["title"] != boards.board(english)["title"]


@pytest.mark.parametrize("path", [path for path in boards.PATHS if path.parent.name == "en"], ids=lambda path: path.stem)
def test_nothing_vietnamese_is_left_in_the_english_set(path: Path) -> None:
    """But for the link to the other language and the province that it opens on."""
    board = boards.board(path)
    letters = "ăâđêôơưáàảãạắằẳẵặấầẩẫậéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ"
    left = {text for text in texts({**board, "links": [], "templating": {}}) if set(text.casefold()) & set(letters)}
    assert left == set()


def test_the_two_folders_are_two_providers_that_delete_and_edit_nothing() -> None:
    """apiVersion 1: what Grafana 11 to 13 read; the folder's uid is fixed, too."""
    provided = yaml.safe_load(build.rendered()["grafana/provisioning/dashboards/phusong.yaml"])
    assert provided["apiVersion"] == 1
    found = {one["folderUid"]: (one["folder"], one["options"]["path"]) for one in provided["providers"]}
    assert found == {
        "phusong-vi": ("Phủ sóng", "/etc/grafana/dashboards/vi"),
        "phusong-en": ("Coverage (English)", "/etc/grafana/dashboards/en"),
    }
    assert all(one["disableDeletion"] and not one["allowUiUpdates"] for one in provided["providers"])


def test_alerts_point_to_panels_that_exist() -> None:
    """The link in an alert opens the panel that shows it; each panel that is reserved for one is there, in both languages."""
    there = {(path.stem, panel["id"]) for path, panel in boards.panels()}
    assert {(uid(alert.board, lang), int(alert.panel)) for alert in ALERTS for lang in LANGS} <= there
    assert {int(panel) for panel in Panel} <= {number for _, number in there}


def test_panel_ids_are_unique_over_all_dashboards() -> None:
    """So that an id alone says which panel is meant."""
    ids = [panel["id"] for path, panel in boards.panels() if path.parent.name == "vi"]
    assert len(set(ids)) == len(ids)


def test_every_value_of_the_core_has_words_and_a_colour() -> None:
    """A word that the core adds must not reach operators as a bare identifier."""
    common = read("common")
    for section, values in (
        ("verdicts", Verdict),
        ("states", State),
        ("origins", Origin),
        ("marks", Mark),
        ("bases", Base),
        ("periods", Period),
        ("domains", SOURCES),
        ("reasons", Reason),
        ("outcomes", {outcome.name.lower() for outcome in Outcome} | {"rejected"}),
        ("left_out", LeftOut),
        ("deliveries", End),
    ):
        assert set(common[section]) == set(values), section
    assert set(VERDICT_CODES) == set(Verdict)


def test_every_word_of_the_catalogue_is_used_and_in_both_languages() -> None:
    """A text that nothing shows would be translated for nothing."""
    shown = {lang: {text for path in boards.PATHS if path.parent.name == lang for text in texts(boards.board(path))} for lang in LANGS}
    for file in CATALOGUE.glob("*.toml"):
        for section, words in read(file.stem).items():
            entries = words.items() if file.stem == "common" else [(section, words)]
            for key, entry in entries:
                assert entry.keys() - {"colour"} == set(LANGS), f"{file.name}: {key}"
                for lang in LANGS:
                    text = entry[lang]["title"] if isinstance(entry[lang], dict) else entry[lang]
                    assert any(text in one for one in shown[lang]), f"{file.name}: {section}.{key} is not used"
