"""The simulated shop, from a config to files."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from sandbox.arrays import Ints
from sandbox.catalogue import Catalogue, Chooser, draw_catalogue
from sandbox.config import SandboxConfig
from sandbox.contacts import crm_columns, customer_columns, signup_columns
from sandbox.links import Identifiers, Links
from sandbox.mail import MailLog, mail_columns, send_mailings
from sandbox.output import Progress, SandboxReport, Writer
from sandbox.people import People, draw_people
from sandbox.period import Period
from sandbox.permission import Permission, draw_permission
from sandbox.shop import (
    Sales,
    concat_sales,
    draw_pos_sales,
    draw_test_sales,
    order_numbers,
    order_totals,
    price_lines,
    shop_columns,
)
from sandbox.truth import write_truth
from sandbox.visits import (
    LOGGED_IN,
    LOGS_IN,
    Outcome,
    Sessions,
    Views,
    cut,
    draw_outcome,
    draw_sessions,
    draw_staples,
    draw_views,
    visit_kiosks,
)
from sandbox.web import ORDER, lay_out, link_sessions, page_table, web_columns


def generate(out_dir: Path, config: SandboxConfig | None = None, on_progress: Progress | None = None) -> SandboxReport:
    """Write the raw tables, the planted truth and the manifest into `out_dir`.

    The same config gives the same bytes of data. `on_progress` gets one line per step.
    """
    began = time.perf_counter()
    config = config or SandboxConfig()
    say = on_progress or (lambda message: None)
    period = Period.of(config.starts_at, config.ends_at)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    writer = Writer(out_dir)

    say("people and products")
    catalogue = draw_catalogue(config, period)
    people = draw_people(config, period, len(catalogue.categories))
    chooser = Chooser.of(catalogue)
    staples = draw_staples(config, people, catalogue, chooser)
    writer.table("shop_products", catalogue.columns())

    say("permissions and mailings")
    log = write_mailings(writer, config, period, people, catalogue)

    say("visits")
    sessions = draw_sessions(config, period, people, log)
    views = draw_views(config, people, catalogue, chooser, staples, sessions, log)
    outcome = draw_outcome(config, people, sessions, views)
    sessions, views, outcome = cut(config, sessions, views, outcome)
    # an account holder's order is never anonymous
    has_account = people.account_at[sessions.person] <= sessions.start
    anonymous = (sessions.login != LOGGED_IN) & (outcome.order >= 0) & has_account
    sessions.login[anonymous] = LOGS_IN
    visit_kiosks(config, people, sessions)
    laid = lay_out(config, period, sessions, views, outcome, len(page_table(catalogue)))

    say("orders")
    done = laid.kind == ORDER
    web = _web_sales(sessions, laid.session[done], laid.at[done], laid.reference[done], views, outcome)
    n_pos = round(len(web) * config.pos_orders_per_web_order)
    n_test = round(len(web) * config.test_order_rate)
    sales = concat_sales(
        [
            web,
            draw_pos_sales(config, period, people, catalogue, chooser, staples, n_pos),
            draw_test_sales(config, period, catalogue, n_test),
        ]
    )
    ids = order_numbers(sales)
    lines = price_lines(config, catalogue, sales)
    totals = order_totals(lines, len(sales))
    links = Links()
    orders, order_lines = shop_columns(config, period, people, catalogue, sales, ids, lines, links)
    writer.table("shop_orders", orders)
    writer.table("shop_order_lines", order_lines)

    say("web events")
    web_rows = web_columns(config, people, catalogue, log.campaigns, sessions, views, laid, ids, totals)
    writer.table("web_events", web_rows)
    del web_rows

    say("contacts")
    identifiers = write_contacts(writer, config, period, people, catalogue, log.permission, links)
    identifiers += link_sessions(people, sessions, links)
    write_truth(writer, people, catalogue, identifiers, links)
    manifest = writer.manifest(config.ends_at)
    return SandboxReport(out_dir, manifest, config.ends_at, writer.rows, time.perf_counter() - began)


def write_mailings(
    writer: Writer, config: SandboxConfig, period: Period, people: People, catalogue: Catalogue
) -> MailLog:
    """Permissions and mailings: `email_events`, `consent_events` and the truth about machines."""
    permission = draw_permission(config, period, people)
    log = send_mailings(config, period, people, catalogue, permission)
    events, machine = mail_columns(config, people, catalogue, log)
    writer.table("email_events", events)
    writer.table("consent_events", permission.columns(config, period))
    writer.truth("email_events", machine)
    return log


def write_contacts(
    writer: Writer,
    config: SandboxConfig,
    period: Period,
    people: People,
    catalogue: Catalogue,
    permission: Permission,
    links: Links,
    *,
    with_customers: bool = True,
) -> Identifiers:
    """What people wrote about themselves, and whose it is."""
    tables = {
        "crm_contacts": crm_columns(config, period, people, catalogue.categories, links),
        "newsletter_signups": signup_columns(config, period, people, permission, catalogue.categories, links),
    }
    if with_customers:
        tables["shop_customers"] = customer_columns(config, period, people, links)
    identifiers: Identifiers = []
    for name, (columns, owners) in tables.items():
        writer.table(name, columns)
        identifiers += owners
    return identifiers


def _web_sales(sessions: Sessions, session: Ints, at: Ints, order: Ints, views: Views, outcome: Outcome) -> Sales:
    """The orders of the sessions, in their own numbering, with what lay in the cart as lines."""
    n = len(order)
    by_order = np.empty(n, dtype=np.int64)
    by_order[order] = np.arange(n)
    in_order = outcome.order[views.session]
    bought = np.flatnonzero(views.is_added & (in_order >= 0))
    no = np.zeros(n, dtype=bool)
    visit = session[by_order]
    return Sales(
        person=sessions.person[visit],
        has_card_alone=no,
        at=at[by_order],
        entered_at=sessions.start[visit],
        is_pos=no,
        is_test=no,
        line_order=in_order[bought],
        line_product=views.product[bought],
        line_quantity=views.quantity[bought],
    )
