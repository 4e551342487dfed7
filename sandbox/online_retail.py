"""Real orders under the sandbox: UCI Online Retail becomes the shop, everything around it is simulated."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from sandbox.arrays import DAY, SECOND, Ints, instants, money, pick, stream
from sandbox.catalogue import Chooser
from sandbox.config import SandboxConfig
from sandbox.generate import write_contacts, write_mailings
from sandbox.links import Links
from sandbox.online_retail_goods import real_catalogue
from sandbox.online_retail_people import Invoices, invoices_of, people_around, purchase_visits
from sandbox.online_retail_read import OrderRows, read_orders
from sandbox.output import Progress, SandboxReport, Writer
from sandbox.people import People
from sandbox.period import Period
from sandbox.truth import write_truth
from sandbox.visits import (
    Outcome,
    Sessions,
    Views,
    concat,
    cut,
    draw_outcome,
    draw_sessions,
    draw_staples,
    draw_views,
    events_per_session,
)
from sandbox.web import lay_out, link_sessions, page_table, web_columns


def convert(
    orders_file: Path, out_dir: Path, config: SandboxConfig | None = None, on_progress: Progress | None = None
) -> SandboxReport:
    """Write raw tables from a file of real orders, and simulated contacts, web, e-mail and consent around them.

    Each row of the file becomes one row of `shop_order_lines`, nothing dropped or changed. The period is the
    file's own; `as_of` is the midnight after its last row. Of `config`, the sizes and rates apply.

    Raises:
        DataError: the file cannot be read, or its columns are not those of UCI Online Retail.
    """
    began = time.perf_counter()
    config = config or SandboxConfig()
    say = on_progress or (lambda message: None)
    out_dir = Path(out_dir)
    say("reading orders")
    rows = read_orders(Path(orders_file))  # before anything is written
    invoices = invoices_of(rows)
    period = Period(int(rows.at.min()) // DAY * DAY, (int(rows.at.max()) // DAY + 1) * DAY)
    as_of = datetime.fromtimestamp(period.end // SECOND, UTC).replace(tzinfo=None)
    # the customers are contacts too: there are at least a few more people than those
    n_contacts = max(config.n_contacts, len(invoices.customer_ids) + 50)
    # the file gives customers no address, so the CRM must know each one's account to have any
    config = config.model_copy(update={"ends_at": as_of, "n_contacts": n_contacts, "crm_knows_account_rate": 1.0})
    out_dir.mkdir(parents=True, exist_ok=True)
    writer = Writer(out_dir)

    say("products and people")
    catalogue, product = real_catalogue(config, period, rows)
    people = people_around(config, period, rows, invoices, catalogue, product)
    chooser = Chooser.of(catalogue)
    writer.table("shop_orders", _orders(invoices, people), "real")
    writer.table("shop_order_lines", _lines(rows, invoices), "real")
    writer.table("shop_customers", _customers(invoices, people), "real")
    writer.table("shop_products", catalogue.columns())

    say("permissions and mailings")
    log = write_mailings(writer, config, period, people, catalogue)

    say("visits")
    visits, shown, invoice = purchase_visits(config, period, people, rows, invoices, catalogue, chooser, product)
    visits, shown, invoice = _half_of_the_events(config, visits, shown, invoice)
    others = draw_sessions(config, period, people, log)
    staples = draw_staples(config, people, catalogue, chooser)
    looked = draw_views(config, people, catalogue, chooser, staples, others, log)
    unfinished = draw_outcome(config, people, others, looked)
    n = len(visits)
    sessions = concat([visits, others])
    views = Views(
        np.concatenate([shown.session, looked.session + n]),
        np.concatenate([shown.product, looked.product]),
        np.concatenate([shown.is_added, looked.is_added]),
        np.concatenate([shown.quantity, looked.quantity]),
    )
    # all sales are real: other visits may reach the checkout, but never end in an order
    outcome = Outcome(
        np.concatenate([invoice >= 0, unfinished.has_checkout]), np.concatenate([invoice, np.full(len(others), -1)])
    )
    sessions, views, outcome = cut(config, sessions, views, outcome)
    laid = lay_out(config, period, sessions, views, outcome, len(page_table(catalogue)))

    say("web events")
    totals = np.zeros(len(invoices), dtype=np.int64)
    np.add.at(totals, invoices.of_row, rows.quantity * rows.price)
    web = web_columns(
        config, people, catalogue, log.campaigns, sessions, views, laid, invoices.ids, np.maximum(totals, 0)
    )
    writer.table("web_events", web)
    del web

    say("contacts")
    links = Links()
    identifiers = write_contacts(writer, config, period, people, catalogue, log.permission, links, with_customers=False)
    identifiers += link_sessions(people, sessions, links)
    real = np.arange(len(invoices.customer_ids))
    links.add(
        "shop_orders",
        real,
        ("customer_id", people.customer_id.slice(0, len(real))),
        ("user_id", people.user_id.slice(0, len(real))),
    )
    for kind, values in (("customer_id", people.customer_id), ("user_id", people.user_id)):
        identifiers.append((real, kind, values.slice(0, len(real))))
    write_truth(writer, people, catalogue, identifiers, links)
    manifest = writer.manifest(as_of)
    return SandboxReport(out_dir, manifest, as_of, writer.rows, time.perf_counter() - began)


def _half_of_the_events(
    config: SandboxConfig, visits: Sessions, shown: Views, invoice: Ints
) -> tuple[Sessions, Views, Ints]:
    """All purchase visits, or a random selection that leaves half of the configured events to other visits.

    They come in the order of the invoices: merely cut at the count, they would end in the middle of the period.
    """
    size = events_per_session(visits, shown, Outcome(invoice >= 0, invoice))
    drawn = stream(config.seed, "traced_visits").permutation(len(visits))
    fitting = np.cumsum(size[drawn]) <= config.n_web_events // 2
    if fitting.all():
        return visits, shown, invoice
    kept = np.sort(drawn[fitting])
    place = np.full(len(visits), -1)
    place[kept] = np.arange(len(kept))
    session = place[shown.session]
    inside = session >= 0
    views = Views(session[inside], shown.product[inside], shown.is_added[inside], shown.quantity[inside])
    return visits.take(kept), views, invoice[kept]


def _orders(invoices: Invoices, people: People) -> dict[str, pa.Array]:
    """The rows of `shop_orders`: one per invoice, by instant."""
    place = np.argsort(invoices.at, kind="stable")
    n = len(place)
    customer = invoices.customer[place]
    none, zero = pa.nulls(n, pa.string()), np.zeros(n, dtype=np.int64)
    return {
        "order_id": invoices.ids.take(pa.array(place)),
        "customer_id": pick(people.customer_id, customer),
        "user_id": pick(people.user_id, customer),
        "loyalty_card": none,
        "email": none,
        "channel": pick(["web"], zero),
        "order_type": pick(["sale", "return"], invoices.is_return[place].astype(np.int64)),
        "original_order_id": none,
        "status": pick(["placed"], zero),
        "cancelled_at": pa.nulls(n, pa.timestamp("us")),
        "is_test": pa.array(np.zeros(n, dtype=bool)),
        "country": invoices.country.take(pa.array(place)),
        "currency": pick(["GBP"], zero),
        "ordered_at": instants(invoices.at[place]),
    }


def _lines(rows: OrderRows, invoices: Invoices) -> dict[str, pa.Array]:
    """The rows of `shop_order_lines`: one per row of the file, in its order; numbered within the invoice."""
    return {
        "order_id": rows.invoice,
        "line_number": pa.array(_position(invoices.of_row)),
        "product_id": rows.stock_code,
        "description": rows.description,
        "quantity": pa.array(rows.quantity),
        "unit_price": money(rows.price),
        "created_at": instants(rows.at),
    }


def _position(group: Ints) -> Ints:
    """1, 2, 3 ... within each group, in the order given."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(starts, len(ordered)))
    number = np.empty(len(group), dtype=np.int64)
    number[order] = np.arange(len(group)) - np.repeat(starts, sizes) + 1
    return number


def _customers(invoices: Invoices, people: People) -> dict[str, pa.Array]:
    """The rows of `shop_customers`: what the file tells of a customer, and nothing simulated.

    An address is not among it: the customer's CRM contact has one (simulated), under the same `user_id`.
    """
    k = len(invoices.customer_ids)
    first = np.full(k, np.iinfo(np.int64).max)
    known = np.flatnonzero(invoices.customer >= 0)
    np.minimum.at(first, invoices.customer[known], invoices.at[known])
    place = np.argsort(first, kind="stable")
    unknown = pa.nulls(k, pa.string())
    return {
        "customer_id": people.customer_id.take(pa.array(place)),
        "user_id": people.user_id.take(pa.array(place)),
        "loyalty_card": unknown,
        "email": unknown,
        "phone": unknown,
        "first_name": unknown,
        "last_name": unknown,
        "city": unknown,
        "country": people.country.take(pa.array(place)),
        "created_at": instants(first[place]),
        "updated_at": instants(first[place]),
    }
