"""`phusong send` of reporters' sheets to a real broker: what is good is in the log, what is not in a file to be mended and sent again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from ops import topics
from phusong.events import Event, Stated, Withdrawn, decode
from phusong.settings import read_settings
from phusong.topics import SOURCES
from tests.kafka import fresh_name

pytestmark = pytest.mark.kafka

HEADINGS = ("Mã xã", "Tên xã", "Đã phủ", "Tổng số", "Thôn chưa phủ")
GOOD = ("02275", "Xã Sơn Phú", 5, 8, "Bản Lãm; Nà Tạng; Tát Kẻ")
BAD = ("02263", "=HYPERLINK()", "9 thôn", 9, "+84")
SAID = ["--source", "operator-a", "--indicator", "telecom.mobile_signal_villages", "--observed-at", "2023-06-30"]


@pytest.fixture
def cluster(kafka: str) -> str:
    """The shared broker, with the topics; the events of tests before are passed over, see `events`."""
    said: list[str] = []
    assert topics.apply(read_settings(bootstrap_servers=kafka), said.append) == 0, said
    _BEFORE[kafka] = len(_every_event(kafka))
    return kafka


_BEFORE: dict[str, int] = {}


def events(servers: str) -> list[Event]:
    """The events of this test, in the order in which Kafka took them."""
    return [event for _, event in sorted(_every_event(servers), key=lambda one: one[0])][_BEFORE[servers] :]


def phusong(servers: str, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PHUSONG_BOOTSTRAP_SERVERS": servers}
    return subprocess.run([sys.executable, "-m", "ops.cli", *arguments], env=environment, capture_output=True, input=given, check=False)


def _every_event(servers: str) -> list[tuple[int, Event]]:
    """(when Kafka took it, event) of all of the log."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": fresh_name("group"), "enable.partition.eof": True})
    parts = [TopicPartition(topic.name, number, OFFSET_BEGINNING) for topic in SOURCES.values() for number in range(topic.partitions)]
    consumer.assign(parts)
    found, ends = [], 0
    try:
        while ends < len(parts):
            for message in consumer.consume(1000, timeout=0.5):
                if message.error() is None:
                    found.append((message.timestamp()[1], decode(message.value())))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ends += 1
    finally:
        consumer.close()
    return found


def write(path: Path, rows: list[tuple[object, ...]]) -> Path:
    if path.suffix == ".csv":
        path.write_text("\n".join(";".join(map(str, row)).replace("; ", ", ") for row in rows) + "\n", encoding="utf-8")
        return path
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(["" if cell is None else cell for cell in row])
    for cell in book.active["B"]:
        cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
    book.save(path.with_suffix(".xlsx"))
    if path.suffix == ".ods":
        profile = f"-env:UserInstallation=file://{path.parent}/profile"
        command = ["soffice", profile, "--headless", "--convert-to", "ods", "--outdir", str(path.parent), str(path.with_suffix(".xlsx"))]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        path.with_suffix(".xlsx").unlink()
    return path


@pytest.mark.parametrize("extension", [".csv", ".xlsx", ".ods"])
def test_good_rows_are_sent_and_bad_ones_come_back_in_a_file_to_be_mended_and_sent(cluster: str, tmp_path: Path, extension: str) -> None:
    if extension == ".ods" and shutil.which("soffice") is None:
        pytest.skip("no LibreOffice on this machine")
    file = write(tmp_path / f"form{extension}", [("BÁO CÁO",), HEADINGS, GOOD, BAD])
    done = phusong(cluster, "send", str(file), *SAID, "--lang", "en")
    assert done.returncode == 1, done.stderr.decode()
    assert done.stdout.decode() == f"{file}: 1 acknowledged, 1 rejected, 0 not acknowledged\n"
    where = str(file) if extension == ".csv" else f"{file}[Sheet]"
    told = done.stderr.decode()
    assert f'{where}:4: column "Đã phủ" = "9 thôn": schema: is no whole number' in told
    (event,) = events(cluster)
    assert (event.data.commune, event.data.uncovered) == ("02275", ("Bản Lãm", "Nà Tạng", "Tát Kẻ"))

    rejects = tmp_path / f"form.rejects{extension}"
    assert phusong(cluster, "send", str(rejects), *SAID).returncode == 1
    mend(rejects, {"9 thôn": 9, "=HYPERLINK()": "Xã Khau Tinh", "'=HYPERLINK()": "Xã Khau Tinh", "+84": "không", "'+84": "không"})
    (tmp_path / f"form.rejects.rejects{extension}").unlink()
    done = phusong(cluster, "send", str(rejects), *SAID)
    assert done.returncode == 0, done.stderr.decode()
    assert {event.data.commune for event in events(cluster)} == {"02275", "02263"}
    assert not (tmp_path / f"form.rejects.rejects{extension}").exists()


