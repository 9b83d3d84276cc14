"""docs/reporters.md does what it says: its blocks are run in their order on a real Kafka, and what they send counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from ops.local_kafka import LocalKafka
from phusong.events import Challenged, Promised, Stated, Withdrawn, decode
from phusong.settings import PREFIX, SEEDS, read_rules
from tests.gateways import Door, Process
from tests.workers import Log, Topics

pytestmark = [
    # in CI what is marked so is never skipped
    pytest.mark.kafka,
    pytest.mark.skipif(shutil.which("kcat") is None, reason="needs the Debian package kcat"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs the Debian package curl"),
]

PAGE = Path(__file__).parents[2] / "docs/reporters.md"
BLOCKS: list[tuple[str, str, str]] = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
"""(language, file name or "", text) of each."""


class Reader:
    """Somebody who works through the page: a directory, a shell that remembers, the addresses of this test in place of the page's."""

    def __init__(self, directory: Path, door: Door, gateway: Process) -> None:
        self._directory = directory
        self._addresses = {"127.0.0.1:9092": door.servers, "http://127.0.0.1:8601": gateway.url}
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PHUSONG_BOOTSTRAP_SERVERS": door.servers,
            "PHUSONG_KEYS": str(door.keyfile),
            # nothing listens there: the form's last values stay empty
            "PHUSONG_FEED_PORT": "1",
            "NO_COLOR": "1",
        }
        self.answer = ""

    def follow(self, language: str, name: str, text: str) -> None:
        """One block: a file is written, a program run, and what it printed compared with the block after it."""
        for page, here in self._addresses.items():
            text = text.replace(page, here)
        if name:
            (self._directory / name).write_text(text)
        elif language == "text":
            assert self.answer.strip() == text.strip()
        elif language == "python":
            self.answer = self._run([sys.executable, "-c", text])
        else:
            assert language == "sh"
            self.answer = ""
            for line in re.split(r"\n(?=phusong )", text):
                if "send bieu-mau.xlsx" in line:
                    self._fill_in()
                self.answer += self._run(["bash", "-euo", "pipefail", "-c", f"touch env; . ./env; set -a\n{line}\nexport -p > env"])

    def _run(self, command: list[str]) -> str:
        remembered = self._directory / "env"
        found = re.search(r'^declare -x KEY="(.*)"$', remembered.read_text(), re.MULTILINE) if remembered.exists() else None
        env = {**self._env, **({"KEY": found[1]} if found else {})}
        done = subprocess.run(command, cwd=self._directory, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (command[-1], done.stdout, done.stderr)
        return done.stdout

    def _fill_in(self) -> None:
        path = self._directory / "bieu-mau.xlsx"
        book = openpyxl.load_workbook(path)
        sheet = book.active
        assert sheet is not None
        rows = list(sheet.iter_rows())
        heading = next(number for number, row in enumerate(rows) if row[0].value == "Mã xã")
        columns = {cell.value: cell.column for cell in rows[heading]}
        for row in rows[heading + 1 :]:
            sheet.cell(row[0].row, columns["Tổng số"]).value = 1
            sheet.cell(row[0].row, columns["Đã phủ"]).value = int(row[0].value != "02275")
        book.save(path)


def test_every_block_of_the_page_does_what_the_page_says(own_kafka: LocalKafka, tmp_path: Path) -> None:
    texts = {path.name: path.read_text() for path in SEEDS.iterdir() if path.suffix in (".csv", ".toml")}
    door = Door(own_kafka.bootstrap_servers, tmp_path / "door", texts)
    directory = tmp_path / "reader"
    directory.mkdir()
    with door.process() as gateway:
        reader = Reader(directory, door, gateway)
        for block in BLOCKS:
            reader.follow(*block)

    topics = Topics(door.servers)
    try:
        log = Log(topics, read_rules(SEEDS))
    finally:
        topics.close()
    assert log.rejects == {}
    kinds = Counter(type(decode(record.value, list(record.headers))) for record in log.records)
    assert kinds == {Stated: 138 + 2 + 1 + 1 + 2 + 1 + 2, Withdrawn: 1, Promised: 1, Challenged: 2}


def test_the_page_shows_every_type_of_event() -> None:
    text = PAGE.read_text()
    for kind in (Stated, Withdrawn, Promised, Challenged):
        assert str(kind.__struct_config__.tag) in text
