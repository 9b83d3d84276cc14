"""The deliberate faults fit the code, and docs/mutants.md lists them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants import FAULTS, ROOT, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_what_a_fault_replaces_stands_once_in_its_module(fault: Fault) -> None:
    assert (ROOT / "phusong" / fault.module).read_text("utf-8").count(fault.right) == 1
    assert fault.wrong != fault.right


def test_the_page_lists_every_fault_once() -> None:
    lines = (ROOT / "docs" / "mutants.md").read_text("utf-8").splitlines()
    listed = Counter(tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("| "))
    assert {(fault.title, fault.module): 1 for fault in FAULTS} == dict(listed - Counter({("fault", "module"): 1, ("---", "---"): 1}))
