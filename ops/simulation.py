"""`phusong simulate`: a simulated province over months of scenario time, into Kafka or a file, and its truth beside it.

Comes in: a seed number, from when and for how many months, a scenario (TOML). Goes out: events through `producers.publisher` (or as JSONL),
the truth as JSONL, a simulated country's seeds; what became of them on stdout. Owns the files while it writes them: they get their names
when they are whole, and one that was begun is removed. What cannot be meant is a SettingsError (exit code 2).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from datetime import time as midnight
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

from cyclopts import Parameter

from feed.text import Lang, day, number, say
from ops.terminal import DIFFERENCE, DONE, console, end_on_sigterm, say_aside
from phusong.periods import VIETNAM, Period, one_after
from phusong.rules import Rules
from phusong.settings import Settings, SettingsError, read_rules, read_settings

if TYPE_CHECKING:
    # the Kafka client is slow to import: only when something is sent
    from producers.publisher import Publisher
    from producers.simulator.simulation import Sending, Simulation

STANDARD_OUTPUT = "-"
MONTHS_MAX = 600
_SHOWN_EVERY = 2000  # events: drawing costs more than making one
_WAIT_SECONDS_MAX = 0.2


class Asked(NamedTuple):
    """What to simulate, as it was asked for."""

    seed: int
    start: date
    months: int
    scenario: Path | None
    province: str | None
    lang: Lang


def simulate(
    *,
    start: Annotated[date, Parameter("--from")],
    months: int,
    seed: int = 1,
    scenario: Path | None = None,
    province: str | None = None,
    out: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    truth: Path | None = None,
    rate: float | None = None,
    provinces: int | None = None,
    communes: int | None = None,
    seeds_out: Path | None = None,
    lang: Lang = "vi",
) -> int:
    """Mô phỏng một tỉnh qua nhiều tháng: thế giới thật bị ẩn, người báo cáo với thói quen của họ, sự cố có tên. Simulate a province.

    Mọi sự kiện đều mang nguồn gốc `simulated`; cùng một số hạt giống cho cùng các sự kiện. Every event is of origin `simulated`; the same
    seed gives the same events. The months must lie in the past.

    Examples: `phusong simulate --from 2023-01-01 --months 12 --seed 7`; `phusong simulate --from 2023-01-01 --months 12 --scenario
    docs/scenario.toml --out events.jsonl --truth truth.jsonl`; `phusong simulate --from 2025-01-01 --months 3 --provinces 34
    --communes 3321 --seeds-out ./country`, then workers and feed with `PHUSONG_SEEDS=./country`.

    Parameters
    ----------
    start
        First day, 2023-01-01.
    months
        For how many months.
    seed
        A whole number: another one is another world.
    scenario
        TOML file with habits and named incidents (docs/simulator.md).
    province
        Code of one home province (default: all).
    out
        Write the events as JSONL instead of sending them to Kafka; `-` for standard output.
    truth
        Write what a perfect observer would know, as JSONL.
    rate
        Events a second at most (default: as many as the broker takes).
    provinces
        With --communes and --seeds-out: simulate a country of so many provinces.
    communes
        How many communes it has.
    seeds_out
        New directory for its seeds, for PHUSONG_SEEDS.
    lang
        Language of the text: vi or en.
    """
    settings = read_settings()
    _refuse_contradictions(lang, out, rate, (provinces, communes, seeds_out))
    if provinces is not None and communes is not None and seeds_out is not None:
        settings = settings.model_copy(update={"seeds": _write_seeds(seeds_out, seed, provinces, communes, lang)})
    rules = read_rules(settings.seeds)
    simulation = prepare(rules, Asked(seed, start, months, scenario, province, lang), datetime.now(UTC))
    end_on_sigterm()
    with ExitStack() as files:
        truth_file = files.enter_context(whole_file(truth)) if truth else None
        if out is None:
            carried = send(simulation, settings, truth_file, rate, lang)
        elif out == STANDARD_OUTPUT:
            carried = write(simulation, sys.stdout.buffer, truth_file, lang)
        else:
            carried = write(simulation, files.enter_context(whole_file(Path(out))), truth_file, lang)
    for line in describe(simulation, carried, lang):
        if out == STANDARD_OUTPUT:
            say_aside(line)
        else:
            print(line)
    return DIFFERENCE if carried.rejected else DONE


class Carried(NamedTuple):
    """What became of a run: events by type, of them those that a named incident made wrong, those refused (there should be none)."""

    events: Counter[str]
    wrong: int
    rejected: int
    truths: int
    seconds: float


def prepare(rules: Rules, asked: Asked, now: datetime) -> Simulation:
    """The run that was asked for. Raises SettingsError where the scenario is broken, or the time or place is none that can be simulated."""
    from producers.simulator.scenario import Scenario, ScenarioError, read_scenario
    from producers.simulator.simulation import Simulation

    lang = asked.lang
    if not 1 <= asked.months <= MONTHS_MAX or asked.seed < 0:
        raise SettingsError(
            say(
                lang,
                f"--months: từ 1 đến {MONTHS_MAX}; --seed: số nguyên từ 0",
                f"--months: 1 to {MONTHS_MAX}; --seed: a whole number from 0",
            )
        )
    start = end = datetime.combine(asked.start, midnight(), VIETNAM)
    fitting = 0
    for _ in range(asked.months):
        end = one_after(Period.MONTH, end)
        fitting += end <= now
    if end > now:
        raise SettingsError(
            say(
                lang,
                f"--from {asked.start} --months {asked.months} kết thúc ngày {day(end, lang)}, còn ở phía trước: sự kiện của tương lai "
                f"bị loại (observed_in_future); ghi --months {fitting} hoặc --from sớm hơn",
                f"--from {asked.start} --months {asked.months} ends on {day(end, lang)}, which lies ahead: events of the future are "
                f"rejected (observed_in_future); give --months {fitting}, or an earlier --from",
            )
        )
    first = next(iter(rules.register.vintages.values())).start
    if start < first:
        raise SettingsError(
            say(
                lang,
                f"--from {asked.start}: danh mục xã đầu tiên có từ {day(first, lang)}; ghi ngày đó hoặc sau đó",
                f"--from {asked.start}: the first list of communes is of {day(first, lang)}; give that day or a later one",
            )
        )
    if asked.province is not None and asked.province not in rules.register.homes:
        homes = ", ".join(rules.register.homes)
        raise SettingsError(
            say(
                lang,
                f"--province {asked.province}: không có trong danh mục mới nhất; một trong: {homes}",
                f"--province {asked.province}: not in the newest list of communes; one of: {homes}",
            )
        )
    try:
        scenario = read_scenario(asked.scenario, rules) if asked.scenario else Scenario()
    except ScenarioError as error:
        raise SettingsError(str(error)) from error
    return Simulation(rules, scenario, asked.seed, start, end, (asked.province,) if asked.province else ())


def write(simulation: Simulation, file: BinaryIO, truth_file: BinaryIO | None, lang: Lang) -> Carried:
    """The events as JSONL, those that an incident made wrong too. Raises OSError."""
    from phusong.events import encode

    def deliver(sending: Sending) -> bool:
        file.write(encode(sending.event) + b"\n")
        return True

    carried = _carry(simulation, deliver, truth_file, lang)
    file.flush()
    return carried


def send(simulation: Simulation, settings: Settings, truth_file: BinaryIO | None, rate: float | None, lang: Lang) -> Carried:
    """The events into Kafka, at most `rate` a second. Raises PublishError."""
    from phusong.admission import Admission
    from phusong.events import Rejected, encode
    from phusong.topics import SOURCES
    from producers.publisher import Outgoing, Publisher, PublishError

    with Publisher(settings.kafka(), Admission(simulation.rules), lambda: datetime.now(UTC)) as publisher:
        started = time.monotonic()

        def deliver(sending: Sending) -> bool:
            if rate is not None:
                _wait_until(started + publisher.taken / rate, publisher)
            if sending.key is not None:
                # wrong on purpose: the reader is to see it
                domain = sending.event.data.indicator.partition(".")[0]
                outgoing = Outgoing(encode(sending.event), sending.key.encode(), SOURCES[domain].name, domain)
                while not publisher.offer(outgoing):
                    publisher.poll(_WAIT_SECONDS_MAX)
                return True
            try:
                publisher.send(sending.event)
            except Rejected as error:
                say_aside(f"{sending.event.id}: {error}")
                return False
            if publisher.failed:
                # the broker has been away for longer than a delivery may take: the next event would fare no better
                raise PublishError(f"{settings.bootstrap_servers}: {publisher.lost()}")
            return True

        carried = _carry(simulation, deliver, truth_file, lang)
        if publisher.flush():
            raise PublishError(f"{settings.bootstrap_servers}: {publisher.lost()}")
        return carried._replace(seconds=time.monotonic() - started)


def _carry(simulation: Simulation, deliver: Callable[[Sending], bool], truth_file: BinaryIO | None, lang: Lang) -> Carried:
    """Every output of a run where it belongs; `deliver` says whether an event was taken."""
    from producers.simulator.simulation import Sending
    from producers.simulator.truth import encode_truth

    started = time.monotonic()
    events: Counter[str] = Counter()
    made = wrong = rejected = truths = 0
    try:
        with _bar(simulation, lang) as show:
            for output in simulation:
                if isinstance(output, Sending):
                    made += 1
                    if deliver(output):
                        events[type(output.event).__name__] += 1
                        wrong += output.key is not None
                    else:
                        rejected += 1
                    if made % _SHOWN_EVERY == 0:
                        show(output.at, made)
                elif truth_file is not None:
                    truths += 1
                    truth_file.write(encode_truth(output) + b"\n")
    except KeyboardInterrupt:
        say_aside(say(lang, f"Đã dừng sau {number(made, lang)} sự kiện", f"stopped after {number(made, lang)} events"))
        raise
    return Carried(events, wrong, rejected, truths, time.monotonic() - started)


def describe(simulation: Simulation, carried: Carried, lang: Lang) -> Iterator[str]:
    """What became of a run, in words."""
    total = carried.events.total()
    per_second = number(round(total / carried.seconds), lang) if carried.seconds else "–"
    span = f"{day(simulation.start, lang)} – {day(simulation.end, lang)}"
    yield say(
        lang,
        f"hạt giống {simulation.seed}, {span}: {number(total, lang)} sự kiện, {per_second}/giây",
        f"seed {simulation.seed}, {span}: {number(total, lang)} events, {per_second}/s",
    )
    yield "  " + ", ".join(f"{kind} {number(count, lang)}" for kind, count in sorted(carried.events.items()))
    if carried.wrong:
        yield say(
            lang,
            f"  trong đó {number(carried.wrong, lang)} sự kiện sai mã do sự cố: sẽ vào coverage.dead-letters.v1",
            f"  of these {number(carried.wrong, lang)} with wrong codes, by an incident: they go to coverage.dead-letters.v1",
        )
    if carried.rejected:
        yield say(lang, f"  bị từ chối: {number(carried.rejected, lang)}", f"  rejected: {number(carried.rejected, lang)}")
    for one in simulation.incidents.every:
        happened = f"{one.incident.name}: {day(one.start, lang)} – {day(one.end, lang)}, {one.who}"
        yield say(
            lang,
            f"  sự cố {happened}: {number(one.events, lang)} sự kiện, {number(one.changes, lang)} thay đổi thật",
            f"  incident {happened}: {number(one.events, lang)} events, {number(one.changes, lang)} true changes",
        )
    if carried.truths:
        yield say(lang, f"  sự thật: {number(carried.truths, lang)} dòng", f"  truth: {number(carried.truths, lang)} lines")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole; one that was only begun is removed. Raises OSError."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb", buffering=1 << 20) as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _bar(simulation: Simulation, lang: Lang) -> Iterator[Callable[[datetime, int], None]]:
    """A bar on stderr: how far the scenario's time has come, and events a second."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(day(simulation.start, lang), total=(simulation.end - simulation.start).total_seconds(), rate="")

        def show(at: datetime, made: int) -> None:
            progress.update(
                task,
                completed=(at - simulation.start).total_seconds(),
                description=day(at, lang),
                rate=f"{number(made, lang)} ({number(round(made / max(0.001, time.monotonic() - started)), lang)}/s)",
            )

        yield show