def mend(path: Path, changes: dict[str, object]) -> None:
    if path.suffix == ".csv":
        text = path.read_text("utf-8-sig")
        for old, new in changes.items():
            text = text.replace(f";{old};", f";{new};")
        path.write_text(text, "utf-8")
    elif path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        for cell in (cell for row in book.active for cell in row):
            assert cell.data_type != "f", "a rejected text has become a formula"
            cell.value = changes.get(str(cell.value), cell.value)
        book.save(path)
    else:
        from odfdo import Document

        document = Document(str(path))
        table = document.body.tables[0]
        for y, row in enumerate(table.get_values()):
            for x, value in enumerate(row):
                if str(value) in changes:
                    table.set_value((x, y), changes[str(value)])
        document.save(str(path))


def test_the_same_file_twice_gives_the_same_events(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / "form.xlsx", [HEADINGS, GOOD])
    for _ in range(2):
        assert phusong(cluster, "send", str(file), *SAID).returncode == 0
    first, second = events(cluster)
    assert first == second


def test_several_files_are_sent_in_one_run_and_one_that_cannot_be_read_does_not_stop_the_others(cluster: str, tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", [HEADINGS, GOOD])
    two = write(tmp_path / "two.xlsx", [HEADINGS, ("02263", "", 1, 1, "")])
    (tmp_path / "bad.xlsx").write_text("no workbook")
    done = phusong(cluster, "send", str(one), str(tmp_path / "bad.xlsx"), str(two), *SAID)
    assert done.returncode == 3
    assert f"{tmp_path}/bad.xlsx: không phải bảng tính" in done.stderr.decode()
    assert {event.data.commune for event in events(cluster)} == {"02275", "02263"}


def test_a_trial_prints_the_events_and_the_rejects_and_needs_no_kafka(tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, GOOD, BAD])
    done = phusong("127.0.0.1:9", "send", str(file), *SAID, "--dry-run")
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert decode(line).data.commune == "02275"
    assert 'cột "Đã phủ" = "9 thôn"' in done.stderr.decode()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["form.csv"]


def test_csv_through_standard_input_is_sent(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, GOOD])
    assert phusong(cluster, "send", "-", *SAID, given=file.read_bytes()).returncode == 0
    assert len(events(cluster)) == 1


def test_a_rejects_file_that_is_being_mended_is_left_alone_and_the_rejects_go_beside_it(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, GOOD, BAD])
    other = tmp_path / "form.rejects.csv"
    other.write_text("somebody's own")
    done = phusong(cluster, "send", str(file), *SAID)
    assert (done.returncode, other.read_text(), len(events(cluster))) == (1, "somebody's own", 1)
    assert "9 thôn" in (tmp_path / "form.rejects-2.csv").read_text("utf-8-sig")
    told = done.stderr.decode()
    assert f"{other}: có từ trước, để nguyên" in told
    assert f"sửa rồi gửi lại: {tmp_path}/form.rejects-2.csv" in told


def test_a_rejects_file_of_an_earlier_run_stays_and_is_told_once_nothing_is_rejected(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, GOOD, BAD])
    assert phusong(cluster, "send", str(file), *SAID).returncode == 1
    write(file, [HEADINGS, GOOD])
    done = phusong(cluster, "send", str(file), *SAID)
    assert done.returncode == 0
    assert f"{tmp_path}/form.rejects.csv: có từ trước, để nguyên" in done.stderr.decode()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["form.csv", "form.rejects.csv"]


def test_nothing_is_sent_where_a_rejects_file_cannot_be_made(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"{'x' * 245}.csv", [HEADINGS, GOOD])
    done = phusong(cluster, "send", str(file), *SAID)
    assert (done.returncode, events(cluster)) == (3, [])
    assert "không ghi được" in done.stderr.decode()


