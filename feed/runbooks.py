"""The runbooks as pages: /runbooks lists them, /runbooks/{alert} is what to do when that alert fires.

Comes in: docs/runbooks/*.md, read once. Goes out: HTML without scripts. Owns no state. A name that is no runbook gets a page of 404 with
those that there are.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from markdown_it import MarkdownIt

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "runbooks"
PATH = "/runbooks"
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
}
_PAGE = """<!doctype html>
<html lang="vi">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="/wallboard/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/wallboard/style.css">
</head>
<body class="runbook">
<header><div class="name">
<a class="home" href="/">Phủ sóng</a> · <a href="{path}">Hướng dẫn xử lý · <span lang="en">Runbooks</span></a>
</div></header>
<main id="main">{content}</main>
</body>
</html>
"""
_LINK = re.compile(r'href="([A-Za-z]+)\.md(#[^"]*)?"')
_ENGLISH = "<h2>English</h2>"
_MEANING = re.compile(r"^\*\*Nghĩa là gì\.\*\* (.+?)\n\n", re.DOTALL | re.MULTILINE)


def runbooks() -> list[HTTPRouteHandler]:
    """The list and the pages."""
    texts = {file.stem: file.read_text("utf-8") for file in sorted(DIRECTORY.glob("*.md"))}
    pages = {name: _rendered(text) for name, text in texts.items()}
    items = "".join(
        f'<li><a href="{PATH}/{html.escape(name)}">{html.escape(name)}</a>{_meaning(text)}</li>' for name, text in texts.items()
    )
    listed = f'<h1>Hướng dẫn xử lý cảnh báo</h1><p lang="en">What to do when an alert fires.</p><ul>{items}</ul>'

    @get(PATH, sync_to_thread=False)
    def index() -> Response[str]:
        return _answer("Hướng dẫn xử lý cảnh báo", listed)

    @get(PATH + "/{name:str}", sync_to_thread=False)
    def runbook(name: FromPath[str]) -> Response[str]:
        if name not in pages:
            return _answer("404", f'<p>Không có trang này. <span lang="en">There is no such runbook.</span></p>{listed}', 404)
        return _answer(name, pages[name])

    return [index, runbook]


def _meaning(text: str) -> str:
    """What the alert means, in Vietnamese, from its runbook: the name alone tells an operator nothing."""
    found = _MEANING.search(text)
    return MarkdownIt("commonmark", {"html": False}).render(found[1]) if found else ""


def _rendered(text: str) -> str:
    """Markdown as HTML; markup in it is shown, not obeyed."""
    content = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    content = _LINK.sub(lambda match: f'href="{PATH}/{match[1]}{match[2] or ""}"', content)
    vietnamese, heading, english = content.partition(_ENGLISH)
    return f'{vietnamese}<section lang="en">{heading}{english}</section>' if heading else vietnamese


def _answer(title: str, content: str, status: int = 200) -> Response[str]:
    return Response(_PAGE.format(title=html.escape(title), path=PATH, content=content), status_code=status, headers=HEADERS)
