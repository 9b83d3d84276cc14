"""What every test gets: the Kafka fixtures, Hypothesis without a stopwatch, and in CI no quiet skipping.

Comes in: the environment (`CI=true`). Goes out: a failure for each test marked with one of NEVER_SKIPPED_IN_CI that would be skipped in CI.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

pytest_plugins = ["tests.kafka", "tests.workers"]

# a shell that starts us in the background has us ignore Ctrl-C, and with us every child that a test ends with it
signal.signal(signal.SIGINT, signal.default_int_handler)

NEVER_SKIPPED_IN_CI = ("amtool", "chromium", "kafka", "libreoffice", "prometheus")

# A deadline per example measures the neighbours on a shared machine. Not derandomized, as Hypothesis's own `ci` profile is: each run
# looks at new examples, and a failure prints how to repeat it.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
hypothesis.settings.load_profile("ci")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn the skip of a test that needs the real thing into a failure that says so."""
    report = yield
    marks = [name for name in NEVER_SKIPPED_IN_CI if item.get_closest_marker(name)]
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and marks and not expected_failure and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs {' and '.join(marks)}; in CI it must run, not be skipped ({reason})"
    return report
