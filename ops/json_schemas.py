"""JSON Schemas (2020-12) of what travels in Kafka, from the structs of the core.

Comes in: `Event` of phusong/events.py, the rows of phusong/rows.py, their docstrings, and the tables of docs/events.md. Goes out: plain
objects. Owns no state. A field that docs/events.md does not explain is a `KeyError`: explain it there.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from phusong import acknowledgements, events, rows
from phusong.acknowledgements import Acknowledged
from phusong.events import MAX_COUNT, Challenge, Event, Promise, Statement, Withdrawal
from phusong.rows import CommuneRow, ProvinceRow, VerdictEvent, Version

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOMENT = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$"
"""RFC 3339 as the reader takes it; `format` alone is an annotation in 2020-12."""

Schema = dict[str, Any]
_Structs = type[msgspec.Struct]

EVENTS: tuple[_Structs, ...] = typing.get_args(Event)
_ADMITTED: dict[tuple[_Structs, str], Schema] = {
    **{(kind, "commune"): {"pattern": "^[0-9]{5}$"} for kind in (Statement, Withdrawal, Promise, Challenge)},
    **{(Statement, name): {"minimum": 0, "maximum": MAX_COUNT} for name in ("covered", "expected")},
    **{(kind, "measured"): {"minItems": 1} for kind in (Statement, Withdrawal)},
    **{(kind, "places"): {"minItems": 1} for kind in (Promise, Challenge)},
}
"""What admission asks beyond the struct, as far as a schema can say it."""
_MEASURED: Schema = {
    "if": {"properties": {"measured": {"type": "array"}}, "required": ["measured"]},
    "then": {"properties": {"method": {"const": "measured"}}, "required": ["method"]},
}
_SHARED = {"challenged": ("places", "note")}
_FIELD_ROW = re.compile(r"^\| ([a-z_, ]+) \| (.+) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


def components(ref: str) -> tuple[dict[str, Schema], dict[_Structs, Schema]]:
    """Every schema by name, and the reference to that of each struct; `ref` as msgspec's `ref_template`."""
    structs: tuple[_Structs, ...] = (*EVENTS, CommuneRow, ProvinceRow, VerdictEvent, Acknowledged, Version)
    references, found = msgspec.json.schema_components(structs, ref_template=ref)
    schemas = {name: _tidy(schema) for name, schema in found.items()}
    documented = {**_attribute_docs(events), **_attribute_docs(rows), **_attribute_docs(acknowledgements)}
    for (name, field), text in documented.items():
        if name in schemas:
            schema = schemas[name]
            if "enum" in schema:
                schema["description"] += f" {field}: {text}"
            else:
                properties = schema.get("properties", {})
                _describe(properties, _encoded(name, field), text)
    for kind, meanings in _meanings().items():
        for name in kind.__struct_encode_fields__:
            _describe(schemas[kind.__name__]["properties"], name, meanings[name])
    for (narrowed, name), rule in _ADMITTED.items():
        _narrow(schemas[narrowed.__name__]["properties"][name], rule)
    for kind in (Statement, Withdrawal):
        schemas[kind.__name__] |= _MEASURED
    return schemas, dict(zip(structs, references, strict=True))


def documents() -> dict[str, Schema]:
    """File name -> a schema that stands alone: an event in structured mode, the two rows, a change of verdict, who has it."""
    schemas, references = components("#/$defs/{name}")
    events_schema: Schema = {
        "title": "Event",
        "description": "What a reporter sends, in structured mode. In binary mode the value is `data` alone (`$defs`: "
        + ", ".join(_data_of(kind).__name__ for kind in EVENTS)
        + "), the rest `ce_` headers. What no schema can say is in docs/contract/README.md.",
        "oneOf": [references[kind] for kind in EVENTS],
    }
    return {
        "event.schema.json": _alone("event", events_schema, schemas),
        "commune-row.schema.json": _alone("commune-row", references[CommuneRow], schemas),
        "province-row.schema.json": _alone("province-row", references[ProvinceRow], schemas),
        "verdict.schema.json": _alone("verdict", references[VerdictEvent], schemas),
        "acknowledgement.schema.json": _alone("acknowledgement", references[Acknowledged], schemas),
        "version.schema.json": _alone("version", references[Version], schemas),
    }


