"""The page is one file, tells of nobody, and says which numbers are real."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser

import pytest

from cli.report.data import ReportData, read_report_data
from cli.report.metrics import model_cards
from cli.report.render import bars, money, render_html, words
from cli.report.sync_view import SyncView
from ml_jobs.catalogue import JOBS
from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.settings import Settings

SYNC = {
    "created": 12,
    "entering": 30,
    "blocked": {"no_opt_in_evidence": 4, "consent_withdrawn": 9},
    "rejected": {"data": 2},
    "requests": 20,
    "writes": 18,
    "latency_seconds": 133.2,
}


class Page(HTMLParser):
    """Tags, and the value of every attribute that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset", "data"}]


@pytest.fixture(scope="module")
def data(built_settings: Settings) -> ReportData:
    return read_report_data(built_settings)


@pytest.fixture(scope="module")
def page(data: ReportData) -> str:
    return render_html(data, {"mailchimp": SYNC}, {"Load into raw": 1.5})


def test_it_loads_nothing(page: str) -> None:
    parsed = Page(page)
    assert all(target.startswith(("#", "data:")) for target in parsed.loads), parsed.loads
    assert not {"script", "link", "iframe", "img", "object", "embed", "base"} & set(parsed.tags)
    assert not re.search(r"url\(\s*['\"]?(?!#)", page)
    assert "@import" not in page
    assert parsed.tags.count("svg") >= 4


def test_it_tells_of_nobody(page: str, built_settings: Settings) -> None:
    text = re.sub(r"@media", "", page)
    assert "@" not in text
    with connect(built_settings, read_only=True) as con:
        people = con.execute(
            "select profile_id, last_name from analytics.dim_profiles where length(last_name) > 6"
        ).fetchall()
    shown = set(re.findall(r"\w+", page))
    assert people
    assert not shown & {profile_id for profile_id, _ in people}
    # a surname may also be an ordinary word of the catalogue: what must not be there is more than chance
    assert len(shown & {last_name for _, last_name in people}) <= 2


def test_simulated_rows_are_marked_as_such(page: str, data: ReportData) -> None:
    assert data.provenance(("shop_orders", "web_events")) == "simulated"
    assert page.count('class="badge simulated"') > 10
    assert page.count('class="badge real"') == 1  # the legend


def test_real_orders_are_marked_as_such(data: ReportData) -> None:
    sources = [
        {**row, "provenance": "real"} if row["table_name"].startswith("shop_order") else row
        for row in data.rows("sources")
    ]
    real = ReportData({**data.tables, "sources": sources})
    assert real.provenance(("shop_orders", "shop_order_lines")) == "real"
    assert real.provenance(("shop_orders", "web_events")) == "mixed"
    assert 'class="badge mixed"' in render_html(real, {"mailchimp": SYNC}, {})


def test_stages_over_days_and_from_stage_to_stage_once_there_is_a_history(page: str, data: ReportData) -> None:
    titles = ("Stages over days", "From stage to stage")
    assert not [title for title in titles if title in page], "one day alone has no history"
    first, second = date(2026, 6, 29), date(2026, 6, 30)
    days = [(first, "visitor", 1.0), (second, "visitor", 0.75), (second, "lapsed_customer", 0.25)]
    moves = [("visitor", "prospect", 1234, 2468), ("visitor", "new_customer", 1234, 2468)]
    tables = {
        **data.tables,
        "stage_days": [dict(zip(("as_of_on", "stage", "share"), row, strict=True)) for row in days],
        "stage_matrix": [
            dict(zip(("from_stage", "to_stage", "n_transitions", "n_from"), row, strict=True)) for row in moves
        ],
    }
    later = render_html(ReportData(tables), {"mailchimp": SYNC}, {})
    assert all(later.count(title) == 1 for title in titles)
    assert later.count("<svg") == page.count("<svg") + 2
    assert later.count("1,234") == page.count("1,234") + 2
    assert later.count(">lapsed customer<") == page.count(">lapsed customer<") + 1  # the legend


def test_numbers_agree_with_each_other(data: ReportData) -> None:
    profiles = data.one("totals")["profiles"]
    for name in ("customer_stages", "journey_stages", "engagement"):
        assert sum(row["profiles"] for row in data.rows(name)) == profiles, name
    cells = sum(row["profiles"] for row in data.rows("rfm_cells"))
    assert cells == sum(row["profiles"] for row in data.rows("rfm_grid"))
    assert sum(row["profiles"] for row in data.rows("best_rungs")) == data.one("recommended")["profiles"]
    assert len(data.rows("segments")) >= 12
    assert all(row["failed"] == 0 for row in data.rows("checks"))
    last = data.rows("reconciliation")[-1]
    assert last["revenue_left"] == data.one("order_totals")["net_revenue"]


def test_models_stand_beside_their_baselines(data: ReportData) -> None:
    cards = {card.job: card for card in model_cards(data.rows("models"))}
    assert set(cards) == set(JOBS)
    for card in cards.values():
        assert card.measures or card.note
        for measure in card.measures:
            assert any(value is not None for _, _, value in measure.baselines)


def test_a_sync_in_numbers() -> None:
    view = SyncView.of(SYNC)
    assert (view.created, view.entering, view.rejected, view.n_blocked) == (12, 30, 2, 13)
    assert view.blocked[0] == {"name": "consent_withdrawn", "profiles": 9}
    assert view.latency_text == "2 min 13 s"
    assert SyncView.of({"writes": 0}).nothing_changed


def test_a_missing_mart_is_a_message(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute("create schema analytics")
    with pytest.raises(DataError, match="mailwright build --train"):
        read_report_data(settings)


def test_small_helpers() -> None:
    assert words("repeat_buyer") == "repeat buyer"
    assert money(-3, "GBP") == "−£3.00"
    assert money(3, "SEK") == "3.00 SEK"
    assert [row["width"] for row in bars([{"profiles": 4}, {"profiles": 1}])] == [100.0, 25.0]
    assert bars([]) == []
