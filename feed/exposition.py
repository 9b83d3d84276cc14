"""Samples as lines of Prometheus' text formats, without an object for each: a nation has more than a hundred thousand of them.

Comes in: names, label values and figures. Goes out: the lines that prometheus_client writes of the same samples, byte for byte
(tests/unit/test_feed_exposition.py), and the head of a family in the format asked for, by prometheus_client itself. Owns no state.
The lines are the same in both formats, as long as names have no character that a client may want escaped; ours have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Encode = Callable[[Collector], bytes]

_SCHEME = re.compile(r";\s*escaping\s*=[^;,]*")
_figure: Callable[[float], str] = floatToGoString
_END = b"# EOF\n"


class _Only(Collector):
    """A registry of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        yield self._family


class Line:
    """The lines of one name with these labels, in any order."""

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self._labels = len(labels)
        inner = ",".join(f'{label}="{{{place}}}"' for label, place in sorted(zip(labels, range(len(labels)), strict=True)))
        # what is doubled twice is a brace after both fillings
        self._template = f"{name}{{{{{{{{{inner}}}}}}}}} " if labels else f"{name} "

    def at(self, values: Iterable[str]) -> Callable[[Iterable[str], float], str]:
        """What writes lines that share the values of the first labels: it takes those of the others, and the figure."""
        shared = [_escaped(value).replace("{", "{{").replace("}", "}}") for value in values]
        fill = self._template.format(*shared, *(f"{{{place}}}" for place in range(self._labels - len(shared)))).format
        return lambda others, figure: f"{fill(*map(_escaped, others))}{_figure(figure)}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def encoder(accept: str) -> tuple[Encode, str]:
    """What writes whole families in the format that a scraper asks for, and its content type.

    How names are to be escaped is not heeded: ours need none, and the content type says so.
    """
    return choose_encoder(_SCHEME.sub("", accept))


def head(family: Metric, encode: Encode) -> bytes:
    """The lines before the samples of a family, which has none itself."""
    return encode(_Only(family)).removesuffix(_END)
