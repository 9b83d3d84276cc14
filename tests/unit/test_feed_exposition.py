"""feed/exposition.py: what it writes is what prometheus_client writes of the same samples, in every format that a scraper may ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from feed.exposition import Line, encoder, head

ACCEPTS = (
    "",
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;version=0.0.1",
    "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8, text/plain;version=0.0.4;q=0.5",
)
LABELS = st.lists(
    st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: not name.startswith("__")),
    unique=True,
    max_size=6,
)
# no lone surrogates: neither side can write them, and msgspec reads none
VALUE = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text('{}"\\\n0a', max_size=5))
FIGURE = st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53), st.booleans())


class Registry(Collector):
    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> tuple[Metric, ...]:
        return self.families


@given(labels=LABELS, accept=st.sampled_from(ACCEPTS), data=st.data())
def test_a_family_is_written_as_prometheus_client_writes_it(labels: list[str], accept: str, data: st.DataObject) -> None:
    samples = data.draw(st.lists(st.tuples(st.tuples(*([VALUE] * len(labels))), FIGURE), max_size=4))
    text = data.draw(VALUE)
    family = GaugeMetricFamily("coverage_ratio", text, labels=labels)
    for values, figure in samples:
        family.add_metric(values, figure)
    theirs, _ = choose_encoder(accept)
    ours, _ = encoder(accept)
    # as many of the first labels as are the same in all samples
    shared = next(n for n in range(len(labels), -1, -1) if len({values[:n] for values, _ in samples}) <= 1)
    write = Line("coverage_ratio", labels).at(samples[0][0][:shared] if samples else [""] * len(labels))
    written = head(GaugeMetricFamily("coverage_ratio", text, labels=labels), ours)
    written += "".join(write(values[shared:], figure) for values, figure in samples).encode()
    assert written == theirs(Registry(family)).removesuffix(b"# EOF\n")


@pytest.mark.parametrize("accept", ACCEPTS)
def test_the_head_is_right_for_each_kind_of_family(accept: str) -> None:
    families = (GaugeMetricFamily("a", "one"), InfoMetricFamily("b", "two"), CounterMetricFamily("c", "three"))
    encode, _ = encoder(accept)
    assert b"".join(head(family, encode) for family in families) == encode(Registry(*families)).removesuffix(b"# EOF\n")


@pytest.mark.parametrize("scheme", ["dots", "values", "underscores", "allow-utf-8", "none of them"])
def test_names_are_never_escaped_and_the_content_type_says_so(scheme: str) -> None:
    for kind in ("application/openmetrics-text;version=1.0.0", "text/plain;version=1.0.0"):
        encode, content_type = encoder(f"{kind}; escaping={scheme},*/*;q=0.1")
        assert content_type.endswith("escaping=underscores")
        assert b"coverage_ratio " in head(GaugeMetricFamily("coverage_ratio", "text"), encode)


@given(values=st.tuples(VALUE, VALUE))
def test_a_parser_reads_back_what_stood_there(values: tuple[str, str]) -> None:
    family = InfoMetricFamily("coverage_commune", "Names.")
    line = Line("coverage_commune_info", ("name", "district")).at(())(values, 1)
    for accept, parse, end in (("", parse_text, ""), (ACCEPTS[3], parse_openmetrics, "# EOF\n")):
        (found,) = parse(head(family, encoder(accept)[0]).decode() + line + end)
        assert [(sample.labels, sample.value) for sample in found.samples] == [({"name": values[0], "district": values[1]}, 1)]
