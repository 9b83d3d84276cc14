"""The words and figures of the terminal: those of the pages, in the language asked for. Owns no state; see feed/text.py."""

from feed.text import Lang, day, number, percent, say

__all__ = ["Lang", "day", "number", "percent", "say"]
