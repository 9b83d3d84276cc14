"""The pictures of docs/, taken from a running system: `make screenshots`.

Comes in: nothing. Goes out: docs/images/*.png, each at most BYTES_MAX. Owns the system and the browser while it runs. The figures are the
assumed facts of mid-2023, and those of a simulated half-year on the list of communes that has coordinates; both say so on the picture.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests.wallboards import System, browser, system, view

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
BYTES_MAX = 300 * 1024
SCALE = 0.6
"""A wall of 1920 x 1080 becomes a picture of 1152 x 648."""
POSTAL, VILLAGES = "postal.staffed_point", "telecom.mobile_signal_villages"
SIMULATED_START = "2026-10-15T09:00:00+07:00"


def main() -> int:
    """Take every picture; exit code 1 where one is too large."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="phusong-screenshots-") as directory, browser() as chrome:
        with system(Path(directory) / "facts") as house:
            house.run("ack", POSTAL, "--province", "08", "--owner", "Phòng Bưu chính", "--reason", "đã gửi văn bản", "--url", house.url)
            pictures = [
                ("wall-2023", "/?province=08&lang=vi", "wall", "light"),
                ("phone", "/?province=08&lang=vi", "phone", "light"),
                ("indicator", f"/indicators/{POSTAL}?province=08&lang=vi", "wall", "light"),
                ("commune", f"/communes/2020-01-01/02275?indicator={POSTAL}&lang=vi", "wall", "light"),
            ]
            for name, path, size, scheme in pictures:
                with view(chrome, house.url, size=size, scheme=scheme, scale=SCALE if name.startswith("wall") else 1) as seen:
                    seen.open(path)
                    if name in ("commune", "indicator"):
                        seen.page.set_viewport_size({"width": 1280, "height": 900})
                    if name == "commune":
                        seen.page.wait_for_selector("#evidence .statements")
                        seen.page.locator("#evidence").scroll_into_view_if_needed()
                    take(seen.page, name)
            with view(chrome, house.url, scale=SCALE) as seen:
                seen.open("/?province=08&lang=vi")
                with house.without_kafka():
                    seen.page.wait_for_selector("#alarm .alarm", timeout=60_000)
                    take(seen.page, "stopped")
        with system(Path(directory) / "simulated", SIMULATED_START) as house:
            simulate(house)
            for name, lang, scheme in (("wall", "vi", "light"), ("wall-dark", "en", "dark")):
                with view(chrome, house.url, scheme=scheme, lang=lang, scale=SCALE) as seen:
                    seen.open(f"/?province=08&lang={lang}")
                    seen.page.wait_for_selector(f'.board tr[data-indicator="{VILLAGES}"] .origin.simulated')
                    seen.page.select_option("#mapped", VILLAGES.replace("mobile_signal", "fibre"))
                    seen.page.wait_for_selector("svg.map .sign.part")
                    take(seen.page, name)
    large = [file for file in IMAGES.glob("*.png") if file.stat().st_size > BYTES_MAX]
    for file in large:
        sys.stderr.write(f"{file}: {file.stat().st_size} bytes, more than {BYTES_MAX}\n")
    return 1 if large else 0


def simulate(house: System) -> None:
    """Half a year of a province in which every reporter reports."""
    house.run("simulate", "--from", "2026-04-01", "--months", "6", "--seed", "7", "--province", "08", "--scenario", "docs/scenario.toml")


def take(page: Page, name: str) -> None:
    """A picture of what the window shows."""
    page.wait_for_timeout(500)  # letters and lines settle
    page.screenshot(path=IMAGES / f"{name}.png")
    sys.stderr.write(f"{IMAGES / name}.png\n")


if __name__ == "__main__":
    sys.exit(main())
