"""phusong/events.py: writing and reading are inverse, and no bytes escape the closed set of reasons."""

from __future__ import annotations

import contextlib
import json
import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from phusong.events import Event, Rejected, Statement, Withdrawal, data_bytes, decode, encode
from tests.models import model
from tests.strategies import any_events, events, field_names, follow_ups
from tests.worlds import challenged, promised, stated, withdrawn


@given(any_events())
def test_decoding_what_was_encoded_gives_the_same_event(event: Event) -> None:
    assert decode(encode(event)) == event


@given(any_events())
def test_binary_mode_reads_the_same_event(event: Event) -> None:
    plain = json.loads(encode(event))
    headers: list[tuple[str, bytes | None]] = [
        (f"ce_{name}", plain[name].encode()) for name in ("specversion", "id", "source", "type", "time")
    ]
    assert decode(json.dumps(plain["data"]).encode(), headers) == event


@given(any_events(), st.booleans())
def test_an_event_written_in_nfd_is_the_event_in_nfc(event: Event, ascii_only: bool) -> None:
    plain = json.loads(encode(event), object_pairs_hook=lambda pairs: {k: _nfd(v) for k, v in pairs})
    written = json.dumps(plain, ensure_ascii=ascii_only).encode()
    assert encode(decode(written)) == encode(event)


def _nfd(value: object) -> object:
    if isinstance(value, str):
        return unicodedata.normalize("NFD", value)
    return [_nfd(one) for one in value] if isinstance(value, list) else value


@given(st.one_of(st.binary(max_size=300), st.builds(lambda text: text.encode(), st.text(max_size=300))))
@example(b'{"specversion":"1.0"}')
def test_any_bytes_are_an_event_or_rejected(value: bytes) -> None:
    with contextlib.suppress(Rejected):
        decode(value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2023-06-30T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


_EACH_TYPE = (stated(), withdrawn(), promised(), challenged())


@settings(max_examples=200)
@given(st.sampled_from(_EACH_TYPE), st.data(), _json)
def test_any_value_in_any_field_is_an_event_or_rejected(event: Event, data: st.DataObject, value: object) -> None:
    plain = json.loads(encode(event))
    inner = sorted(field_names(type(event.data)))
    field = data.draw(st.sampled_from(["specversion", "id", "source", "type", "time", "data", *inner]))
    (plain["data"] if field in inner else plain)[field] = value
    with contextlib.suppress(Rejected):
        decode(json.dumps(plain).encode())


@given(st.one_of(events(model()), follow_ups(model())))
def test_the_data_bytes_hold_every_word_that_was_said(event: Event) -> None:
    """Two events tie in the slot order only if nothing that counts tells them apart."""
    assert set(json.loads(data_bytes(event))) <= field_names(type(event.data))
    assert field_names(Withdrawal) < field_names(Statement)
    assert decode(encode(event)).data == event.data
