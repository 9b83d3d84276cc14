"""Rows as JSON, CSV or GeoJSON, with a tag that tells whether an answer is still the same.

Comes in: rows, and what the request says of form. Goes out: bytes, media types, strong entity tags. Owns no state. A CSV has one line for
each row; of a row with a list of objects (targets, obligations) one for each of them. Text that a spreadsheet would take for a formula
begins with an apostrophe. A form that cannot be had is `Refused` with 406.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from litestar.datastructures import Accept
from msgspec import Struct, inspect

from feed.headings import HEADINGS
from feed.problems import Refused, quoted
from feed.query import Query
from feed.resources import Point

MEDIA_TYPES = {"json": "application/json", "csv": "text/csv", "geojson": "application/geo+json"}
CONTENT_TYPES = {**MEDIA_TYPES, "csv": "text/csv; charset=utf-8; header=present"}

_ACCEPT_CHARACTERS_MAX = 1_000
# with those that look like them in the scripts that a spreadsheet folds, and what it skips before them
_FORMULA_STARTS = frozenset("=+-@＝＋－＠\t\r\n")

_encode = msgspec.json.Encoder().encode

Plain = dict[str, Any]


class Column(Struct, frozen=True):
    """A column of a CSV: where its cell is found in a row of plain objects."""

    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """The names of the fields on the way, with dots."""
        return ".".join(self.path)


def form_of(query: Query, accept: str, formats: Sequence[str]) -> str:
    """json, csv or geojson: what the query says, else the header Accept, else JSON. Raises Refused."""
    if query.format:
        return query.format
    if not accept:
        return "json"
    offered = [MEDIA_TYPES[one] for one in formats]
    try:
        if len(accept) > _ACCEPT_CHARACTERS_MAX:
            raise ValueError
        match = Accept(accept).best_match(offered)
    except ValueError:
        match = None
    if match is None:
        raise Refused(406, f"Accept {quoted(accept)} is none of what there is: {', '.join(offered)}", known=offered)
    return next(one for one in formats if MEDIA_TYPES[one] == match)


def body_of(form: str, rows: Sequence[Struct], kind: type[Struct], query: Query, point: Callable[[Any], Point | None]) -> bytes:
    """The rows, all of `kind`, in that form."""
    if form == "csv":
        return _csv(rows, kind, query)
    if form == "geojson":
        return _encode({"type": "FeatureCollection", "features": [_feature(row, point(row)) for row in rows]})
    return _encode(rows)


def tag_of(versions: Iterable[object], *more: object) -> str:
    """A strong entity tag: the same for the same versions in the same form, and for no others."""
    digest = hashlib.sha256(msgspec.json.encode((list(versions), more)))
    return f'"{digest.hexdigest()[:32]}"'


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has that already."""
    known = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return tag in known or known == {"*"}


@cache
def columns_of(kind: type[Struct]) -> tuple[tuple[Column, ...], str]:
    """The columns of a CSV, and the field, if any, that holds a list of objects."""
    columns: list[Column] = []
    listed = ""
    for field in _struct(inspect.type_info(kind)).fields:
        name, type_ = field.encode_name, _without_none(field.type)
        inner = _items(type_)
        if inner is not None:
            listed = name
            columns += [Column((name, one.encode_name)) for one in inner.fields]
        elif isinstance(type_, inspect.StructType):
            columns += [Column((name, one.encode_name)) for one in type_.fields]
        elif isinstance(type_, inspect.DictType) and isinstance(type_.key_type, inspect.EnumType):
            columns += [Column((name, str(one.value))) for one in type_.key_type.cls]
        else:
            columns.append(Column((name,)))
    return tuple(columns), listed


def _struct(type_: inspect.Type) -> inspect.StructType:
    assert isinstance(type_, inspect.StructType)  # noqa: S101 - every row is one
    return type_


def _without_none(type_: inspect.Type) -> inspect.Type:
    if isinstance(type_, inspect.UnionType):
        kept = [one for one in type_.types if not isinstance(one, inspect.NoneType)]
        return kept[0] if len(kept) == 1 else type_
    return type_


def _items(type_: inspect.Type) -> inspect.StructType | None:
    """Of a list of objects: the objects."""
    item = getattr(type_, "item_type", None)
    return item if isinstance(item, inspect.StructType) else None


def _csv(rows: Sequence[Struct], kind: type[Struct], query: Query) -> bytes:
    columns, listed = columns_of(kind)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([HEADINGS[one.name] if query.lang == "vi" else one.name for one in columns])
    for row in rows:
        plain: Plain = msgspec.to_builtins(row)
        for line in _lines(plain, listed):
            writer.writerow([_cell(_found(line, one.path)) for one in columns])
    return out.getvalue().encode("utf-8-sig" if query.bom else "utf-8")


def _lines(plain: Plain, listed: str) -> Iterator[Plain]:
    if not listed:
        yield plain
        return
    objects: list[Plain] = plain[listed]
    yield from ({**plain, listed: one} for one in objects or [{}])


def _found(plain: Plain, path: tuple[str, ...]) -> object:
    value: Any = plain
    for name in path:
        value = None if value is None else value.get(name)
    return value


def _cell(value: object) -> str | int | float:
    """A cell: numbers as they are, nothing for None, lists and tables in one text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        text = "; ".join(f"{name}: {_inner(one)}" for name, one in value.items())
    elif isinstance(value, list | tuple):
        text = "; ".join(str(one) for one in value)
    else:
        text = str(value)
    return f"'{text}" if text.lstrip(" \u00a0\ufeff")[:1] in _FORMULA_STARTS and text else text


def _inner(value: object) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)


def _feature(row: Any, point: Point | None) -> Plain:
    geometry = None if point is None else {"type": "Point", "coordinates": point}
    return {"type": "Feature", "id": row.key, "geometry": geometry, "properties": row}
