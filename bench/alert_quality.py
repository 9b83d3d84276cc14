"""How good the alerts are: `make -s alert-quality`.

Comes in: nothing but the shipped rules (dashboards/alerts.py) and seeds. Goes out: one JSON object on stdout, progress on stderr. Owns
temporary directories, and the processes in them. Two halves, at the same time: simulated years with injected incidents, recorded as
Prometheus would have scraped them and evaluated by a real one (bench/quality/history.py, evaluation.py), in two processes; and the real
pipeline, whose worker is stopped (bench/quality/live.py). What counts as noticed and as false comes from the simulation's truth
(bench/quality/grounds.py). Exit codes: 0 done, 3 no figure, 130 stopped.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.quality import evaluation, live
from bench.quality.evaluation import Episode, Rule
from bench.quality.grounds import PIPELINE, Grounds, Injection, injections
from bench.quality.history import STEP, play
from bench.quality.year import END, MEASURING_SEEDS, START, year
from bench.world import BenchError, say, tell
from phusong.periods import VIETNAM

DIGEST = "digest"
"""The severity of what is told once a week, and wakes nobody."""
WEEKS = (END - START) / timedelta(weeks=1)

_PROCESSES = 2

Tick = Callable[[], None]


class Noticed(Struct, frozen=True):
    """What was injected, and how long it took; `delay` None: it was not noticed in time."""

    injection: Injection
    delay: timedelta | None


class Measured(Struct, frozen=True):
    """What became of one seed's year. `unfounded`: each false page and the first moment at which it had no ground."""

    seed: int
    noticed: list[Noticed]
    pages: list[Episode]
    unfounded: list[tuple[Episode, datetime]]


def measure_year(seed: int, tick: Tick = lambda: None) -> Measured:
    """One seed's year, from the events to what people would have been told."""
    rules = measured_rules()
    directory = Path(tempfile.mkdtemp(prefix="phusong-alert-quality-"))
    try:
        history = directory / "history.om"
        played = play(year(seed), set().union(*(rule.metrics for rule in rules)), history, tick)
        evaluation.recorded(history, directory / "data")
        history.unlink()
        fired: list[Episode] = []
        with evaluation.past(directory, STEP) as prometheus:
            for rule in rules:
                active = prometheus.range(rule.expr, played.moments[0], played.moments[-1], STEP)
                fired += evaluation.episodes(rule, active, played.moments)
                tick()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    pages = [one for one in fired if is_page(one.labels)]
    grounds = Grounds(played)
    return Measured(
        seed=seed,
        noticed=[Noticed(one, one.delay(pages)) for one in injections(played, rules)],
        pages=pages,
        unfounded=[(page, at) for page in pages if (at := grounds.unfounded(page)) is not None],
    )


def measured_rules() -> list[Rule]:
    """The rules that may call a person and ask the feed alone.

    What only worker, gateway and sender tell has no history here (live.py has them run); a digest calls nobody.
    """
    calling = [rule for rule in evaluation.shipped() if is_page(rule.labels)]
    rules = [rule for rule in calling if all(name.startswith(("coverage_", "phusong_feed_")) for name in rule.metrics)]
    if unmeasured := {rule.name for rule in calling} - {rule.name for rule in rules} - PIPELINE:
        raise BenchError(f"nobody measures {', '.join(sorted(unmeasured))}; see bench/quality")
    return rules


def is_page(labels: Mapping[str, str]) -> bool:
    """Whether a person is called: an exercise and a digest call nobody."""
    return labels.get("severity") != DIGEST and labels.get("origin") != "simulated"


