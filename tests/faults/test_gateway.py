"""While eight clients post and repeat until 202, broker and gateway are killed: nothing answered 202 is lost or doubled."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from ops.local_kafka import LocalKafka
from phusong import rows
from phusong.assessment import assess
from phusong.events import Event, encode
from phusong.rows import ProvinceRow, Row
from tests.faults.crew import Crew
from tests.faults.traffic import COMMUNES, SOURCES_OF, TEXTS
from tests.gateways import BATCH, JSON, Door, Process, admitted, batch, events_in
from tests.kafka import wait_until
from tests.workers import AS_OF, Stage, by_version
from tests.worlds import cells_of, stated

pytestmark = pytest.mark.kafka

CLIENTS = 8
AT_ONCE = 20


class Client(threading.Thread):
    """Posts its own events, single and in batches, each until it is answered 202; `accepted`: those that were."""

    def __init__(self, number: int, url: str, keys: dict[str, str], end: threading.Event) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.accepted: list[Event] = []
        self.refused: list[int] = []
        self.cut_off = 0
        self.surprise = ""
        self._number = number
        self._url = url
        self._keys = keys
        self._end = end
        self._chance = random.Random(number)

    def run(self) -> None:
        """Until told to end, and then until the last one is answered 202."""
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for some in self._events():
                if self._end.is_set():
                    return
                headers = {"content-type": BATCH if len(some) > 1 else JSON, "authorization": f"Bearer {self._keys[some[0].source]}"}
                body = batch(*map(encode, some)) if len(some) > 1 else encode(some[0])
                while (status := self._post(client, body, headers)) != 202:
                    if status not in (0, 503):
                        self.surprise = f"{status}"
                        return
                    # not told to end yet: a little later, again
                    threading.Event().wait(0.05 * self._chance.random())
                self.accepted += some

    def _post(self, client: httpx.Client, body: bytes, headers: dict[str, str]) -> int:
        try:
            status = client.post("/v1/events", content=body, headers=headers).status_code
        except httpx.TransportError:
            self.cut_off += 1
            return 0
        if status != 202:
            self.refused.append(status)
        return status

    def _events(self) -> Iterator[list[Event]]:
        chance, number = self._chance, 0
        while True:
            indicator = chance.choice(list(SOURCES_OF))
            source = chance.choice(SOURCES_OF[indicator])
            some: list[Event] = []
            for _ in range(chance.choice((1, 1, AT_ONCE))):
                number += 1
                commune = chance.choice(COMMUNES[chance.choice(list(COMMUNES))])
                moment = f"2023-07-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}+07:00"
                name = f"{self._number}/{number}"
                some.append(stated(commune, indicator, chance.randrange(5), 4, source=source, time=moment, event_id=name))
            yield some


@pytest.mark.timeout(240)
def test_what_was_answered_202_is_in_kafka_once_and_the_provinces_are_the_cores_answer_over_it(
    own_kafka: LocalKafka, tmp_path: Path
) -> None:
    stage = Stage(own_kafka.bootstrap_servers, tmp_path / "stage", TEXTS)
    door = Door(own_kafka.bootstrap_servers, tmp_path / "door", TEXTS)
    keys = {name: door.key(name) for names in SOURCES_OF.values() for name in names}
    crew = Crew(stage)
    end = threading.Event()
    clients: list[Client] = []
    try:
        crew.hire()
        with ExitStack() as running:
            gateway: Process = running.enter_context(door.process())
            port = int(gateway.url.rpartition(":")[2])
            clients = [Client(number, gateway.url, keys, end) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            _more(clients)

            own_kafka.kill()
            wait_until(lambda: any(client.refused for client in clients), 30, "somebody is told 503")
            own_kafka.start()
            _more(clients)

            gateway.end(signal.SIGKILL)
            gateway = running.enter_context(door.process(gateway_port=port))
            _more(clients)

            own_kafka.stop()
            gateway.end(signal.SIGKILL)
            own_kafka.start()
            gateway = running.enter_context(door.process(gateway_port=port))
            _more(clients)

            end.set()
            for client in clients:
                client.join(60)
            assert gateway.end() == 0

        accepted = {(event.source, event.id): event for client in clients for event in client.accepted}
        assert [client.surprise for client in clients] == [""] * CLIENTS
        assert sum(client.cut_off for client in clients) >= CLIENTS, "nobody was cut off: nothing was tried"

        # in Kafka, each once after deduplication, as a worker takes it
        held: dict[tuple[str, str], Event] = {}
        records = events_in(stage.servers)
        for _, record in records:
            event = admitted(stage.rules, record)
            assert held.setdefault((event.source, event.id), event) == event
        assert held == accepted
        print(f"{len(accepted)} accepted, {len(records)} records, 503: {sum(len(c.refused) for c in clients)}")  # noqa: T201

        # a worker may have ended with 3 while the broker was away: its supervisor starts another
        crew.wait_until_ready()
        _check_rows(stage, accepted.values())
    finally:
        end.set()
        stage.close()


def _more(clients: list[Client]) -> None:
    """Until each client has got a good deal further."""
    before = [len(client.accepted) for client in clients]

    def further() -> bool:
        assert not any(client.surprise for client in clients), [client.surprise for client in clients]
        return all(len(client.accepted) > count + 50 for client, count in zip(clients, before, strict=True))

    wait_until(further, 60, "every client gets further")


def _check_rows(stage: Stage, accepted: Collection[Event]) -> None:
    """What is published is the core's answer over what was answered 202."""
    stage.wait_for_rows(timeout_seconds=60)
    answer: dict[str, Row] = {}
    cells = cells_of(stage.rules, accepted)
    for home in stage.rules.register.homes:
        for some in assess(stage.rules, home, cells, AS_OF):
            answer.update(some)
    shown = {key: record.value for key, record in by_version(stage.rows()).items()}
    assert shown == {key: rows.encode(row) for key, row in answer.items()}
    ratios = [row.ratio for row in answer.values() if isinstance(row, ProvinceRow)]
    assert len({ratio for ratio in ratios if ratio}) > 10, msgspec.json.encode(ratios)
