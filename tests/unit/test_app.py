"""streams/app.py: what Faust is told, so that it decides ownership and nothing else. Nothing is connected."""

from __future__ import annotations

from phusong.province import Province
from phusong.rows import CommuneRow
from phusong.settings import read_settings
from phusong.topics import SHARES
from streams.app import build_app
from streams.carrier import CHUNK
from streams.publishing import SLICE
from tests import worlds
from tests.worlds import instant


def test_faust_reads_the_empty_topic_of_shares_alone_and_declares_nothing() -> None:
    app = build_app(read_settings(bootstrap_servers="127.0.0.1:1,127.0.0.1:2"), worlds.world())
    assert {name for topic in app.topics for name in topic.topics} == {SHARES.name}
    assert not app.tables
    assert not app.agents
    assert app.conf.topic_disable_leader
    assert not app.conf.topic_allow_declare
    assert [str(url) for url in app.conf.broker] == ["kafka://127.0.0.1:1", "kafka://127.0.0.1:2"]


def test_a_worker_without_a_share_is_not_thrown_out_for_never_polling() -> None:
    """It never polls: the interval is weeks, and still fits the protocol's 32 bits of milliseconds."""
    seconds = build_app(read_settings(), worlds.world()).conf.broker_max_poll_interval
    assert 14 * 24 * 3600 < seconds < 2**31 / 1000


def test_the_session_is_what_the_administrator_set_with_ten_heartbeats_in_it() -> None:
    conf = build_app(read_settings(session_seconds=20), worlds.world()).conf
    assert (conf.broker_session_timeout, conf.broker_heartbeat_interval) == (20, 2)


def test_the_event_loop_is_given_back_after_a_bounded_number_of_records_or_communes() -> None:
    assert CHUNK <= 500
    assert SLICE <= 250
    province = Province(worlds.world(), "08")
    as_of = instant("2023-07-01T00:00:00+07:00")
    communes = len(worlds.COMMUNES["08"]) * len(worlds.INDICATORS)
    for _ in range(communes // 2):
        assert province.pending(as_of)
        assert not province.province_rows(), "they wait for the last commune"
        assert sum(isinstance(row, CommuneRow) for row in province.rows(as_of, 2)) == 2
    assert len(province.province_rows()) == len(worlds.INDICATORS)
    assert not province.pending(as_of)
