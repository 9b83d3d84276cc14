"""The core is pure: no I/O, no clock, no environment, no logging, no randomness, no state of a module; read off its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import phusong

ROOT = Path(phusong.__file__).parent
MODULES = sorted(file.stem for file in ROOT.glob("*.py") if file.stem != "settings")

ALLOWED = {
    *("__future__", "calendar", "collections", "csv", "datetime", "enum", "fractions", "functools", "hashlib", "heapq", "io"),
    *("itertools", "math", "msgspec", "phusong", "re", "tokenize", "tomllib", "types", "typing", "unicodedata"),
}
"""What the core may import. Nothing here can read a file, a clock or the environment, but for what is looked for below."""
REACHING_OUT = {"now", "utcnow", "today", "open", "FileIO"}
FORBIDDEN = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint", "globals"}
CHANGES = {
    *("append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear", "sort"),
    *("reverse", "subtract", "appendleft"),
}
CONTAINERS = {"list", "dict", "set", "Counter", "defaultdict", "deque"}


def touches_outside(tree: ast.Module) -> Iterator[str]:
    """Every import and call through which a module reaches beyond its arguments."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REACHING_OUT:
            yield f"line {node.lineno}: reaches out with {node.func.attr}()"
        elif isinstance(node, ast.Call) and _name(node.func) in FORBIDDEN:
            yield f"line {node.lineno}: calls {_name(node.func)}()"
        yield from (f"imports {name}" for name in names if name.partition(".")[0] not in ALLOWED)


def keeps_something(tree: ast.Module) -> Iterator[str]:
    """Every name of a module that is no constant, type or codec, and every place where one of its names is changed."""
    kept = {name for node in tree.body for name in _assigned(node)}
    for node in tree.body:
        for name in _assigned(node):
            if not (name.lstrip("_")[0].isupper() or name.startswith(("_decode", "_encode"))):
                yield f"line {node.lineno}: {name} is neither a constant, a type nor a codec"
            if _starts_empty(node):
                yield f"line {node.lineno}: {name} starts empty, so somebody means to fill it"
    for inner in ast.walk(tree):
        changed = ""
        if isinstance(inner, ast.Global):
            yield f"line {inner.lineno}: global {', '.join(inner.names)}"
        elif isinstance(inner, ast.Subscript | ast.Attribute) and isinstance(inner.ctx, ast.Store | ast.Del):
            changed = _name(inner.value)
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in CHANGES:
            changed = _name(inner.func.value)
        if changed in kept:
            yield f"{changed}, which the module keeps, is changed"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def _starts_empty(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Call):
        return _name(value.func) in CONTAINERS and not value.args
    return isinstance(value, ast.List | ast.Set | ast.Dict) and ast.unparse(value) in {"[]", "{}"}


@pytest.mark.parametrize("module", MODULES)
def test_the_core_touches_nothing_outside_and_keeps_nothing(module: str) -> None:
    tree = ast.parse((ROOT / f"{module}.py").read_text("utf-8"))
    assert [*touches_outside(tree), *keeps_something(tree)] == []


def test_every_module_of_the_core_is_looked_at() -> None:
    assert {"events", "evidence", "views", "unions", "assessment", "province", "admission", "rules", "rows", "periods"} <= set(MODULES)


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "import os.path",
        "from pathlib import Path",
        "def f():\n    import logging",
        "import random",
        "import io\ndef f(path):\n    return io.open(path)",
        "from datetime import datetime\nSTARTED = datetime.now()",
        "def f():\n    return date.today()",
        "def f():\n    print(1)",
        "def f(path):\n    return open(path)",
        "_cache = {}",
        "CACHE: dict[str, int] = {}",
        "SEEN = set()",
        "ROWS = {'a': 1}\ndef f():\n    ROWS['b'] = 2",
        "ROWS = [1]\ndef f():\n    ROWS.append(2)",
        "ROWS = {'a': 1}\ndef f():\n    del ROWS['a']",
        "N = 1\ndef f():\n    global N\n    N = 2",
        "counter = 1",
    ],
)
def test_this_test_sees_what_it_looks_for(text: str) -> None:
    tree = ast.parse(text)
    assert [*touches_outside(tree), *keeps_something(tree)] != []
