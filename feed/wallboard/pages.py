"""The wallboard's pages and files: `/`, a page for each indicator and commune, and what they load, all from this package.

Comes in: GET requests, a language (`?lang=`, then remembered in a cookie) and a province. Goes out: skeletons with their words and
headings; the figures are fetched by static/ from /api/v1, as everybody's are. Owns no state. An indicator or a commune that is not known
gets a page of 404 that says what there is; a language that is not known gets the default.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from feed.problems import Refused
from phusong.rules import Rules

Lang = Literal["vi", "en"]
AnyRequest = Request[Any, Any, Any]

FILES = "/wallboard"
COOKIE = "phusong_lang"
_COOKIE_SECONDS = 400 * 86_400  # browsers keep none longer
_KEPT_MAX = 100
"""Characters of a parameter that a link to the other language repeats."""

HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

_HERE = files(__package__)
_STATIC = {one.name: one.read_bytes() for one in (_HERE / "static").iterdir() if one.name[one.name.rfind(".") :] in _TYPES}
_TAGS = {name: f'"{hashlib.sha256(content).hexdigest()[:16]}"' for name, content in _STATIC.items()}
_PAGE = Template((_HERE / "page.html").read_text("utf-8"))
_WORDS: dict[str, tuple[str, str]] = msgspec.json.decode((_HERE / "words.json").read_bytes(), type=dict[str, tuple[str, str]])


def words(lang: Lang) -> dict[str, str]:
    """Every word of the pages in a language, by its name."""
    place = 0 if lang == "vi" else 1
    return {name: both[place] for name, both in _WORDS.items()}


def wallboard(rules: Rules, links: Iterable[tuple[str, str]]) -> list[HTTPRouteHandler]:
    """The pages; `links` are the feed's other addresses, named at the foot of each, with their descriptions."""
    foot = "".join(f'<li><a href="{html.escape(path)}">{html.escape(path)}</a> {html.escape(text)}</li>' for path, text in links)
    indicators, units = rules.catalogue.indicators, rules.register.units

    @get("/", sync_to_thread=False)
    def wall(request: AnyRequest) -> Response[str]:
        lang = _lang(request)
        return _page(request, lang, foot, page="wall", title=words(lang)["brand"])

    @get("/indicators/{indicator:str}", sync_to_thread=False)
    def indicator(request: AnyRequest, indicator: FromPath[str]) -> Response[str]:
        lang = _lang(request)
        found = indicators.get(indicator)
        if found is None:
            listed = [(f"/indicators/{quote(one.id)}", one.name_vi if lang == "vi" else one.name_en) for one in indicators.values()]
            return _not_found(request, lang, foot, "not_found_indicator", listed)
        title = found.name_vi if lang == "vi" else found.name_en
        return _page(request, lang, foot, page="indicator", title=title, indicator=found.id)

    @get("/communes/{vintage:str}/{commune:str}", sync_to_thread=False)
    def commune(request: AnyRequest, vintage: FromPath[str], commune: FromPath[str]) -> Response[str]:
        lang = _lang(request)
        unit = units.get((vintage, commune))
        if unit is None:
            listed = [(f"/indicators/{quote(one.id)}", one.name_vi if lang == "vi" else one.name_en) for one in indicators.values()]
            return _not_found(request, lang, foot, "not_found_commune", listed)
        return _page(
            request, lang, foot, page="commune", title=unit.name, vintage=unit.vintage, commune=unit.code, province_of_page=unit.province
        )

    @get(FILES + "/{name:str}", sync_to_thread=False)
    def static(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        if name not in _STATIC:
            raise Refused(404, "there is no such file")
        # asked for again each time whether it is still the same: after an upgrade no page runs yesterday's program
        headers = {"etag": _TAGS[name], "cache-control": "no-cache", "content-type": _TYPES[name[name.rfind(".") :]]}
        if request.headers.get("if-none-match", "") == _TAGS[name]:
            return Response(b"", status_code=304, headers=headers)
        return Response(_STATIC[name], headers=headers)

    return [wall, indicator, commune, static]


def _lang(request: AnyRequest) -> Lang:
    asked = request.query_params.get("lang") or request.cookies.get(COOKIE)
    return "en" if asked == "en" else "vi"


def _page(request: AnyRequest, lang: Lang, foot: str, *, page: str, title: str, **about: str) -> Response[str]:
    """A page's skeleton: what its script needs to know is in a block of data, which no browser runs."""
    said = words(lang)
    setup = msgspec.json.encode({"lang": lang, "page": page, "words": said, **about}).decode().replace("<", "\\u003c")
    script = f'<script type="module" src="{FILES}/{page}.js"></script>'
    return _answer(request, lang, foot, 200, page=page, title=title, setup=setup, script=script, content="")


def _not_found(request: AnyRequest, lang: Lang, foot: str, why: str, listed: Iterable[tuple[str, str]]) -> Response[str]:
    said = words(lang)
    items = "".join(f'<li><a href="{html.escape(path)}">{html.escape(text)}</a></li>' for path, text in listed)
    content = f"<section><p>{html.escape(said[why])}</p><ul>{items}</ul></section>"
    return _answer(request, lang, foot, 404, page="none", title=said["not_found"], setup="{}", script="", content=content)


def _answer(request: AnyRequest, lang: Lang, foot: str, status: int, *, page: str, title: str, **parts: str) -> Response[str]:
    said = words(lang)
    kept = {name: value[:_KEPT_MAX] for name, value in request.query_params.items() if name in ("province", "indicator")}
    plain: Mapping[str, str] = {
        **{name: html.escape(text) for name, text in said.items()},
        "lang": lang,
        "page": page,
        "title": html.escape(title),
        "other_link": html.escape("?" + urlencode({**kept, "lang": said["other_lang_code"]})),
        "foot": foot,
        **parts,
    }
    headers = dict(HEADERS)
    if request.query_params.get("lang") == lang:
        headers["set-cookie"] = f"{COOKIE}={lang}; Path=/; Max-Age={_COOKIE_SECONDS}; SameSite=Lax; HttpOnly"
    return Response(_PAGE.substitute(plain), status_code=status, headers=headers)
