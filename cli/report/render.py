"""The report as one HTML file: no script, no font, no image and no style from anywhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.output import count, percent
from cli.report import plots
from cli.report.data import ReportData, Row
from cli.report.metrics import model_cards
from cli.report.sync_view import SyncView
from reverse_etl.connect import VENDORS
from warehouse.settings import Settings

FOLDER = Path(__file__).parent
TEMPLATE = "template.html.j2"

BEHIND = {
    "orders": ("shop_orders", "shop_order_lines"),
    "web": ("web_events",),
    "stages": ("shop_orders", "web_events", "crm_contacts"),
    "email": ("email_events",),
    "consent": ("consent_events",),
    "people": ("crm_contacts", "newsletter_signups"),
}
"""Which raw tables a part of the page rests on: decides whether it is marked as real or as simulated."""

STAGES = ("visitor", "prospect", "new_customer", "active_customer", "repeat_buyer", "lapsed_customer")
"""Customer stages in the order in which most people come through them."""


def bars(rows: Sequence[Row], value: str = "profiles") -> list[Row]:
    """Rows with `share` of the largest (a bar's width) and `part` of the sum."""
    largest = max((float(row[value]) for row in rows), default=0) or 1
    total = sum(float(row[value]) for row in rows) or 1
    return [
        {**row, "width": round(100 * max(float(row[value]), 0) / largest, 1), "part": float(row[value]) / total}
        for row in rows
    ]


def words(name: str) -> str:
    """`repeat_buyer` → `repeat buyer`."""
    return str(name).replace("_", " ")


def money(value: Any, currency: str | None, decimals: int = 2) -> str:
    sign = {"GBP": "£", "EUR": "€", "USD": "$"}.get(currency or "", "")
    text = f"{sign}{abs(value):,.{decimals}f}" if sign else f"{abs(value):,.{decimals}f} {currency or ''}".strip()
    return f"−{text}" if value < 0 else text


def build_context(
    data: ReportData, syncs: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All that the template shows."""
    provenance = {part: data.provenance(tables) for part, tables in BEHIND.items()}
    weekly = data.rows("weekly")
    return {
        "data": data,
        "provenance": provenance,
        "totals": {**data.one("totals"), **data.one("order_totals")},
        "syncs": {VENDORS.get(name, name): SyncView.of(sync) for name, sync in syncs.items()},
        "models": model_cards(data.rows("models")),
        "seconds": seconds,
        "recommended_share": _share(data.one("recommended").get("profiles"), data.one("totals").get("with_email")),
        "plots": {
            "sessions": plots.lines(weekly, "week_on", {"sessions": "sessions"}, "Web sessions per week"),
            "opens": plots.lines(
                weekly,
                "week_on",
                {"human_opens": "human opens", "machine_opens": "machine opens", "human_clicks": "human clicks"},
                "E-mail opens and clicks per week",
            ),
            "revenue": plots.columns(data.rows("monthly_revenue"), "month_on", "net_revenue", "Net revenue per month"),
            "rfm": plots.rfm_grid(data.rows("rfm_grid"), "Customers by recency and frequency score"),
            "stage_days": plots.shares(data.rows("stage_days"), STAGES, "Share of each customer stage per day")
            if len({row["as_of_on"] for row in data.rows("stage_days")}) > 1
            else None,
            "stage_matrix": plots.transitions(data.rows("stage_matrix"), STAGES, "From which stage to which")
            if data.rows("stage_matrix")
            else None,
            "segment_overlap": plots.overlap(data.rows("segment_overlap"), "How much segments overlap")
            if data.rows("segment_overlap")
            else None,
            "segment_days": plots.sizes(data.rows("segment_days"), "Size of each segment over days")
            if len({row["changed_on"] for row in data.rows("segment_days")}) > 1
            else None,
            "calibration": plots.calibration(data.rows("calibration"), "Calibration of the churn model")
            if data.rows("calibration")
            else None,
        },
    }


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


def render_html(data: ReportData, syncs: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float]) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    currency = data.one("order_totals").get("currency")
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count,
        percent=percent,
        words=words,
        bars=bars,
        money=lambda value: "–" if value is None else money(value, currency),
        whole_money=lambda value: money(value, currency, 0),
    )
    return environment.get_template(TEMPLATE).render(**build_context(data, syncs, seconds))


def write_report(
    settings: Settings, data: ReportData, syncs: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float]
) -> Path:
    """Write the page to `settings.report_path`, by rename. Returns its path."""
    path = settings.report_path
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(render_html(data, syncs, seconds), encoding="utf-8")
    scratch.replace(path)
    return path
