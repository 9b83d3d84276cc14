"""The wallboard's pages and files as the feed serves them: words, languages, addresses, and what an answer may hold."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from litestar import Litestar

import feed.wallboard
from feed.wallboard.pages import words
from ops import table
from phusong.events import Origin
from phusong.register import Base
from phusong.rows import CauseKind, Mark, State, Verdict
from tests.feeds import ask, filled

HERE = files(feed.wallboard)
SCRIPTS = {one.name: one.read_text("utf-8") for one in (HERE / "static").iterdir() if one.name.endswith(".js")}
PAGE = (HERE / "page.html").read_text("utf-8")
SERVER = (HERE / "pages.py").read_text("utf-8")


@pytest.fixture(scope="module")
def app() -> Litestar:
    return filled()


def setup_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="setup">(.*?)</script>', page)
    assert found
    read: dict[str, object] = json.loads(found[1])
    return read


def test_every_word_that_is_said_is_there_in_both_languages_and_none_is_left_over() -> None:
    known = words("vi")
    assert known.keys() == words("en").keys()
    scripts = "\n".join(SCRIPTS.values())
    assert set(re.findall(r'\bsay\(\s*"(\w+)"', scripts)) <= known.keys()
    named = set(re.findall(r'"(\w+)"', scripts + SERVER)) | set(re.findall(r"\$\{(\w+)\}", PAGE)) | {"brand"}
    families = tuple(re.findall(r"`(\w+_)\$\{", scripts))
    assert [name for name in known if name not in named and not name.startswith(families)] == []


@pytest.mark.parametrize(
    ("family", "codes"),
    [
        ("verdict", Verdict),
        ("state", State),
        ("mark", Mark),
        ("origin", Origin),
        ("cause", CauseKind),
        ("unit", Base),
        ("scope", table.SCOPES),
        ("method", table.METHODS),
        ("step", table.STEPS),
    ],
)
def test_every_code_of_the_api_has_its_words(family: str, codes: object) -> None:
    for code in codes:  # type: ignore[attr-defined]
        assert f"{family}_{code}" in words("vi")


def test_a_code_has_the_same_words_on_the_wall_as_in_the_terminal() -> None:
    vi = words("vi")
    for family, terms in (("verdict", table.VERDICTS), ("state", table.STATES), ("origin", table.ORIGINS), ("method", table.METHODS)):
        assert {code: vi[f"{family}_{code}"] for code in terms} == terms


def test_the_pages_own_files_ask_nobody_else_and_never_read_markup() -> None:
    for name, text in {**SCRIPTS, "page": PAGE, "style": (HERE / "static" / "style.css").read_text("utf-8")}.items():
        addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.]*\.[a-z]+[^\s\"']*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(|new Function", text), name


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/", "Phủ sóng"),
        ("/indicators/postal.staffed_point", None),
        ("/communes/2020-01-01/00002", "Xã Hai"),
    ],
)
def test_each_page_is_there_in_both_languages(app: Litestar, path: str, title: str | None) -> None:
    vi, en = ask(app, path), ask(app, f"{path}?lang=en")
    assert (vi.status_code, en.status_code) == (200, 200)
    assert '<html lang="vi">' in vi.text
    assert '<html lang="en">' in en.text
    assert setup_of(en.text)["lang"] == "en"
    assert setup_of(vi.text)["words"] == words("vi")
    if title:
        assert f">{title}</h1>" in vi.text
    policy = vi.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_each_page_leads_to_what_to_do_when_an_alert_fires(app: Litestar) -> None:
    for path in ("/", "/indicators/postal.staffed_point"):
        assert '<a href="/runbooks">Phải làm gì khi có cảnh báo</a>' in ask(app, path).text


def test_uncertain_is_explained_where_every_commune_has_reported_too() -> None:
    assert "không nêu tên nơi đã phủ" in words("vi")["because_uncertain"]
    assert "without the names of the places" in words("en")["because_uncertain"]


def test_a_language_is_remembered_once_it_was_asked_for(app: Litestar) -> None:
    assert "set-cookie" not in ask(app, "/").headers
    cookie = ask(app, "/?lang=en").headers["set-cookie"]
    assert "SameSite=Lax" in cookie
    assert '<html lang="en">' in ask(app, "/", cookie=cookie.partition(";")[0]).text
    assert '<html lang="vi">' in ask(app, "/?lang=vi", cookie=cookie.partition(";")[0]).text
    assert '<html lang="vi">' in ask(app, "/?lang=xx").text


@pytest.mark.parametrize("path", ["/indicators/postal.none", "/communes/2020-01-01/99999", "/communes/1999-01-01/00001"])
def test_what_is_not_known_gets_a_page_that_says_what_there_is(app: Litestar, path: str) -> None:
    answer = ask(app, path)
    assert answer.status_code == 404
    assert 'href="/indicators/postal.staffed_point"' in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_nothing_that_was_asked_is_said_back_as_markup(app: Litestar) -> None:
    evil = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E"
    for path in (
        f"/?province={evil}",
        f"/indicators/{evil.replace('/', '%2F')}",
        f"/?lang={evil}",
        f"/wallboard/{evil.replace('/', '%2F')}",
    ):
        assert "<script>alert" not in ask(app, path).text


def test_a_file_that_has_not_changed_is_not_sent_again_and_no_other_is_there(app: Litestar) -> None:
    first = ask(app, "/wallboard/wall.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert first.headers["cache-control"] == "no-cache"
    again = ask(app, "/wallboard/wall.js", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    for name in ("pages.py", "words.json", "page.html", "..%2Fpages.py", "none.js"):
        assert ask(app, f"/wallboard/{name}").status_code == 404
