"""`phusong config check|record`: is what is set consistent, and which number do its rules have?

Comes in: the environment and the seeds directory. Goes out: every problem at once; `record` writes rules.toml. Owns rules.toml.
Rules get a new number whenever a seed row or the core's meaning changes, so that of two rows the one by the newer rules wins.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from phusong.rules import core_digest, seeds_digest
from phusong.settings import Settings, core_sources, read_rules, seed_texts


def check(settings: Settings) -> str:
    """What is set, in one line. Raises SettingsError naming every problem."""
    rules = read_rules(settings.seeds)
    counts = ", ".join(
        f"{len(rows)} {name}"
        for name, rows in (
            ("vintages", rules.register.vintages),
            ("units", rules.register.units),
            ("indicators", rules.catalogue.indicators),
            ("targets", rules.catalogue.targets),
            ("reporters", rules.catalogue.reporters),
            ("obligations", rules.catalogue.obligations),
        )
    )
    return f"{settings.seeds}: rules {rules.number}: {counts}"


def record(seeds: Path) -> int:
    """Give the rules of a seeds directory a new number if they changed, and return the number. Raises SettingsError on broken rows."""
    texts = seed_texts(seeds)
    before = tomllib.loads(texts.get("rules.toml", ""))
    now = {"seeds": seeds_digest(texts), "core": core_digest(core_sources())}
    number = before.get("rules", 0)
    if {name: before.get(name) for name in now} != now:
        number += 1
        (seeds / "rules.toml").write_text(
            "# Written by `phusong config record`: the number grows with every change of these rows or of what the core makes of them.\n"
            f'rules = {number}\nseeds = "{now["seeds"]}"\ncore = "{now["core"]}"\n',
            "utf-8",
        )
    read_rules(seeds)
    return int(number)
