"""docs/webhook.md does what it says: its secret is taken, its message is what is sent, its receiver accepts that and nothing forged."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from phusong.settings import Settings
from streams.notify import KEPT_SECONDS, WAIT_SECONDS_MAX
from streams.webhook import POST_SECONDS_MAX, message, read_secrets, sign
from tests.shipped import shipped_rules
from tests.webhooks import SECRET

PAGE = (Path(__file__).parents[2] / "docs/webhook.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
EXTENSIONS = ("subject", "provincename", "indicatorname", "indicatornameen")


def test_the_secret_of_the_page_is_taken(tmp_path: Path) -> None:
    """It lies where the settings look for it, for its owner alone."""
    subprocess.run(["bash", "-euc", BLOCKS["sh"]], env=os.environ | {"HOME": str(tmp_path)}, check=True)
    where = Path(str(Settings.model_fields["webhook_secret_file"].default))
    assert [len(secret) for secret in read_secrets(tmp_path / where.relative_to("~"))] == [32]


def test_the_message_of_the_page_is_what_is_sent() -> None:
    """From the entry that the topic would hold."""
    shown = json.loads(BLOCKS["json"])
    entry = {name: value for name, value in shown.items() if name not in EXTENSIONS}
    assert json.loads(message(msgspec.json.encode(entry), shipped_rules()).body) == shown


def test_the_receiver_of_the_page_takes_it_once_and_nothing_forged() -> None:
    """Copied as it stands, with a secret."""
    scope: dict[str, Any] = {"SECRET": SECRET}
    exec(BLOCKS["python"], scope)  # noqa: S102 - a block of our own page
    body, at = BLOCKS["json"].encode(), int(time.time())
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    headers = {
        "webhook-id": "1",
        "webhook-timestamp": str(at),
        "webhook-signature": sign([b"another secret, of 24 bytes", key], "1", at, body),
    }
    with pytest.raises(WebhookVerificationError):
        scope["take"](body.replace(b"missed", b"met"), headers)
    assert scope["take"](body, headers) == json.loads(body)
    assert scope["take"](body, headers) is None


def test_the_bounds_of_the_page_are_those_of_the_program() -> None:
    """Seconds, minutes and days."""
    assert f"within {POST_SECONDS_MAX:.0f} s" in PAGE
    assert f"at most {WAIT_SECONDS_MAX / 60:.0f} min" in PAGE
    assert f"{KEPT_SECONDS / 86400:.0f} days old" in PAGE
