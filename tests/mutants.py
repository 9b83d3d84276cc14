"""Deliberate faults in the core, each of which at least one test must catch: `make -s mutants`.

Comes in: `FAULTS`, each a line of the core and what it is replaced by. Goes out: one JSON object on stdout (`tried`, `caught`, and the
titles of those `missed`), progress on stderr; exit code 1 if any was missed. Owns a copy of the project in a temporary directory for each.
A fault whose line is no longer there ends the run: the list is then out of date. The copy's rules are recorded anew, so that no test fails
merely because the core's digest has changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("tests/unit", "tests/property")
SECONDS_MAX = 900


class Fault(NamedTuple):
    """What is wrong in words, the module of the core, and the text that is replaced (it stands there once)."""

    title: str
    module: str
    right: str
    wrong: str


FAULTS: tuple[Fault, ...] = (
    # evidence.py
    Fault("wrong tie-break: the earlier correction wins", "evidence.py", "if not new > old:", "if not new < old:"),
    Fault(
        "the last to arrive wins",
        "evidence.py",
        "if new_at < held_at:\n            return _SUPERSEDED",
        "if False:\n            return _SUPERSEDED",
    ),
    Fault("a withdrawal forgets the size that was stated", "evidence.py", "Emptied(event, last)", "Emptied(event, None)"),
    Fault(
        "a withdrawn slot takes an older statement back in", "evidence.py", "slots[slot] = Emptied(held.by, event)", "slots[slot] = event"
    ),
    Fault(
        "a partial measurement stands for its first place alone",
        "evidence.py",
        "sorted(set(map(place_key, data.measured)))",
        "sorted(set(map(place_key, data.measured)))[:1]",
    ),
    # views.py
    Fault("a measurement gives way to a higher declaration at once", "views.py", "_ratio(declared) <= _ratio(before)", "True"),
    Fault("a measurement stands for ever", "views.py", "or declared.data.observed_at >= one_after(period, before.data.observed_at)", ""),
    Fault(
        "stale counts as fresh",
        "views.py",
        "return self.fresh_until is not None and as_of < self.fresh_until",
        "return self.fresh_until is not None",
    ),
    Fault("grace is forgotten", "views.py", "obligation.deadline_days + obligation.grace_days", "obligation.deadline_days"),
    Fault("a place measured dark stays lit", "views.py", "covered = max(0, base.covered - len(new))", "covered = base.covered"),
    Fault(
        "a measurement expires",
        "views.py",
        "    turns = []\n",
        "    turns = []\n    dark = {k: e for k, e in dark.items() if as_of < one_after(line.indicator.period, e.data.observed_at)}",
    ),
    Fault(
        "a temporary state counts at once",
        "views.py",
        "if data.until <= as_of and seen.known",
        "if seen.known",
    ),
    Fault("a temporary state is forgotten when it ends", "views.py", "seen = _lesser(line, seen, event)", "pass"),
    Fault(
        "a petition lowers the view",
        "views.py",
        "        elif method == Method.PETITIONED:\n            said.petitions += (held,)",
        "        elif method == Method.PETITIONED:\n            said.declared += (held,)",
    ),
    Fault(
        "a merger counts one predecessor only",
        "views.py",
        "covered, most = sum(seen.covered for seen in views), sum(seen.most for seen in views)",
        "covered, most = views[0].covered, views[0].most",
    ),
    Fault(
        "succession copied twice",
        "views.py",
        "expected, sized = sum(seen.expected for seen in views)",
        "expected, sized = 2 * sum(seen.expected for seen in views)",
    ),
    Fault(
        "after a merger the best freshness holds",
        "views.py",
        "fresh_until=min(seen.fresh_until for seen in views if seen.fresh_until)",
        "fresh_until=max(seen.fresh_until for seen in views if seen.fresh_until)",
    ),
    Fault(
        "a part of a split unit is taken whole",
        "views.py",
        "for one, extent in line.before if extent is Extent.WHOLE]",
        "for one, extent in line.before]",
    ),
    Fault(
        "more names than the gap are believed to be covered",
        "views.py",
        "covered = min(covered, max(0, data.expected - len(gap)))",
        "covered = data.covered",
    ),
    # places.py
    Fault(
        "names are joined without their rule: the kind word counts",
        "places.py",
        "if len(words) > 1 and words[0] in _KIND_WORDS",
        "if False",
    ),
    # unions.py
    Fault("stale counted in low", "unions.py", "fresh = [view for view in counting if view.fresh(as_of)]", "fresh = counting"),
    Fault("unknown as zero in high", "unions.py", "high=ONE if unknown or not sized else exact(rule.most)", "high=exact(rule.most)"),
    Fault(
        "any adds up in low",
        "unions.py",
        "return _Rule((best.covered, best.expected), most, _names(best), _unlike(size, parts), _proven(size))",
        "return _Rule(most, most, _names(best), _unlike(size, parts), _proven(size))",
    ),
    Fault(
        "places joins unregistered names",
        "unions.py",
        "view.named and view.expected == expected and places.issuperset(view.gap)",
        "view.named and view.expected == expected",
    ),
    Fault(
        "sum covers more than there is",
        "unions.py",
        "(min(expected, sum(view.covered for view in parts)), expected)",
        "(sum(view.covered for view in parts), expected)",
    ),
    Fault(
        "low divides by what was stated, not by the register",
        "unions.py",
        "expected = max(view.expected, size or 0)\n            if",
        "expected = view.expected\n            if",
    ),
    # communes.py, assessment.py
    Fault("average of ratios", "communes.py", "    return value.reported if indicator.base is Base.REPORTED else size", "    return 1"),
    Fault("received may exceed covered", "communes.py", "if bound is not None and bound.weight != 0 and bound.high < high:", "if False:"),
    Fault(
        "an unknown weight weighs nothing",
        "communes.py",
        "return self._weight + self.mean * (communes - self._weighed)",
        "return Fraction(self._weight)",
    ),
    Fault(
        "an imputed weight is taken for certain",
        "assessment.py",
        "if low is None or high is None or imputed:",
        "if low is None or high is None:",
    ),
    Fault("met by the ratio, not by low", "assessment.py", "judged = verdict(low, high,", "judged = verdict(ratio, high,"),
    Fault(
        "a target is missed before it is due",
        "assessment.py",
        "return Verdict.NOT_YET if target.due is not None and as_of < target.due else Verdict.MISSED",
        "return Verdict.MISSED",
    ),
    Fault("an ended list of communes keeps its target", "assessment.py", " if rules.register.vintages[vintage].holds(as_of) else None", ""),
    Fault("rounds up to the target", "assessment.py", "        tenths -= 1", "        pass"),
    # province.py
    Fault("what falls due is not looked at", "province.py", "self._soil(cell)\n\n", "pass\n\n"),
    Fault(
        "late statements do not reach the successor",
        "province.py",
        "every = ((vintage, code), *self.rules.register.later((vintage, code)))",
        "every = ((vintage, code),)",
    ),
    Fault("a commune is counted in again without being counted out", "province.py", "self._totals[group].add(old, -1)", "pass"),
    Fault("a bound that moved leaves what it bounds", "province.py", "self._dirty_bounded.add((vintage, code, bounded))", "pass"),
    Fault(
        "a target that falls due changes nothing",
        "province.py",
        "for moment in (target.start, target.due, target.end):",
        "for moment in (target.start, target.end):",
    ),
    # pace.py
    Fault(
        "the pace counts reports that are not due yet",
        "pace.py",
        "while self.due(number) > as_of:",
        "while end_of(period, number) > as_of:",
    ),
    # follow_ups.py
    Fault(
        "a postponed promise hides the original",
        "follow_ups.py",
        "first = event if _original(event, known.first) else known.first",
        "first = last = event",
    ),
    Fault(
        "a promise for several places counts for its first alone",
        "follow_ups.py",
        "sorted(set(map(place_key, event.data.places)))",
        "sorted(set(map(place_key, event.data.places)))[:1]",
    ),
    Fault("a promise for another village is shown beside this gap", "follow_ups.py", "one.place in keys or not one.place", "True"),
    Fault("a resolved challenge stays open", "follow_ups.py", "return self.step is not Step.RESOLVED", "return True"),
    Fault("a promise is lost in a merger", "follow_ups.py", "yield from _about(register, before.unit, indicator, follow_ups)", "pass"),
    # admission.py
    Fault(
        "an operator resolves the challenge to itself",
        "admission.py",
        "data.step not in ANSWERS and",
        "False and",
    ),
)


def main() -> int:
    """Try every fault, two at a time."""
    for fault in FAULTS:
        if (ROOT / "phusong" / fault.module).read_text("utf-8").count(fault.right) != 1:
            print(f"{fault.module}: {fault.right!r} does not stand there once; mend the fault {fault.title!r}", file=sys.stderr)
            return 3
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        missed = [title for title, caught in pool.map(_try, FAULTS) if not caught]
    print(json.dumps({"tried": len(FAULTS), "caught": len(FAULTS) - len(missed), "missed": missed}, ensure_ascii=False))
    return 1 if missed else 0


def _try(fault: Fault) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory(prefix="phusong-mutant-") as name:
        copy = Path(name) / "phusong"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        module = copy / "phusong" / fault.module
        module.write_text(module.read_text("utf-8").replace(fault.right, fault.wrong), "utf-8")
        environment = {**os.environ, "PYTHONPATH": str(copy), "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".hypothesis")}
        _run(copy, environment, "-m", "ops.cli", "config", "record")
        test = _run(copy, environment, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *SUITES)
    # 1: a test failed; anything else than that or 0 is no verdict on the fault
    if test.returncode not in (0, 1):
        raise RuntimeError(f"{fault.title}: the tests did not run\n{test.stdout}{test.stderr}")
    failed = next((line for line in test.stdout.splitlines() if line.startswith("FAILED")), "")
    print(f"{'caught' if test.returncode else 'MISSED'}  {fault.title}  {failed[:120]}", file=sys.stderr, flush=True)
    return fault.title, test.returncode == 1


def _run(directory: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
