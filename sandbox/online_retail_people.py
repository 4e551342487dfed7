"""People around real purchases: the customers are real, everything else about them is simulated to fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import DAY, HOUR, MINUTE, NEVER, Bools, Floats, Ints, choose, expand, merge, numbered, pick, stream
from sandbox.catalogue import UNSHOWN, Catalogue, Chooser
from sandbox.config import SandboxConfig
from sandbox.online_retail_read import OrderRows
from sandbox.people import People, draw_people
from sandbox.period import Period
from sandbox.visits import LOGGED_IN, LOGS_IN, Sessions, Views


@dataclass(frozen=True)
class Invoices:
    """Real invoices, one entry each, in order of first appearance in the file."""

    ids: pa.Array
    of_row: Ints
    """Invoice index per row of the file."""
    at: Ints
    """Earliest instant of its rows."""
    customer: Ints
    """Index of the customer (0..n_customers-1), -1: unknown."""
    country: pa.Array
    is_return: Bools
    customer_ids: Ints
    """CustomerID per customer index, ascending."""

    def __len__(self) -> int:
        return len(self.at)


def invoices_of(rows: OrderRows) -> Invoices:
    """Group the rows into invoices. 'C...' takes back; all others are sales (adjustments included)."""
    encoded = rows.invoice.dictionary_encode()
    of_row = np.asarray(encoded.indices).astype(np.int64)
    n = len(encoded.dictionary)
    at = np.full(n, NEVER)
    np.minimum.at(at, of_row, rows.at)
    customer_id = np.full(n, -1)
    np.maximum.at(customer_id, of_row, rows.customer)
    known = np.unique(rows.customer[rows.customer >= 0])
    customer = np.where(customer_id >= 0, np.searchsorted(known, customer_id), -1)
    first_row = np.unique(of_row, return_index=True)[1]
    ids = encoded.dictionary
    is_return = np.array([text.upper().startswith("C") for text in ids.to_pylist()], dtype=bool)
    return Invoices(ids, of_row, at, customer, rows.country.take(pa.array(first_row)), is_return, known)


def people_around(
    config: SandboxConfig, period: Period, rows: OrderRows, invoices: Invoices, catalogue: Catalogue, product: Ints
) -> People:
    """The population: first the real customers, then simulated prospects, then visitors.

    Customers' rhythm and taste follow their purchases; prospects never buy, for all sales are real.
    """
    people = draw_people(config, period, len(catalogue.categories))
    rng = stream(config.seed, "people_around")
    k, n = len(invoices.customer_ids), people.n
    real = np.arange(n) < k
    sales = np.flatnonzero((invoices.customer >= 0) & ~invoices.is_return)
    first = np.full(n, NEVER)
    any_invoice = np.flatnonzero(invoices.customer >= 0)
    np.minimum.at(first, invoices.customer[any_invoice], invoices.at[any_invoice])
    n_orders = np.bincount(invoices.customer[sales], minlength=n)[:n]

    # an account is opened on the way to the first purchase; some have been subscribers before
    account = np.where(real, first - 30 * MINUTE, NEVER)
    seen_before = (rng.exponential(25.0, n) * DAY).astype(np.int64) + 2 * HOUR
    arrives = np.where(real, account - seen_before, people.arrives_at)
    early = rng.random(n) < 0.3
    signed_up = np.where(early, account - (seen_before * rng.random(n) * 0.9).astype(np.int64), account)
    signed_up = np.where(real, signed_up, people.signed_up_at)

    activity = people.activity.copy()
    activity[:k] = _rhythm(period, invoices, sales, k, arrives[:k])
    eagerness = np.argsort(np.argsort(n_orders[:k], kind="stable"), kind="stable") / max(k, 1)
    engagement = people.engagement.copy()
    engagement[:k] = 0.6 * engagement[:k] + 0.4 * eagerness
    rate = people.rate.copy()
    rate[:k] *= 0.6 + 0.5 * np.log1p(n_orders[:k])
    taste = people.taste.copy()
    taste[:k] = _tastes(rows, invoices, catalogue, product, k)

    cities = [city.name for city in pools.CITIES]
    british = choose(rng, [10, 3], n)
    city = np.where(
        rng.random(n) < 0.85, np.array([cities.index("London"), cities.index("Manchester")])[british], people.city
    )
    country = _countries(invoices, any_invoice, k, n)
    simulated = pick([c.country for c in pools.CITIES], city)
    city[:k] = _cities_in(rng, country.slice(0, k).to_pylist())
    ids = np.concatenate([invoices.customer_ids, np.zeros(n - k, dtype=np.int64)])
    only_real = np.where(real, np.arange(n), -1)
    return replace(
        people,
        engagement=engagement,
        rate=rate,
        activity=activity,
        is_buyer=real & (n_orders > 0),
        taste=taste,
        city=city,
        country=merge(real, country, simulated),
        utc_hours=np.where(city >= 0, np.array([c.utc_hours for c in pools.CITIES])[city], 0.0),
        arrives_at=arrives,
        signed_up_at=signed_up,
        account_at=account,
        customer_at=account,
        has_crm=people.has_crm | real,
        is_imported=people.is_imported & ~real,
        silent_since=np.where(real, NEVER, people.silent_since),
        customer_id=pick(numbered("", ids), only_real),
        user_id=pick(numbered("u", ids), only_real),
        loyalty_card=pa.nulls(n, pa.string()),
    )


def _rhythm(period: Period, invoices: Invoices, sales: Ints, k: int, arrives: Ints) -> Floats:
    """(customers x weeks): high in weeks of purchases, rising shortly before, fading after."""
    bought = np.zeros((k, period.n_weeks))
    bought[invoices.customer[sales], period.week_of(invoices.at[sales])] = 1.0
    after, before = np.zeros_like(bought), np.zeros_like(bought)
    level = np.zeros(k)
    for week in range(period.n_weeks):
        level = np.maximum(bought[:, week], level * 0.84)
        after[:, week] = level
    level = np.zeros(k)
    for week in range(period.n_weeks - 1, -1, -1):
        level = np.maximum(bought[:, week], level * 0.5)
        before[:, week] = level
    activity = np.minimum(1.0, 0.8 * after + 0.35 * before)
    activity = np.where(activity < 0.02, 0.0, activity)
    return np.where(np.arange(period.n_weeks)[None, :] >= period.week_of(arrives)[:, None], activity, 0.0)


def _tastes(rows: OrderRows, invoices: Invoices, catalogue: Catalogue, product: Ints, k: int) -> Floats:
    """(customers x categories): shares of a customer's lines, shrunk towards everybody's."""
    buyer = invoices.customer[invoices.of_row]
    used = np.flatnonzero((buyer >= 0) & (rows.quantity > 0) & (catalogue.popularity[product] > UNSHOWN))
    n_categories = len(catalogue.categories)
    counts = np.zeros((k, n_categories))
    np.add.at(counts, (buyer[used], catalogue.category[product[used]]), 1.0)
    overall = counts.sum(axis=0) + 1.0
    counts += 5.0 * overall / overall.sum()
    return counts / counts.sum(axis=1, keepdims=True)


def _countries(invoices: Invoices, any_invoice: Ints, k: int, n: int) -> pa.Array:
    """Country of each real customer's latest invoice; null for the others."""
    latest = np.full(n, -1)
    order = any_invoice[np.argsort(invoices.at[any_invoice], kind="stable")]
    latest[invoices.customer[order]] = order  # the last assignment stands
    return pick(invoices.country, latest)


