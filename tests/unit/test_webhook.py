"""streams/webhook.py: what is posted, how it is signed, which secrets and addresses are refused; and how long the notifier waits."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Reference
from standardwebhooks.webhooks import WebhookVerificationError

from phusong import rows
from phusong.rows import Verdict
from phusong.settings import SettingsError
from streams.notify import WAIT_SECONDS_MAX, wait_seconds
from streams.webhook import message, read_secrets, read_webhook, sign
from tests.shipped import shipped_rules
from tests.webhooks import SECRET, as_json, verdicts
from tests.worlds import POSTAL

KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


@given(st.binary(min_size=24, max_size=64), st.text(alphabet="0123456789abcdef", min_size=1), st.text())
def test_the_reference_accepts_every_signature_and_no_other_body(secret: bytes, name: str, body: str) -> None:
    """By https://www.standardwebhooks.com; the other implementation is its own."""
    at = int(time.time())
    data = json.dumps({"said": body}).encode()
    headers = {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": sign([secret], name, at, data)}
    assert Reference(secret).verify(data, headers) == {"said": body}
    with pytest.raises(WebhookVerificationError):
        Reference(secret).verify(data + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Reference(secret[::-1] + b"!").verify(data, headers)


def test_while_two_secrets_hold_each_of_them_verifies() -> None:
    """A receiver changes its secret without missing a message."""
    at, old, new = int(time.time()), b"o" * 24, b"n" * 24
    headers = {"webhook-id": "1", "webhook-timestamp": str(at), "webhook-signature": sign([old, new], "1", at, b"{}")}
    assert Reference(old).verify(b"{}", headers) == Reference(new).verify(b"{}", headers) == {}


def test_the_message_is_the_event_as_it_stands_with_the_names() -> None:
    """What a newer worker adds goes on to the receiver; nothing that it said is changed."""
    (change,) = verdicts(POSTAL, [Verdict.MISSED])
    written = as_json(change) | {"added": 1, "indicatorname": "its own"}
    sent = message(msgspec.json.encode(written), shipped_rules())
    assert (sent.id, sent.key) == (change.id, "2020-01-01/08/postal.staffed_point")
    body = json.loads(sent.body)
    assert body.items() >= written.items()
    assert body.keys() - written.keys() == {"subject", "provincename", "indicatornameen"}
    assert body["provincename"] == "Tuyên Quang"


def test_without_rows_for_it_a_change_goes_out_by_its_codes() -> None:
    """A province or indicator that these seeds do not know is no reason to be silent."""
    (change,) = verdicts("postal.gone", [Verdict.MISSED], "99")
    body = json.loads(message(rows.encode(change), shipped_rules()).body)
    assert body == as_json(change) | {"subject": change.data.key}


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b"[]", b"{}", b'{"specversion":"1.0"}'])
def test_what_is_no_verdict_is_known_as_such(value: bytes | None) -> None:
    """It is told and left out, whatever it is."""
    with pytest.raises(rows.UNREADABLE):
        message(value, shipped_rules())


@pytest.mark.parametrize("name", ["", "a\nwebhook-signature: v1,x", "a\r", "a.1", "\0", "mã", "a" * 201])
def test_a_verdict_whose_id_could_be_no_header_is_none(name: str) -> None:
    """It would end the process, again after each start: to go on would leave the change out."""
    (change,) = verdicts(POSTAL, [Verdict.MISSED])
    with pytest.raises(rows.UNREADABLE):
        message(rows.encode(msgspec.structs.replace(change, id=name)), shipped_rules())


def _file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "webhook-secret"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_is_read_from_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    """One a line."""
    assert read_secrets(_file(tmp_path, SECRET + "\n")) == (KEY,)
    other = "whsec_" + base64.b64encode(b"x" * 64).decode()
    assert read_secrets(_file(tmp_path, f"{SECRET}\n{other}")) == (KEY, b"x" * 64)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602])
def test_a_secret_that_others_may_read_is_none(tmp_path: Path, mode: int) -> None:
    """With the remedy, and without the secret."""
    path = _file(tmp_path, SECRET, mode)
    with pytest.raises(SettingsError, match=f"chmod 600 {path}") as caught:
        read_secrets(path)
    assert SECRET[8:] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        KEY.hex(),
        "whsec_",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        "whsec_!!" + SECRET[8:],
        f"{SECRET}\nsomething else",
        f"{SECRET}\n" * 5,
        SECRET + "\n" + "\n" * 5000,
    ],
)
def test_what_is_no_secret_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    """The line is named instead."""
    with pytest.raises(SettingsError, match="webhook-secret") as caught:
        read_secrets(_file(tmp_path, text))
    assert SECRET[8:] not in str(caught.value)
    assert KEY.hex() not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ioc.example.vn/x",
        "ftp://ioc.example.vn/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user:hunter2@ioc.example.vn/",
        "https://hunter2@ioc.example.vn/",
        "https://ioc.example.vn/#hunter2",
        "https://ioc.example.vn:70000/",
        "https://ioc.example.vn:0/",
        "https://ioc.example.vn/a b",
        "https://ioc.example.vn/\n",
        "https://[::1/",
    ],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(tmp_path: Path, url: str) -> None:
    """And so is every other problem at once."""
    with pytest.raises(SettingsError) as caught:
        read_webhook(url, tmp_path / "nowhere")
    first, second = str(caught.value).splitlines()
    assert first.startswith("PHUSONG_WEBHOOK_URL: ")
    assert "hunter2" not in first
    assert second.startswith("PHUSONG_WEBHOOK_SECRET_FILE: ")
    assert "docs/webhook.md" in second


@pytest.mark.parametrize("url", ["https://ioc.example.vn/phusong?token=1", "http://127.0.0.1:9000", "http://[::1]:9000/x"])
def test_an_address_is_told_without_its_path(tmp_path: Path, url: str) -> None:
    """The path of a webhook is often a secret."""
    assert url.startswith(read_webhook(url, _file(tmp_path, SECRET)).name)
    assert "token" not in read_webhook(url, _file(tmp_path, SECRET)).name


def test_each_wait_is_twice_the_one_before_up_to_five_minutes() -> None:
    """At most half of it is left to chance, and years of outage do not overflow."""
    assert [wait_seconds(tries, 0) for tries in (1, 2, 3, 8, 9, 10, 10_000)] == [1, 2, 4, 128, 256, 300, 300]
    assert wait_seconds(9, 0.999) > 128
    assert wait_seconds(10_000, 0.5) == WAIT_SECONDS_MAX * 0.75
