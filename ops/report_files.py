"""Where reports live: one directory, each report in four files that are named after province, period and version.

Comes in: `Report`s to be kept, and paths. Goes out: NAME.json (canonical), NAME.html and NAME.xlsx (both name the SHA-256 of the JSON on
every page) and NAME.sha256 (as `sha256sum -c` reads it). Owns those files, under a lock on the directory. What the head has signed is made
read-only and never written again; a draft that nobody has signed may be. A file that is not as it was written is told, never mended.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from feed.text import Lang, say
from ops.report_document import (
    BYTES_MAX,
    ROLES,
    Report,
    Role,
    Signature,
    TamperedError,
    decode,
    encode,
    same_name,
    sha256,
    span,
)
from ops.report_figures import Signed
from ops.report_page import page
from ops.report_sheet import sheet
from ops.report_words import ROLE_NAMES
from phusong.periods import VIETNAM
from phusong.settings import SettingsError

NAME_CHARACTERS_MAX = 100
_NAMED = re.compile(r"(?P<province>[0-9A-Za-z]{1,8})-(?P<period>\d{4}(?:-(?:\d{2}|Q\d|H\d))?)-v(?P<version>[1-9]\d{0,3})")
_ENDINGS = (".json", ".html", ".xlsx", ".sha256")
_SHEET = "xl/worksheets/sheet1.xml"


class Finding(Struct, frozen=True, kw_only=True):
    """What `verify` found out about one report: how far it is signed, and each file that is not as it was written (none: all is well)."""

    report: str
    signatures: tuple[str, ...]
    frozen: bool
    sha256: str | None
    differences: tuple[str, ...]


@contextmanager
def locked(directory: Path, lang: Lang) -> Iterator[None]:
    """Nobody else writes there meanwhile; the directory is made where there is none. Raises OSError with the remedy."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise OSError(_unwritable(directory, error, lang)) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def versions(directory: Path, province: str, period: str) -> list[int]:
    """The versions of a report that have any file there, earliest first."""
    found = {int(named["version"]) for named in _named(directory) if (named["province"], named["period"]) == (province, period)}
    return sorted(found)


def next_version(directory: Path, province: str, period: str, lang: Lang) -> int:
    """The version that is to be made: the one after a frozen one, or again a draft that nobody has signed.

    Raises SettingsError where the last one is signed in part, TamperedError where it cannot be read.
    """
    last = max(versions(directory, province, period), default=0)
    if not last:
        return 1
    report, _ = load(directory / f"{province}-{period}-v{last}.json", lang)
    if report.frozen:
        return last + 1
    if report.signatures:
        names = ", ".join(one.name for one in report.signatures)
        where = directory / f"{report.name}.*"
        raise SettingsError(
            say(
                lang,
                f"{where}: {names} đã ký bản này; ký tiếp, hoặc xóa các tệp đó để bỏ bản đã ký rồi lập lại",
                f"{where}: signed by {names}; have it signed to the end, or remove these files to drop it and make it again",
            )
        )
    return last


def last_signed(directory: Path, province: str, as_of: datetime, lang: Lang) -> Signed | None:
    """The frozen report of the latest moment up to `as_of`, of several the last version. Raises TamperedError where it is not as signed."""
    found = [named for named in _named(directory) if named["province"] == province and span(named["period"]).as_of <= as_of]
    names = {one[0]: (span(one["period"]).as_of, span(one["period"]).kind, int(one["version"])) for one in found}
    for name in sorted(names, key=names.__getitem__, reverse=True):
        # the last version of a period may be a draft
        report, digest = load(directory / f"{name}.json", lang)
        if report.frozen:
            found_wrong = verify(directory / name, lang).differences
            if found_wrong:
                raise TamperedError("\n".join(found_wrong))
            return Signed(report, digest)
    return None


