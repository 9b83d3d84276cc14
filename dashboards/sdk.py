"""The parts of grafana-foundation-sdk that the dashboards use: the one place to change when Grafana provisions dashboards v2 from files.

Comes in, goes out, owns: nothing. The SDK prefers dashboards v2, which Grafana 13.0 refuses to provision from a file
(grafana/grafana#122663, #127928); so its warning about the classic form is silenced here.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import bargauge, common, dashboard, geomap, prometheus, stat, statetimeline, table, timeseries
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common as models
    from grafana_foundation_sdk.models.dashboard import (
        Dashboard,
        DashboardCursorSync,
        DashboardSpecialValueMapOptions,
        DataTransformerConfig,
        DynamicConfigValue,
        SpecialValueMap,
        SpecialValueMatch,
        Threshold,
        ValueMap,
        ValueMapping,
        ValueMappingResult,
        VariableOption,
        VariableRefresh,
        VariableSort,
    )
    from grafana_foundation_sdk.models.geomap import MapCenterID, TooltipMode
    from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "Dashboard",
    "DashboardCursorSync",
    "DashboardSpecialValueMapOptions",
    "DataTransformerConfig",
    "DynamicConfigValue",
    "JSONEncoder",
    "MapCenterID",
    "PromQueryFormat",
    "SpecialValueMap",
    "SpecialValueMatch",
    "Threshold",
    "TooltipMode",
    "ValueMap",
    "ValueMapping",
    "ValueMappingResult",
    "VariableOption",
    "VariableRefresh",
    "VariableSort",
    "bargauge",
    "common",
    "dashboard",
    "geomap",
    "models",
    "prometheus",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
]
