"""Ctrl-C ends a command with 130, wherever it lands."""

from __future__ import annotations

import pytest

from ops import cli
from ops.terminal import INTERRUPTED


def raising(error: BaseException, cause: BaseException | None) -> object:
    def command(*_: object, **__: object) -> int:
        raise error from cause

    return command


@pytest.mark.parametrize(
    ("error", "cause"),
    [(KeyboardInterrupt(), None), (SystemError("returned a result with an exception set"), KeyboardInterrupt())],
    ids=["in Python", "in a call into the Kafka client"],
)
def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, error: BaseException, cause: BaseException | None) -> None:
    monkeypatch.setattr(cli, "app", raising(error, cause))
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == INTERRUPTED


def test_another_error_inside_a_call_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", raising(SystemError("broken"), ValueError()))
    with pytest.raises(SystemError, match="broken"):
        cli.main([])