def load(path: Path, lang: Lang) -> Signed:
    """A report and the SHA-256 of its JSON. Raises TamperedError where it is missing, unreadable or not as written."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise TamperedError(f"{path}: {say(lang, 'quá lớn', 'too large')} (> {BYTES_MAX})")
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or error
        raise TamperedError(
            say(
                lang,
                f"{path}: không đọc được ({why}); lấy lại từ bản sao lưu, hoặc chuyển các tệp cùng tên đi nơi khác",
                f"{path}: cannot be read ({why}); restore it from a backup, or move the files of that name away",
            )
        ) from error
    try:
        report = decode(content)
    except TamperedError as error:
        raise TamperedError(f"{path}: {error}") from error
    if report.name != path.stem:
        raise TamperedError(f"{path}: {say(lang, 'trong tệp là báo cáo', 'it holds the report')} {report.name}")
    return Signed(report, sha256(content))


def write(directory: Path, report: Report, lang: Lang) -> Signed:
    """Write the four files, in one go; for good where the report is frozen. Raises OSError, and TamperedError rather than overwrite."""
    content = encode(report)
    digest = sha256(content)
    files = {".html": page(report, digest).encode(), ".xlsx": sheet(report, digest)}
    sums = "".join(f"{sha256(one)}  {report.name}{ending}\n" for ending, one in (*files.items(), (".json", content)))
    # the JSON is the last: a report is signed when its JSON says so
    files |= {".sha256": sums.encode(), ".json": content}
    there = directory / f"{report.name}.json"
    if there.exists() and load(there, lang).report.frozen:
        raise TamperedError(f"{there}: {say(lang, 'đã khóa, không ghi đè', 'is frozen and never overwritten')}")
    parts = {ending: directory / f".{report.name}{ending}.part" for ending in files}
    try:
        for ending, one in files.items():
            parts[ending].write_bytes(one)
            parts[ending].chmod(0o444 if report.frozen else 0o644)
        for ending, part in parts.items():
            part.replace(directory / f"{report.name}{ending}")
    except OSError as error:
        why = error.strerror or error
        raise OSError(
            say(
                lang,
                f"{directory}: không ghi được ({why}); chọn --out khác",
                f"{directory}: cannot be written ({why}); choose another --out",
            )
        ) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return Signed(report, digest)


def sign(path: Path, role: Role, name: str, at: datetime, lang: Lang) -> Signed:
    """Sign a report as the next of the three. Raises SettingsError out of order or by a name that has signed, TamperedError."""
    where = stem(path)
    name = normalize("NFC", " ".join(name.split()))
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise SettingsError(
            say(
                lang,
                f"--name: họ và tên người ký, một dòng, tối đa {NAME_CHARACTERS_MAX} ký tự",
                f"--name: the signatory's name, one line, at most {NAME_CHARACTERS_MAX} characters",
            )
        )
    if not where.parent.is_dir():
        raise SettingsError(f"{path}: {say(lang, 'không có báo cáo này', 'there is no such report')}")
    with locked(where.parent, lang):
        found = verify(where, lang)
        if found.differences:
            raise TamperedError("\n".join(found.differences))
        report, digest = load(where.with_name(f"{where.name}.json"), lang)
        if report.frozen:
            raise SettingsError(
                say(
                    lang,
                    f"{where}: đã khóa, {report.signatures[-1].name} ký ngày {report.signatures[-1].at:%d/%m/%Y}; lập phiên bản mới để sửa",
                    f"{where}: frozen, signed by {report.signatures[-1].name} on {report.signatures[-1].at:%Y-%m-%d}; make a new version",
                )
            )
        due = ROLES[len(report.signatures)]
        if role is not due:
            vi, en = ROLE_NAMES[due]
            raise SettingsError(
                say(
                    lang,
                    f"--as {role}: chưa đến lượt; lượt này là {vi} (--as {due})",
                    f"--as {role}: out of order; now it is the {en}'s turn (--as {due})",
                )
            )
        if same_name(name) in {same_name(one.name) for one in report.signatures}:
            raise SettingsError(
                say(
                    lang,
                    f"--name: {name} đã ký; ba người ký phải là ba người khác nhau",
                    f"--name: {name} has signed already; three different people sign",
                )
            )
        signature = Signature(role=role, name=name, at=at.astimezone(VIETNAM).replace(microsecond=0), of=digest)
        return write(where.parent, replace(report, signatures=(*report.signatures, signature)), lang)


def verify(path: Path, lang: Lang) -> Finding:
    """Whether the files of a report are as they were written, its figures as each signature says. Raises SettingsError: none there."""
    where = stem(path)
    files = {ending: where.with_name(f"{where.name}{ending}") for ending in _ENDINGS}
    if not any(file.exists() for file in files.values()):
        raise SettingsError(f"{path}: {say(lang, 'không có báo cáo này', 'there is no such report')}")
    wrong = []
    contents: dict[str, bytes] = {}
    for ending, file in files.items():
        try:
            contents[ending] = file.read_bytes() if file.stat().st_size <= BYTES_MAX else b""
        except OSError as error:
            wrong.append(f"{file}: {say(lang, 'không đọc được', 'cannot be read')} ({error.strerror or error})")
    report = None
    if ".json" in contents:
        try:
            report = load(files[".json"], lang).report
        except TamperedError as error:
            wrong.append(str(error))
    sums = contents.get(".sha256", b"").decode(errors="replace").splitlines()
    changed = say(lang, "đã bị thay đổi sau khi phusong ghi", "was changed after phusong wrote it")
    for ending, content in contents.items():
        if ending != ".sha256" and ".sha256" in contents and f"{sha256(content)}  {files[ending].name}" not in sums:
            wrong.append(f"{files[ending]}: {changed}")
    digest = sha256(contents[".json"]) if ".json" in contents else None
    if digest is not None:
        other = say(lang, f"không mang mã SHA-256 của {files['.json'].name}", f"does not carry the SHA-256 of {files['.json'].name}")
        wrong += [
            f"{files[ending]}: {other}" for ending in (".html", ".xlsx") if ending in contents and not _names(contents[ending], digest)
        ]
    return Finding(
        report=where.name,
        signatures=() if report is None else tuple(f"{one.role}: {one.name}" for one in report.signatures),
        frozen=report is not None and report.frozen,
        sha256=digest,
        differences=tuple(dict.fromkeys(wrong)),
    )


def every(directory: Path, lang: Lang) -> list[Finding]:
    """All reports of a directory, and whether each that another was compared with is still the one it was."""
    names = sorted({named[0] for named in _named(directory)})
    found = [verify(directory / name, lang) for name in names]
    digests = {one.report: one.sha256 for one in found}
    told = []
    for one in found:
        differences = list(one.differences)
        if not differences:
            base = load(directory / f"{one.report}.json", lang).report.base
            if base is not None and digests.get(base.report, base.sha256) != base.sha256:
                differences.append(
                    say(
                        lang,
                        f"{directory / one.report}: {base.report} không còn là bản mà báo cáo này so sánh (SHA-256 {base.sha256})",
                        f"{directory / one.report}: {base.report} is not the one that this was compared with (SHA-256 {base.sha256})",
                    )
                )
        told.append(replace(one, differences=tuple(differences)))
    return told


def _unwritable(directory: Path, error: OSError, lang: Lang) -> str:
    why = error.strerror or error
    return say(
        lang, f"{directory}: không ghi được ({why}); chọn --out khác", f"{directory}: cannot be written ({why}); choose another --out"
    )


def stem(path: Path) -> Path:
    """The path of a report without the ending of one of its files."""
    return path.with_suffix("") if path.suffix in _ENDINGS else path


def _names(content: bytes, digest: str) -> bool:
    """Whether a page or a sheet names the SHA-256 of its JSON."""
    if not content.startswith(b"PK"):
        return digest.encode() in content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book, book.open(_SHEET) as part:
            return digest.encode() in part.read(BYTES_MAX)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, NotImplementedError):
        return False


def _named(directory: Path) -> list[re.Match[str]]:
    """The names of reports there, once for each file."""
    if not directory.is_dir():
        return []
    found = (_NAMED.fullmatch(file.stem) for file in sorted(directory.iterdir()) if file.suffix in _ENDINGS)
    return [named for named in found if named is not None and _is_period(named["period"])]


def _is_period(name: str) -> bool:
    try:
        span(name)
    except SettingsError:
        return False
    return True
