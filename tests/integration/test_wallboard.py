"""The wallboard in the real Chromium before a real system: its figures, its changes, its loud state, and what it must never do."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from confluent_kafka import TIMESTAMP_CREATE_TIME, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from playwright.sync_api import Browser, Page

from feed.text import Lang, number, percent
from feed.wallboard.pages import words
from ops.local_kafka import LocalKafka, _free_port
from phusong import assessment
from phusong.rows import VERSION_HEADER, State, encode
from phusong.topics import PROVINCES, TOPICS
from tests.feed_clusters import ROW, Cluster
from tests.kafka import wait_until
from tests.wallboards import SIZES, WAIT_MS, System, View, browser, system, view

pytestmark = [pytest.mark.kafka, pytest.mark.chromium]

POSTAL, VILLAGES = "postal.staffed_point", "telecom.mobile_signal_villages"
EVIL = '<img src=x onerror="window.owned=1">'
TURNED = "\u202e\u2066\u0007"
"""Would show what follows from right to left; and a control character."""
PATHS = (
    "/?province=08&lang={lang}",
    f"/indicators/{VILLAGES}?province=08&lang={{lang}}",
    f"/communes/2020-01-01/02263?indicator={VILLAGES}&lang={{lang}}",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for all: tests add facts, and leave it running."""
    with system(tmp_path_factory.mktemp("wallboard")) as running:
        yield running


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with browser() as running:
        yield running


def stated(reporter: str, commune: str, indicator: str, covered: int, expected: int, hour: int, **more: Any) -> dict[str, Any]:
    """A statement of the evening of 30 June 2023, observed at that hour: later than the facts."""
    return {
        "specversion": "1.0",
        "type": "vn.phusong.coverage.stated.v1",
        "id": f"{reporter}/test/{commune}/{indicator}/{hour}",
        "source": reporter,
        "time": f"2023-06-30T{hour:02}:30:00+07:00",
        "datacontenttype": "application/json",
        "data": {
            "commune": commune,
            "indicator": indicator,
            "observed_at": f"2023-06-30T{hour:02}:00:00+07:00",
            "origin": "simulated",
            "covered": covered,
            "expected": expected,
            **more,
        },
    }


def text(page: Page, selector: str) -> str:
    found = page.locator(selector).first.text_content()
    return (found or "").strip()


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("size", ["wall", "phone"])
def test_every_figure_on_the_wall_is_the_apis(house: System, chrome: Browser, size: str, lang: Lang) -> None:
    said = words(lang)
    for province in ("08", "02"):
        rows = house.rows("provinces", province=province)
        with view(chrome, house.url, size=size, lang=lang) as seen:
            seen.open(f"/?province={province}&lang={lang}")
            page = seen.page
            assert page.get_attribute("html", "lang") == lang
            assert text(page, "h1") == rows[0]["province_name"]
            known = [row for row in rows if row["units"]["fresh"] + row["units"]["stale"]]
            assert page.locator(".board tbody tr").count() == len(known)
            assert page.locator(".quiet li").count() == len(rows) - len(known)
            for row in known:
                line = f'.board tr[data-indicator="{row["indicator"]}"]'
                assert text(page, f"{line} .ratio") == percent(row["ratio"], lang, row["target"])
                low, high = (percent(row[one], lang, row["target"]) for one in ("low", "high"))
                assert text(page, f"{line} .interval") == f"{low.removesuffix(' %')} – {high}"
                assert low in (page.get_attribute(f"{line} svg.bar", "aria-label") or "")
                assert text(page, f"{line} .complete") == percent(row["completeness"], lang)
                assert text(page, f"{line} .verdict .word") == said[f"verdict_{row['verdict']}"]
                assert text(page, f"{line} .origin") == ("" if row["origin"] == "real" else said[f"origin_{row['origin']}"])
                if row["target"] is not None:
                    assert text(page, f"{line} .target") == re.sub(r"[,.]0 %$", " %", percent(row["target"], lang))
            named = {row["indicator"]: row[f"name_{lang}"] for row in house.rows("indicators")}
            assert {text(page, f'[data-indicator="{row["indicator"]}"] a') for row in rows} == {named[row["indicator"]] for row in rows}
            gaps = [row for row in house.rows("gaps", province=province) if row["state"] != State.UNKNOWN]
            shown = page.locator("#missing ul ul a").all_text_contents()
            assert set(shown) <= {row["name"] for row in gaps}
            assert bool(shown) == bool(gaps)
            owed: Counter[str] = Counter()
            for row in rows:
                owed.update(row["reporters_overdue"])
            for place, (reporter, count) in enumerate(sorted(owed.items(), key=lambda one: (-one[1], one[0]))[:3]):
                line = page.locator("#late li[data-reporter]").nth(place)
                assert (line.get_attribute("data-reporter"), number(count, lang) in line.inner_text()) == (reporter, True)
            assert bool(owed) == bool(page.locator("#late li").count())
            # nothing is cut off at the side
            assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
            assert seen.complaints == []


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_page_prints_shares_and_counts_as_the_core_does(house: System, chrome: Browser, lang: Lang) -> None:
    draw = random.Random(6)
    shares = [(one, draw.choice([None, 1.0, 0.99, 0.95, one, round(one, 3)])) for one in _shares(draw)]
    counts = [draw.choice([draw.randrange(10**7), draw.randrange(10**5) / 10]) for _ in range(200)]
    with view(chrome, house.url, lang=lang) as seen:
        seen.open(f"/?province=08&lang={lang}")
        printed = seen.page.evaluate(
            "async ([shares, counts]) => { const f = await import('/wallboard/figures.js');"
            " return [shares.map(([one, target]) => f.percent(one, target)), counts.map(f.number)]; }",
            [shares, counts],
        )
    assert printed[0] == [percent(one, lang, target) for one, target in shares]
    assert printed[1] == [number(one, lang) for one in counts]
    assert assessment.percent(137 / 138, 1.0) == "99,3 %"