def test_good_rows_are_sent_and_counted_though_the_rejects_file_cannot_be_written_to_its_end(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, *[BAD] * 500, GOOD])
    environment = {**os.environ, "PHUSONG_BOOTSTRAP_SERVERS": cluster}
    # the largest file that it may write is smaller than its rejects
    command = ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh", sys.executable, "-m", "ops.cli", "send", str(file), *SAID]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 3, done.stderr[-2000:]
    assert done.stdout == f"{file}: 1 đã nhận, 500 bị từ chối, 0 chưa được xác nhận\n"
    assert f"{tmp_path}/form.rejects.csv: không ghi được" in done.stderr.splitlines()[-1]
    assert len(events(cluster)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["form.csv"]


def test_of_many_rows_with_one_fault_a_hundred_are_told_and_the_rest_counted(cluster: str, tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, *[BAD] * 250, GOOD])
    done = phusong(cluster, "send", str(file), *SAID)
    told = done.stderr.decode()
    assert told.count('cột "Đã phủ" = "9 thôn"') == 100
    assert f'… và 150 lỗi nữa: cột "Đã phủ": schema (đều có trong {tmp_path}/form.rejects.csv)' in told
    assert (tmp_path / "form.rejects.csv").read_text("utf-8-sig").count("9 thôn;") == 250
    piped = phusong(cluster, "send", "-", *SAID, given=file.read_bytes())
    assert piped.stderr.decode().count('cột "Đã phủ" = "9 thôn"') == 250


def test_a_row_that_says_so_withdraws_what_an_earlier_file_stated(cluster: str, tmp_path: Path) -> None:
    stated, taken_back = (write(tmp_path / f"{n}.csv", [HEADINGS, ("02275", "", word, 8, "")]) for n, word in enumerate(("5", "rút")))
    assert phusong(cluster, "send", str(stated), str(taken_back), *SAID).returncode == 0
    first, second = events(cluster)
    assert isinstance(first, Stated)
    assert isinstance(second, Withdrawn)
    assert (second.data.commune, second.data.observed_at, second.source) == ("02275", first.data.observed_at, first.source)


@pytest.mark.parametrize("trial", [[], ["--dry-run"]], ids=["sent", "trial"])
def test_figures_that_nobody_owes_are_taken_and_told_not_to_count(cluster: str, tmp_path: Path, trial: list[str]) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, ("02275", "", 1, 1, ""), ("02263", "", 1, 1, "")])
    done = phusong(cluster, "send", str(file), *SAID[:2], "--indicator", "postal.staffed_point", *SAID[4:], *trial)
    assert done.returncode == 0
    assert done.stderr.decode().count("operator-a không có nghĩa vụ báo cáo postal.staffed_point ở tỉnh 08") == 1


def test_a_trial_whose_reader_has_seen_enough_ends_quietly(tmp_path: Path) -> None:
    file = write(tmp_path / "form.csv", [HEADINGS, *[GOOD] * 20_000])
    command = f'"{sys.executable}" -m ops.cli send "{file}" {" ".join(SAID)} --dry-run | head -n 1'
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True, text=True)
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_rejected_lines_of_jsonl_keep_their_bytes_and_get_the_reason_as_an_attribute(cluster: str, tmp_path: Path) -> None:
    good = phusong("127.0.0.1:9", "send", str(write(tmp_path / "form.csv", [HEADINGS, GOOD])), *SAID, "--dry-run").stdout.strip()
    file = tmp_path / "facts.jsonl"
    file.write_bytes(good + b"\n" + good.replace(b"02275", b"99999") + b"\nno event\n")
    assert phusong(cluster, "send", str(file)).returncode == 1
    rejects = (tmp_path / "facts.rejects.jsonl").read_bytes()
    assert b'"rejectreason":"unknown_commune' in rejects
    assert rejects.endswith(b"\nno event\n")
    (tmp_path / "facts.rejects.jsonl").write_bytes(rejects.replace(b"99999", b"02263").replace(b"no event\n", b""))
    assert phusong(cluster, "send", str(tmp_path / "facts.rejects.jsonl")).returncode == 0
    assert {event.data.commune for event in events(cluster)} == {"02275", "02263"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_stops_a_long_file_and_tells_what_was_acknowledged(cluster: str, tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "long.csv"
    rows = [("02275", "", "0", str(of), "") for of in range(1, 400_001)]
    write(file, [(*HEADINGS, "Ngày số liệu"), *((*row, f"{n % 28 + 1:02}/{n // 28 % 12 + 1:02}/2023") for n, row in enumerate(rows))])
    environment = {**os.environ, "PHUSONG_BOOTSTRAP_SERVERS": cluster}
    command = [sys.executable, "-m", "ops.cli", "send", str(file), *SAID[:4], "--lang", "en"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "states other figures" in process.stderr.readline()  # it is under way: the dates come round again
        process.send_signal(number)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "interrupted, after this line" in told
    assert " acknowledged, " in out
    assert not (tmp_path / "long.rejects.csv").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["long.csv"]
