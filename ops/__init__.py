"""Run: the `phusong` command and what it starts."""
