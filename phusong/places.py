"""A place: a village as named, and which of two spellings name the same one.

Comes in: names as reporters write them, and the rows of seeds/places.csv. Goes out: keys that are compared. Owns no state.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_KIND_WORDS = frozenset({"thôn", "xóm", "bản", "tổ"})


@lru_cache(16384)
def place_key(name: str) -> str:
    """How villages' names are compared: NFC, case folded, spaces single, a leading kind word (thôn, xóm, bản, tổ) dropped."""
    words = unicodedata.normalize("NFC", name).casefold().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in _KIND_WORDS else words)
