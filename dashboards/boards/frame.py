"""What every dashboard has around its panels: title, links to the others and to the other language, variables.

Comes in: which dashboard, its messages, the province that it opens on. Goes out: `Frame`, with a dashboard of the SDK to put panels on.
Owns no state.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.messages import LANGS, Lang, Messages
from dashboards.names import WALLBOARD, Board, uid
from dashboards.panels import SOURCE
from dashboards.promql import PROVINCE, indicator_names
from dashboards.sdk import DashboardCursorSync, VariableOption, VariableRefresh, VariableSort, dashboard

TAG = "phusong"


@dataclass(frozen=True)
class Frame:
    """A dashboard under construction."""

    board: dashboard.Dashboard
    say: Messages
    home: tuple[str, str]

    def province(self) -> dashboard.QueryVariable:
        """The choice of a province that has data, by name."""
        # its replicas' instance and job must not be in the text that the regex reads
        query = "max by (name, province) (coverage_province_info) and on (province) coverage_published_timestamp_seconds"
        code, name = self.home
        return (
            self._variable("province", self.say.word("province"), query, r'/name="(?<text>[^"]*)".*province="(?<value>[^"]*)"/')
            .current(VariableOption(selected=True, text=name, value=code))
            .include_all(False)
        )

    def indicator(self, *, every: bool = False) -> dashboard.QueryVariable:
        """The choice of an indicator of that province, by name; with `every`, all of them at once."""
        query = f"{indicator_names(self.say.lang)} and on (indicator) coverage_published_timestamp_seconds{{{PROVINCE}}}"
        regex = r'/indicator="(?<value>[^"]*)".*indicator_name="(?<text>[^"]*)"/'
        variable = self._variable("indicator", self.say.word("indicator"), query, regex)
        if not every:
            return variable.include_all(False)
        return (
            variable.include_all(True)
            .all_value(".+")
            .current(VariableOption(selected=True, text=self.say.word("every_indicator"), value="$__all"))
        )

    @staticmethod
    def _variable(name: str, label: str, expr: str, regex: str) -> dashboard.QueryVariable:
        query = f"query_result({expr})"
        return (
            dashboard.QueryVariable(name)
            .label(label)
            .datasource(SOURCE)
            .query({"query": query, "refId": f"variable-{name}"})
            .definition(query)
            .regex(regex)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
        )


def framed(board: Board, say: Messages, home: tuple[str, str]) -> Frame:
    """The dashboard without its variables and panels."""
    made = (
        dashboard.Dashboard(say.word(board.name.lower(), "dashboards"))
        .uid(uid(board, say.lang))
        .description(say.about())
        .tags([TAG, say.lang])
        .timezone("Asia/Ho_Chi_Minh")
        .week_start("monday")
        .time("now-90d" if board in {Board.PROVINCE, Board.INDICATOR} else "now-24h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for other in Board:
        if other is not board:
            made = made.link(_link(say.word(other.name.lower(), "dashboards"), f"/d/{uid(other, say.lang)}"))
    made = made.link(_link(say.word("wallboard", "links"), _page(say.lang, "/"), outside=True))
    return Frame(made.link(_link(say.word("language", "links"), f"/d/{uid(board, _other(say.lang))}")), say, home)


def commune_page(lang: Lang, vintage: str, commune: str, indicator: str) -> str:
    """The wallboard's page with the evidence on a commune and indicator."""
    return _page(lang, f"/communes/{vintage}/{commune}", f"indicator={indicator}")


def indicator_page(lang: Lang, indicator: str, query: str = "") -> str:
    """The wallboard's page of an indicator."""
    return _page(lang, f"/indicators/{indicator}", query)


def _page(lang: Lang, path: str, query: str = "") -> str:
    # said in Vietnamese, too: the page remembers the language chosen last
    return f"{WALLBOARD}{path}?" + "&".join((*([query] if query else []), f"lang={lang}"))


def _other(lang: Lang) -> Lang:
    (other,) = (one for one in LANGS if one != lang)
    return other


def _link(title: str, url: str, *, outside: bool = False) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).url(url).tooltip(title).icon("external link" if outside else "dashboard")
    return link.target_blank(outside).include_vars(not outside).keep_time(not outside)
