"""streams/webhook.py against real servers: TLS is verified, nothing is followed, an answer is never read beyond its head."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from phusong import rows
from phusong.rows import Verdict
from streams import webhook
from streams.webhook import Answer, Outcome, Webhook, message
from tests.shipped import shipped_rules
from tests.webhooks import Receiver, receiver, self_signed, verdicts
from tests.worlds import POSTAL

(CHANGE,) = verdicts(POSTAL, [Verdict.MISSED])


def post(url: str) -> Answer:
    async def once() -> Answer:
        one = Webhook(url, [b"k" * 24])
        try:
            return await one.post(message(rows.encode(CHANGE), shipped_rules()), int(time.time()))
        finally:
            await one.close()

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (302, Outcome.REFUSED),
        (307, Outcome.REFUSED),
        (400, Outcome.REFUSED),
        (401, Outcome.REFUSED),
        (410, Outcome.GONE),
        (503, Outcome.REFUSED),
    ],
)
def test_only_2xx_is_taken_and_a_redirection_is_not_followed(status: int, outcome: Outcome) -> None:
    """What is signed for one receiver goes to no other."""
    with receiver() as one, receiver() as other:
        one.answer = lambda _: status
        one.headers = {"location": other.url}
        answer = post(one.url)
    assert answer.outcome is outcome
    assert str(status) in answer.why
    assert len(one.posts) == 1
    assert other.posts == []


def test_an_answer_without_end_is_not_read() -> None:
    """Its status is all that counts."""
    with receiver() as one:
        one.answer = lambda _: 200
        one.tail = b"x" * 65536
        assert post(one.url).outcome is Outcome.DELIVERED


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the administrator names who signs it."""
    made, context = self_signed(tmp_path)
    with receiver(context) as one:
        answer = post(one.url)
        assert answer == Answer(Outcome.UNREACHABLE, "its certificate does not hold, or TLS failed")
        assert one.posts == []
        monkeypatch.setenv("SSL_CERT_FILE", str(made))
        assert post(one.url).outcome is Outcome.DELIVERED
        elsewhere = one.url.replace("127.0.0.1", "localhost")
        assert post(elsewhere).outcome is Outcome.UNREACHABLE


def test_nobody_there_and_no_http_are_told_without_the_address() -> None:
    """The log says what happened; the path may be a secret."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = post(f"http://127.0.0.1:{port}/hunter2")
    assert answer.outcome is Outcome.UNREACHABLE
    assert "hunter2" not in answer.why
    assert "refused" in answer.why


def test_a_receiver_that_never_answers_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that accepts the connection and says nothing holds nobody up for ever."""
    monkeypatch.setattr(webhook, "POST_SECONDS_MAX", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = post(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert answer == Answer(Outcome.UNREACHABLE, "no answer in time")


def test_a_receiver_sets_no_cookies() -> None:
    """Each message stands for itself."""
    with receiver() as one:
        one.headers = {"set-cookie": "a=1"}
        _twice(one)
    assert all("cookie" not in posted.headers for posted in one.posts)
    assert len(one.posts) == 2


def _twice(one: Receiver) -> None:
    async def twice() -> None:
        sender = Webhook(one.url, [b"k" * 24])
        for _ in range(2):
            assert (await sender.post(message(rows.encode(CHANGE), shipped_rules()), 0)).outcome is Outcome.DELIVERED
        await sender.close()

    asyncio.run(twice())