def _shares(draw: random.Random) -> Iterator[float]:
    yield from (137 / 138, 0.9995, 0.9999, 0.0005, 0.0015, 0.0, 1.0, 1_639_489 / 1_639_490)
    for _ in range(3000):
        whole = draw.randrange(1, 2_000_000)
        yield draw.choice([draw.randrange(whole + 1), whole - draw.randrange(min(whole, 5))]) / whole


def test_an_event_in_kafka_changes_the_page_without_reload(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open("/?province=08")
        page = seen.page
        line = f'.board tr[data-indicator="{POSTAL}"]'
        assert text(page, f"{line} .ratio") == "99,3 %"
        page.evaluate("window.stayed = true")
        # what is read again now and then never comes: the stream alone has to tell
        page.route("**/api/v1/provinces?*", lambda _: None)
        house.send(stated("assumed-postal-reporter", "02275", POSTAL, 1, 1, 12))
        page.wait_for_selector(f'{line} .verdict.met:has-text("đạt")', timeout=WAIT_MS)
        assert text(page, f"{line} .ratio") == "100,0 %"
        page.wait_for_selector("#changes .verdict.met", timeout=WAIT_MS)
        assert "chưa đạt" in text(page, "#changes li")
        assert "đạt" in text(page, "#news")
        assert page.locator("#map .sign.none").count() == 0
        assert page.evaluate("window.stayed")
        house.send(stated("assumed-postal-reporter", "02275", POSTAL, 0, 1, 13))
        page.wait_for_selector(f"{line} .verdict.missed", timeout=WAIT_MS)
        page.wait_for_selector("#map .sign.none", timeout=WAIT_MS)
        assert seen.complaints == []


def test_who_has_taken_an_open_verdict_is_shown_as_text(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open("/?province=08")
        line = f'.board tr[data-indicator="{POSTAL}"]'
        seen.page.wait_for_selector(f"{line} .untaken", timeout=WAIT_MS)
        house.run("ack", POSTAL, "--province", "08", "--owner", f"{EVIL}{TURNED}", "--reason", "đã gửi văn bản", "--url", house.url)
        seen.page.wait_for_selector(f"{line} .taken", timeout=WAIT_MS)
        assert EVIL in text(seen.page, f"{line} .taken")
        assert "đã gửi văn bản" in text(seen.page, f"{line} .taken")
        assert not set(TURNED) & set(text(seen.page, f"{line} .taken"))
        assert seen.page.locator(f"{line} .untaken").count() == 0
        assert seen.page.evaluate("window.owned") is None


def test_a_name_that_would_be_markup_is_shown_as_text_on_every_page(house: System, chrome: Browser) -> None:
    house.send(*(stated(f"operator-{one}", "02263", VILLAGES, 10, 11, 14, uncovered=[EVIL]) for one in "abc"))
    with view(chrome, house.url) as seen:
        for path in PATHS:
            seen.open(path.format(lang="vi"))
            if "communes" in path:
                seen.page.wait_for_selector("#evidence .statements", timeout=WAIT_MS)
                assert EVIL in text(seen.page, "#evidence .statements")
            if path != PATHS[0]:
                seen.page.wait_for_function("text => document.querySelector('main').textContent.includes(text)", arg=EVIL, timeout=WAIT_MS)
            assert seen.page.locator("main img").count() == 0
            assert seen.page.evaluate("window.owned") is None
        assert seen.complaints == []


def test_a_policy_forbids_scripts_and_styles_that_are_not_the_pages_own(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open("/?province=08")
        seen.page.evaluate(
            """() => { const one = document.createElement("script"); one.textContent = "window.owned = 2"; document.body.append(one);
                       document.body.insertAdjacentHTML("beforeend", '<img src="data:,x" onerror="window.owned=3" style="color:red">'); }"""
        )
        assert seen.page.evaluate("window.owned") is None
        assert any("Content Security Policy" in one for one in seen.complaints)


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_axe_finds_nothing_serious_on_any_page(house: System, chrome: Browser, lang: str) -> None:
    with view(chrome, house.url, lang=lang) as seen:
        for path in PATHS:
            seen.open(path.format(lang=lang))
            if "communes" in path:
                seen.page.wait_for_selector("#evidence .statements", timeout=WAIT_MS)
            for size in SIZES.values():
                seen.page.set_viewport_size(size)  # type: ignore[arg-type]
                assert seen.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
                assert violations(seen.page) == []
            seen.page.emulate_media(color_scheme="dark")
            assert violations(seen.page, "color-contrast") == []
            seen.page.emulate_media(color_scheme="light")


def violations(page: Page, *rules: str) -> list[str]:
    """What axe calls serious or critical, each with its elements; of these rules, else of all."""
    options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}" for one in found if one["impact"] in {"serious", "critical"}
    ]


def test_everything_is_reached_by_keyboard(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open("/communes/2020-01-01/02275")
        page = seen.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.wait_for_selector("#figures button")
        page.locator(f'[id="why-{POSTAL}"]').focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#evidence .statements", timeout=WAIT_MS)
        assert page.evaluate("document.activeElement.id") == "evidence-title"
        assert f"indicator={POSTAL}" in page.url
        # an address that was kept opens the evidence again
        seen.open(page.url.removeprefix(house.url))
        page.wait_for_selector("#evidence .statements", timeout=WAIT_MS)
        assert "Người báo cáo bưu chính (giả định)" in text(page, "#evidence")


def test_the_province_and_the_language_are_kept(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open("/")
        assert "province=08" in seen.page.url  # the first of which anything is known
        with seen.page.expect_navigation():
            seen.page.select_option("#province", "02")
        seen.page.wait_for_selector("#pulse .live", timeout=WAIT_MS)
        assert "province=02" in seen.page.url
        with seen.page.expect_navigation():
            seen.page.click("#other")
        seen.page.wait_for_selector("#pulse .live", timeout=WAIT_MS)
        assert "province=02" in seen.page.url
        seen.open("/?province=08")
        assert seen.page.get_attribute("html", "lang") == "en"
        assert text(seen.page, "#pulse .live") == "Live"


def test_the_map_has_a_sign_for_each_commune_and_leads_to_its_page(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open(f"/indicators/{POSTAL}?province=08")
        seen.page.wait_for_selector("svg.map .sign", timeout=WAIT_MS)
        assert seen.page.locator("svg.map .sign").count() == 138
        assert "chưa phủ 1" in (seen.page.get_attribute("svg.map", "aria-label") or "")
        # this list has no coordinates, and the page says so
        assert "chưa có tọa độ" in text(seen.page, "#map .note")
        with seen.page.expect_navigation():
            seen.page.locator("svg.map .sign.none").click()
        assert "/communes/2020-01-01/02275" in seen.page.url


def test_why_a_verdict_is_what_it_is_stands_on_the_indicators_page(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open(f"/indicators/{POSTAL}?province=08")
        assert text(seen.page, ".because") == "Ngay cả cách đọc thuận lợi nhất (99,3 %) cũng dưới chỉ tiêu 100 %."
        assert "NQ 01/NQ-CP 2021" in text(seen.page, ".facts")
        first = seen.page.locator("#communes tbody tr").first.text_content() or ""
        assert "Xã Sơn Phú (02275)" in first
        assert "Người báo cáo bưu chính (giả định)" in first
        assert seen.page.locator("#districts tbody tr").count() == 7


def loud(seen: View, what: str) -> None:
    """Wait for the loud state of that kind, with its words and remedy."""
    seen.page.wait_for_selector(f'#alarm[role="alert"] [data-down="{what}"]', timeout=60_000)
    assert words("vi")["down"] in text(seen.page, "#alarm")
    assert words("vi")[f"down_{what}_do"] in text(seen.page, "#alarm .do")
    assert seen.page.title().startswith("⚠")
    assert text(seen.page, "#pulse .state") == words("vi")["down"]
    assert violations(seen.page) == []


def quiet_again(seen: View) -> None:
    seen.page.wait_for_selector("#pulse .live", timeout=60_000)
    assert seen.page.locator("#alarm *").count() == 0
    assert not seen.page.title().startswith("⚠")


def test_when_kafka_stands_still_the_page_says_so_and_when_it_goes_on_too(house: System, chrome: Browser) -> None:
    with view(chrome, house.url) as seen:
        seen.open("/?province=08")
        with house.without_kafka():
            loud(seen, "kafka")
        quiet_again(seen)


def test_when_the_feed_dies_the_page_says_so_and_takes_over_what_its_successor_tells(house: System, chrome: Browser) -> None:
    port = _free_port()
    with house.another_feed(port) as feed, view(chrome, f"http://127.0.0.1:{port}") as seen:
        seen.open("/?province=08")
        seen.page.evaluate("window.stayed = true")
        feed.kill()
        loud(seen, "feed")
        house.send(stated("assumed-postal-reporter", "02275", POSTAL, 1, 1, 15))
        with house.another_feed(port):
            quiet_again(seen)
            seen.page.wait_for_selector(f'.board tr[data-indicator="{POSTAL}"] .verdict.met', timeout=WAIT_MS)
            assert seen.page.evaluate("window.stayed")


def test_a_feed_that_asks_for_keys_gets_one_from_its_form(house: System, chrome: Browser, tmp_path: Path) -> None:
    port, keys = _free_port(), str(tmp_path / "keys.json")
    key = re.findall(r"phs_\S+", house.run("keys", "create", "wall", "--feed", feed_keys=keys))[-1]
    with house.another_feed(port, feed_keys=keys), view(chrome, f"http://127.0.0.1:{port}") as seen:
        seen.page.goto(f"{seen.url}/?province=08")
        seen.page.wait_for_url("**/sign-in", timeout=WAIT_MS)
        seen.page.fill("#key", key)
        seen.page.click("button")
        seen.page.wait_for_selector("#pulse .live", timeout=WAIT_MS)
        seen.page.wait_for_selector(".board td", timeout=WAIT_MS)


def test_when_no_worker_publishes_the_page_says_so(tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> None:
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as broker:
        cluster = Cluster(broker)
        cluster.create(*(topic.name for topic in TOPICS))
        # else the broker would put its own time on what was published two minutes ago
        change = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, PROVINCES.name, incremental_configs=[change])
        for future in cluster.admin.incremental_alter_configs([resource]).values():
            future.result(10)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        headers: Any = {VERSION_HEADER: encode(cluster.version(1))}
        taken: list[int] = []

        def published_long_ago() -> bool:
            then = int((time.time() - 120) * 1000)
            producer.produce(
                PROVINCES.name,
                encode(ROW),
                ROW.key,
                headers=headers,
                timestamp=then,
                on_delivery=lambda _, one: taken.append(one.timestamp()[0]),
            )
            assert producer.flush(20) == 0
            return taken[-1] == TIMESTAMP_CREATE_TIME

        wait_until(published_long_ago, 30, "the broker leaves the time of a record alone")
        with cluster.feed() as client, view(chrome, str(client.base_url).rstrip("/")) as seen:
            seen.page.goto(f"{seen.url}/?province={ROW.province}")
            loud(seen, "worker")