def _cities_in(rng: np.random.Generator, countries: list[str]) -> Ints:
    """A city per country, -1 where the pool knows none there."""
    by_country: dict[str, list[int]] = {}
    for index, city in enumerate(pools.CITIES):
        by_country.setdefault(city.country, []).append(index)
    by_country["USA"] = by_country["United States"]
    draws = rng.random(len(countries))
    known = [by_country.get(country, [-1]) for country in countries]
    return np.array([found[int(draw * len(found))] for found, draw in zip(known, draws, strict=True)], dtype=np.int64)


def purchase_visits(
    config: SandboxConfig,
    period: Period,
    people: People,
    rows: OrderRows,
    invoices: Invoices,
    catalogue: Catalogue,
    chooser: Chooser,
    product: Ints,
) -> tuple[Sessions, Views, Ints]:
    """(sessions, views, invoice per session or -1): the visit that ends in each real order, and browsing before it.

    A share of orders leaves no trace (blocked scripts). The visit shows up to eight of the bought products.
    """
    rng = stream(config.seed, "purchase_visits")
    sale = np.flatnonzero((invoices.customer >= 0) & ~invoices.is_return)
    traced = sale[rng.random(len(sale)) < config.order_trace_rate]
    before, _ = expand(rng.poisson(config.visits_before_order, len(sale)))
    invoice = np.concatenate([traced, sale[before]])
    is_order = np.arange(len(invoice)) < len(traced)
    person = invoices.customer[invoice]
    wait = (rng.exponential(5.0, len(invoice)) * DAY).astype(np.int64) + HOUR
    start = np.where(is_order, invoices.at[invoice] - 10 * MINUTE, invoices.at[invoice] - wait)
    possible = is_order | ((start >= period.start) & (start >= people.arrives_at[person]))
    invoice, is_order, person, start = invoice[possible], is_order[possible], person[possible], start[possible]
    n = len(invoice)

    # bought products of each invoice: rows in a flat list, to draw from
    row_order = np.argsort(invoices.of_row, kind="stable")
    sizes = np.bincount(invoices.of_row, minlength=len(invoices))
    offsets = np.cumsum(sizes) - sizes
    count = np.minimum(sizes[invoice], rng.integers(1, 9, n))
    session, nth = expand(count)
    size = sizes[invoice[session]]
    # evenly spaced from a random beginning: distinct rows without sorting
    begin = (rng.random(n) * sizes[invoice]).astype(np.int64)[session]
    drawn = (begin + nth * np.maximum(1, size // count[session])) % size
    seen = product[row_order[offsets[invoice[session]] + drawn]]
    other = ~is_order[session] & (rng.random(len(session)) < 0.5)
    buyer = person[session]
    category = catalogue.category[seen]
    strange = chooser.draw(rng, category, people.band[buyer], people.style[buyer])
    seen = np.where(other, strange, seen)
    added = is_order[session] | (rng.random(len(session)) < 0.06)
    launched = catalogue.launched[seen] <= start[session]
    proper = (catalogue.popularity[seen] > UNSHOWN) & launched
    views = Views(session[proper], seen[proper], added[proper], rng.geometric(0.5, int(proper.sum())).clip(1, 12))

    draw = rng.random(n)
    login = np.where(draw < config.logged_in_rate, LOGGED_IN, LOGS_IN)
    idle = ~is_order & (draw > config.logged_in_rate + (1 - config.logged_in_rate) * config.login_rate)
    login = np.where(idle | (people.account_at[person] > start), 0, login)
    login = np.where(
        is_order, np.where(people.account_at[person] <= start - HOUR, np.maximum(login, 1), LOGS_IN), login
    )
    device = people.device_first[person] + (rng.random(n) ** 1.7 * people.device_count[person]).astype(np.int64)
    sessions = Sessions(
        person=person,
        start=start,
        device=device,
        n_pages=1 + rng.poisson(0.8, n),
        n_views=np.bincount(views.session, minlength=n),
        campaign=np.full(n, -1),
        login=login,
        landing=choose(rng, [5, 0.2, 0.5, 0.2, 0.2, 0.2], n),
        wants_demo=np.zeros(n, dtype=bool),
        ends=np.where(is_order, invoices.at[invoice], NEVER),
    )
    return sessions, views, np.where(is_order, invoice, -1)