def tag_of(kind: _Structs) -> str:
    """The CloudEvents type of an event's struct."""
    return str(kind.__struct_config__.tag)


def _data_of(kind: _Structs) -> _Structs:
    data: _Structs = next(field.type for field in msgspec.structs.fields(kind) if field.name == "data")
    return data


def _alone(name: str, root: Schema, schemas: dict[str, Schema]) -> Schema:
    needed: dict[str, Schema] = {}
    left = [root]
    while left:
        for found in _references(left.pop()):
            if found not in needed:
                needed[found] = schemas[found]
                left.append(schemas[found])
    return {"$schema": DIALECT, "$id": f"urn:phusong:contract:{name}:v1", **root, "$defs": dict(sorted(needed.items()))}


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
        return own + [name for value in schema.values() for name in _references(value)]
    return [name for value in schema for name in _references(value)] if isinstance(schema, list) else []


def _tidy(schema: Any) -> Any:
    """msgspec's schema with one value as `const`, dates with their pattern, and docstrings without their line breaks."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {name: _tidy(value) for name, value in schema.items()}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = _one_line(tidy["description"])
    if isinstance(values := tidy.get("enum"), list) and all(isinstance(value, str) for value in values):
        if len(values) == 1:
            tidy["const"] = tidy.pop("enum")[0]
        tidy["type"] = "string"
    if tidy.get("format") == "date-time":
        tidy["pattern"] = MOMENT
    return tidy


def _narrow(schema: Schema, rule: Schema) -> None:
    # an optional field: the rule is for what is there
    chosen = next((one for one in schema["anyOf"] if one != {"type": "null"}), schema) if "anyOf" in schema else schema
    chosen |= rule


def _describe(properties: dict[str, Schema], name: str, text: str) -> None:
    schema = properties[name]
    if "$ref" in schema:
        # beside a reference nothing else counts in draft 7, which AsyncAPI builds on
        properties[name] = {"allOf": [{"$ref": schema.pop("$ref")}], **schema, "description": text}
    else:
        schema["description"] = text


def _meanings() -> dict[_Structs, dict[str, str]]:
    """What docs/events.md says of each field: the first table for every event, the later ones for the type named above them."""
    text = (Path(__file__).parents[1] / "docs/events.md").read_text().partition("## What a bad record gets")[0]
    common, promised, challenged = (_table(part) for part in re.split(r"^`vn\.phusong\.coverage\.\w+\.v1`", text, flags=re.MULTILINE))
    own = {"promised": promised, "challenged": {**{name: promised[name] for name in _SHARED["challenged"]}, **challenged}}
    found: dict[_Structs, dict[str, str]] = {}
    for kind in EVENTS:
        meanings = {**common, **own.get(tag_of(kind).split(".")[-2], {})}
        found[kind] = {**meanings, "specversion": "CloudEvents 1.0", "datacontenttype": "JSON", "data": "what is said"}
        found[_data_of(kind)] = meanings
    return found


def _table(text: str) -> dict[str, str]:
    return {name: _LINK.sub(r"\1", meaning) for names, meaning in _FIELD_ROW.findall(text) for name in names.split(", ")}


def _attribute_docs(module: types.ModuleType) -> dict[tuple[str, str], str]:
    """(class, attribute) -> the string that stands under the attribute."""
    found: dict[tuple[str, str], str] = {}
    for one in ast.parse(inspect.getsource(module)).body:
        if not isinstance(one, ast.ClassDef):
            continue
        for before, after in zip(one.body, one.body[1:], strict=False):
            if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)):
                continue
            if isinstance(before, ast.Assign) and isinstance(before.targets[0], ast.Name) and isinstance(before.value, ast.Constant):
                found[one.name, str(before.value.value)] = _one_line(after.value.value)
            elif isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
                found[one.name, before.target.id] = _one_line(after.value.value)
    return found


def _encoded(struct: str, field: str) -> str:
    kind = getattr(rows, struct, None) or getattr(acknowledgements, struct, None) or getattr(events, struct)
    return next(one.encode_name for one in msgspec.structs.fields(kind) if one.name == field)


def _one_line(text: str) -> str:
    return " ".join(text.split())