def _wait_until(moment: float, publisher: Publisher) -> None:
    while (left := moment - time.monotonic()) > 0:
        publisher.poll(min(left, _WAIT_SECONDS_MAX))


def _refuse_contradictions(lang: Lang, out: str | None, rate: float | None, country: Sequence[object]) -> None:
    if rate is not None and (out is not None or rate <= 0):
        raise SettingsError(
            say(lang, "--rate: số dương, chỉ khi gửi vào Kafka (không có --out)", "--rate: a positive number, and only to Kafka (no --out)")
        )
    if any(one is not None for one in country) and None in country:
        raise SettingsError(
            say(
                lang,
                "--provinces, --communes và --seeds-out đi cùng nhau, ví dụ: --provinces 34 --communes 3321 --seeds-out ./country",
                "--provinces, --communes and --seeds-out go together, as in --provinces 34 --communes 3321 --seeds-out ./country",
            )
        )


def _write_seeds(directory: Path, seed: int, provinces: int, communes: int, lang: Lang) -> Path:
    from ops.simulated_seeds import SeedsError
    from ops.simulated_seeds import write as write_seeds

    try:
        rules = write_seeds(directory, seed, provinces, communes)
    except SeedsError as error:
        raise SettingsError(f"--seeds-out: {error}") from error
    say_aside(
        say(
            lang,
            f"{directory}: luật {rules}; dùng với PHUSONG_SEEDS={directory}",
            f"{directory}: rules {rules}; use it with PHUSONG_SEEDS={directory}",
        )
    )
    return directory