def summary(years: Sequence[Measured], pipeline: live.Result, seconds: float) -> dict[str, Any]:
    """The JSON object. Delays of coverage are days, those of the pipeline seconds."""
    kinds: dict[str, dict[str, Any]] = {}
    by_kind: dict[str, list[Noticed]] = {}
    for one in years:
        for noticed in one.noticed:
            by_kind.setdefault(noticed.injection.kind, []).append(noticed)
    for kind, several in by_kind.items():
        delays = [one.delay / timedelta(days=1) for one in several if one.delay is not None]
        kinds[kind] = {
            "injected": len(several),
            "found": len(delays),
            "delay_days_median": round(median(delays), 2) if delays else None,
            "delay_days_max": round(max(delays), 2) if delays else None,
            "bound_days": round(max(one.injection.bound for one in several) / timedelta(days=1), 2),
            "noticed_by": several[0].injection.alert or "figures",
        }
    observed: dict[str, list[live.Observed]] = {}
    for event in pipeline.observed:
        observed.setdefault(event.kind, []).append(event)
    for kind, seen in observed.items():
        waits = [one.seconds for one in seen if one.seconds is not None]
        kinds[kind] = {
            "injected": len(seen),
            "found": len(waits),
            "delay_seconds_median": round(median(waits), 1) if waits else None,
            "delay_seconds_max": round(max(waits), 1) if waits else None,
            "bound_seconds": max(one.bound for one in seen),
            "noticed_by": seen[0].alert,
        }
    injected = sum(one["injected"] for one in kinds.values())
    return {
        "kinds": kinds,
        "false_pages": sum(len(one.unfounded) for one in years) + len(pipeline.false_pages),
        "pages_per_week": round(sum(len(one.pages) for one in years) / (WEEKS * len(years)), 2) if years else None,
        "recall": sum(one["found"] for one in kinds.values()) / injected if injected else None,
        "seeds": [one.seed for one in years],
        "seconds": round(seconds),
    }


def explain(years: Iterable[Measured]) -> Iterator[str]:
    """What a person needs to mend a rule: each false page and each miss."""
    for one in years:
        for page, at in one.unfounded:
            labels = ", ".join(f"{name}={value}" for name, value in sorted(page.labels.items()))
            yield f"seed {one.seed}: {page.name} {{{labels}}} from {_day(page.start)} to {_day(page.end)}: no ground on {_day(at)}"
        for noticed in one.noticed:
            if noticed.delay is None:
                what = noticed.injection
                labels = ", ".join(f"{name}={value}" for name, value in sorted(what.labels.items()))
                by = what.alert or "the figures"
                yield f"seed {one.seed}: {what.kind} of {_day(what.onset)} {{{labels}}} was not noticed by {by} within {what.bound}"


def _day(moment: datetime | None) -> str:
    return "the end" if moment is None else f"{moment.astimezone(VIETNAM):%Y-%m-%d %H:%M}"


def main() -> dict[str, Any]:
    """Measure everything."""
    began = time.monotonic()
    for program in (evaluation.PROMETHEUS, evaluation.PROMTOOL):
        if shutil.which(program) is None:
            raise BenchError(f"{program} is not on the path; install the Debian package prometheus")
    steps = round((END - START) / STEP) + len(measured_rules())
    fresh = multiprocessing.get_context("spawn")
    done = fresh.Value("q", 0)
    with (
        ProcessPoolExecutor(_PROCESSES, fresh, _counting, (done,)) as pool,
        _progress(done, len(MEASURING_SEEDS) * steps) as write,
    ):
        pending = [pool.submit(_measured, seed) for seed in MEASURING_SEEDS]
        try:
            watched = live.measure(write)
            years = [one.result() for one in pending]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    result = summary(years, watched, time.monotonic() - began)
    for line in (*explain(years), *(f"pipeline: {one} without any reason" for one in watched.false_pages)):
        say(line)
    return result


_done: Any = None


def _counting(done: Any) -> None:
    """In a process of the pool: what has been done is counted together."""
    global _done  # noqa: PLW0603 - a pool hands nothing else to its processes
    _done = done


def _measured(seed: int) -> Measured:
    return measure_year(seed, _tick)


def _tick() -> None:
    with _done.get_lock():
        _done.value += 1


@contextmanager
def _progress(done: Any, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal; yields what writes a line above it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    over = threading.Event()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulated years", total=total)

        def follow() -> None:
            while not over.wait(0.5):
                bar.update(task, completed=done.value)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield console.print
        finally:
            over.set()
            thread.join()


if __name__ == "__main__":
    sys.exit(tell(main))
