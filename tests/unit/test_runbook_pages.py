"""The runbooks as the feed serves them."""

from __future__ import annotations

import re

from litestar import Litestar

from feed.runbooks import DIRECTORY, _rendered, runbooks
from tests.feeds import ask

APP = Litestar(runbooks(), openapi_config=None, logging_config=None)


def test_every_runbook_is_a_page_in_both_languages() -> None:
    names = sorted(file.stem for file in DIRECTORY.glob("*.md"))
    listed = ask(APP, "/runbooks").text
    assert re.findall(r'href="/runbooks/(\w+)"', listed) == names
    for name in names:
        page = ask(APP, f"/runbooks/{name}")
        assert page.status_code == 200
        assert "Tiếng Việt" in page.text
        assert '<section lang="en"><h2>English</h2>' in page.text


def test_the_list_says_in_vietnamese_what_each_alert_means() -> None:
    listed = ask(APP, "/runbooks").text
    assert listed.count("</a><p>") == len(list(DIRECTORY.glob("*.md")))
    assert "đơn vị phải báo cáo còn nợ báo cáo" in listed


def test_links_between_runbooks_lead_to_pages_that_are_there() -> None:
    for file in DIRECTORY.glob("*.md"):
        page = ask(APP, f"/runbooks/{file.stem}").text
        assert ".md" not in "".join(re.findall(r'href="([^"]*)"', page))
        for link in re.findall(r'href="(/runbooks/\w+)', page):
            assert ask(APP, link).status_code == 200, (file.name, link)


def test_a_name_that_is_no_runbook_is_not_found_and_not_repeated() -> None:
    answer = ask(APP, "/runbooks/%3Cscript%3E")
    assert answer.status_code == 404
    assert "script" not in answer.text
    assert "CoverageBelowTarget" in answer.text


def test_markup_in_a_runbook_is_shown_and_not_obeyed() -> None:
    assert "<script>" not in _rendered("<script>x</script>")
