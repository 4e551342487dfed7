"""Orders, lines, returns and cancellations, at the web shop and at the point of sale, with their dirt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    Bools,
    Ints,
    choose_rows,
    expand,
    instants,
    join,
    keep,
    merge,
    money,
    numbered,
    pc,
    pick,
    row_cdf,
    stream,
)
from sandbox.catalogue import Catalogue, Chooser
from sandbox.config import SandboxConfig
from sandbox.links import Links, normal_address
from sandbox.people import People
from sandbox.period import Period

POSTAGE = ("POST", "POSTAGE", 49_500)
"""Product id, description and price (1/10,000) of the postage line."""


@dataclass(frozen=True)
class Sales:
    """Orders that bought something. Lines lie flat: `line_order` points into the orders."""

    person: Ints
    """-1: nobody known (an anonymous buyer at the till)."""
    has_card_alone: Bools
    """Known by the loyalty card that was scanned, and by nothing else."""
    at: Ints
    entered_at: Ints
    """When the visit began: whoever had no account then buys as a guest."""
    is_pos: Bools
    is_test: Bools
    line_order: Ints
    line_product: Ints
    line_quantity: Ints

    def __len__(self) -> int:
        return len(self.person)


def draw_pos_sales(
    config: SandboxConfig, period: Period, people: People, catalogue: Catalogue, chooser: Chooser, staples: Ints, n: int
) -> Sales:
    """n orders at the till by people of the stores' cities, with the same rhythm and tastes as on the web."""
    rng = stream(config.seed, "pos")
    in_store = np.isin([city.name for city in pools.CITIES], pools.STORE_CITIES)[people.city]
    weight = people.rate * in_store * people.is_contact * np.where(people.is_buyer, 1.0, 0.2)
    cells = np.cumsum((weight[:, None] * people.activity * period.season()[None, :]).ravel())
    cell = np.searchsorted(cells, rng.random(n) * cells[-1], side="right").clip(0, len(cells) - 1)
    person, week = cell // period.n_weeks, cell % period.n_weeks
    at = period.instants_in_week(rng, week, people.utc_hours[person])
    at = np.minimum(np.maximum(at, people.arrives_at[person] + rng.integers(0, HOUR, n)), period.end - MINUTE)
    known = (people.customer_at[person] <= at) & (rng.random(n) >= config.pos_anonymous_rate)
    counts = rng.geometric(0.5, n).clip(1, 6)
    line_order, _ = expand(counts)
    buyer = person[line_order]
    category = choose_rows(rng, row_cdf(people.taste), buyer)
    product = chooser.draw(rng, category, people.band[buyer], people.style[buyer])
    staple = rng.random(len(buyer)) < config.staple_share
    product = np.where(staple, staples[buyer, 0], product)
    usable = (catalogue.launched[product] <= at[line_order]) & catalogue.in_stock(product, at[line_order])
    fallback = int(np.argmin(catalogue.launched))
    product = np.where(usable, product, fallback)
    cards = stream(config.seed, "till_cards")
    card = ~known & np.asarray(people.loyalty_card.is_valid())[person] & (people.customer_at[person] <= at)
    card &= cards.random(n) < config.till_card_alone_rate
    none = np.zeros(n, dtype=bool)
    person = np.where(known | card, person, -1)
    return Sales(person, card, at, at, ~none, none, line_order, product, rng.geometric(0.8, len(buyer)))


def draw_test_sales(config: SandboxConfig, period: Period, catalogue: Catalogue, n: int) -> Sales:
    """n test orders of nobody, of one line each."""
    rng = stream(config.seed, "test_sales")
    at = period.start + (rng.random(n) * period.length).astype(np.int64)
    product = rng.integers(0, catalogue.n, n)
    yes = np.ones(n, dtype=bool)
    return Sales(np.full(n, -1), ~yes, at, at, ~yes, yes, np.arange(n), product, np.ones(n, dtype=np.int64))


def concat_sales(parts: list[Sales]) -> Sales:
    """All sales, one after another."""
    offsets = np.cumsum([0, *(len(part) for part in parts[:-1])])
    fields = ("person", "has_card_alone", "at", "entered_at", "is_pos", "is_test", "line_product", "line_quantity")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in fields}
    lines = [part.line_order + offset for part, offset in zip(parts, offsets, strict=True)]
    return Sales(line_order=np.concatenate(lines), **joined)


@dataclass(frozen=True)
class Priced:
    """Lines with price and description as they will be written; product -1 is postage."""

    order: Ints
    product: Ints
    quantity: Ints
    price: Ints


def price_lines(config: SandboxConfig, catalogue: Catalogue, sales: Sales) -> Priced:
    """Lines at the price in force, some at zero, with postage on some web orders and some lines written twice."""
    rng = stream(config.seed, "lines")
    price = catalogue.price(sales.line_product, sales.at[sales.line_order])
    price = np.where(rng.random(len(price)) < config.zero_price_rate, 0, price)
    posted = np.flatnonzero(~sales.is_pos & (rng.random(len(sales)) < config.shipping_line_rate))
    twice = np.flatnonzero(rng.random(len(price)) < config.duplicate_line_rate)
    order = np.concatenate([sales.line_order, sales.line_order[twice], posted])
    product = np.concatenate([sales.line_product, sales.line_product[twice], np.full(len(posted), -1)])
    quantity = np.concatenate([sales.line_quantity, sales.line_quantity[twice], np.ones(len(posted), np.int64)])
    price = np.concatenate([price, price[twice], np.full(len(posted), POSTAGE[2])])
    place = np.argsort(order, kind="stable")
    return Priced(order[place], product[place], quantity[place], price[place])


def order_totals(lines: Priced, n_orders: int) -> Ints:
    """Sum of quantity x price per order, in 1/10,000."""
    totals = np.zeros(n_orders, dtype=np.int64)
    np.add.at(totals, lines.order, lines.quantity * lines.price)
    return totals


def shop_columns(
    config: SandboxConfig,
    period: Period,
    people: People,
    catalogue: Catalogue,
    sales: Sales,
    order_ids: pa.Array,
    lines: Priced,
    links: Links,
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """(rows of `shop_orders`, rows of `shop_order_lines`): the sales, then the returns, each by instant."""
    rng = stream(config.seed, "shop_columns")
    n = len(sales)
    cancelled_at = np.where(
        rng.random(n) < config.cancelled_rate, sales.at + rng.integers(HOUR // 2, 3 * DAY, n), NEVER
    )
    cancelled_at = np.where(cancelled_at < period.end, cancelled_at, NEVER)

    gives_back = (rng.random(n) < config.return_rate) & (cancelled_at == NEVER) & ~sales.is_test
    returned_at = sales.at + rng.integers(2 * DAY, 40 * DAY, n)
    origin = np.flatnonzero(gives_back & (returned_at < period.end))
    back_number = np.full(n, -1)
    back_number[origin] = np.arange(len(origin))
    back = back_number[lines.order]
    chosen = (back >= 0) & (lines.product >= 0) & (lines.price > 0)
    first_of_order = np.concatenate([[True], lines.order[1:] != lines.order[:-1]])[: len(lines.order)]
    chosen = np.flatnonzero(chosen & (first_of_order | (rng.random(len(back)) < 0.35)))
    return_quantity = -np.where(rng.random(len(chosen)) < 0.6, lines.quantity[chosen], 1)
    # a return whose every line is postage or free is none
    used = np.unique(back[chosen])
    renumber = np.full(len(origin) + 1, -1)
    renumber[used] = np.arange(len(used))
    origin = origin[used]
    back_ids = join("R", pick(order_ids, origin))
    named = rng.random(len(origin)) >= config.return_without_original_rate

    source = np.concatenate([np.arange(n), origin])
    is_return = np.arange(len(source)) >= n
    at = np.concatenate([sales.at, returned_at[origin]])
    entered_at = sales.entered_at[source]
    ids = pa.concat_arrays([order_ids, back_ids])
    original = pa.concat_arrays([pa.nulls(n, pa.string()), keep(pick(order_ids, origin), named)])
    person = sales.person[source]
    known = np.where(person >= 0, person, 0)
    is_pos, card_alone = sales.is_pos[source], sales.has_card_alone[source]
    has_account = (person >= 0) & ~card_alone & (people.account_at[known] <= entered_at)
    has_customer = (person >= 0) & ~card_alone & (people.customer_at[known] <= entered_at)
    guest = (person >= 0) & ~has_account & ~is_pos
    customer_id = pick(people.customer_id, np.where(has_customer & ~guest, person, -1))
    user_id = pick(people.user_id, np.where(has_account, person, -1))
    shown = stream(config.seed, "cards_shown").random(len(source)) < np.select(
        [card_alone, is_pos, guest], [1.0, config.till_card_rate, config.guest_card_rate], config.web_card_rate
    )
    shown &= (person >= 0) & (people.customer_at[known] <= entered_at)
    card = pick(people.loyalty_card, np.where(shown, person, -1))
    receipt = is_pos & (has_customer | has_account)
    receipt &= stream(config.seed, "receipts").random(len(source)) < config.till_email_rate
    address = pc.coalesce(
        _guest_addresses(rng, config, people, person, guest), pick(people.email, np.where(receipt, person, -1))
    )
    links.add_all(
        "shop_orders",
        person,
        ("customer_id", customer_id),
        ("user_id", user_id),
        ("loyalty_card", card),
        ("email", normal_address(address)),
    )
    cancelled = np.where(is_return, NEVER, cancelled_at[source])
    columns = {
        "order_id": ids,
        "customer_id": customer_id,
        "user_id": user_id,
        "loyalty_card": card,
        "email": address,
        "channel": pick(["web", "pos"], is_pos.astype(np.int64)),
        "order_type": pick(["sale", "return"], is_return.astype(np.int64)),
        "original_order_id": original,
        "status": pick(["placed", "cancelled"], (cancelled < NEVER).astype(np.int64)),
        "cancelled_at": instants(cancelled),
        "is_test": pa.array(sales.is_test[source]),
        "country": merge(person >= 0, people.country.take(pa.array(known)), pools.CITIES[0].country),
        "currency": pick([catalogue.currency], np.zeros(len(source), dtype=np.int64)),
        "ordered_at": instants(at),
    }
    place = np.argsort(at, kind="stable")
    columns = {name: column.take(pa.array(place)) for name, column in columns.items()}

    line_order = np.concatenate([lines.order, n + renumber[back[chosen]]])
    product = np.concatenate([lines.product, lines.product[chosen]])
    quantity = np.concatenate([lines.quantity, return_quantity])
    price = np.concatenate([lines.price, lines.price[chosen]])
    place = np.lexsort((np.arange(len(line_order)), line_order, at[line_order]))
    line_order, product, quantity, price = (part[place] for part in (line_order, product, quantity, price))
    starts = np.flatnonzero(np.concatenate([[True], line_order[1:] != line_order[:-1]])[: len(line_order)])
    number = np.arange(len(line_order)) - np.repeat(starts, np.diff(np.append(starts, len(line_order)))) + 1
    return columns, {
        "order_id": ids.take(pa.array(line_order)),
        "line_number": pa.array(number),
        "product_id": merge(product < 0, POSTAGE[0], pick(catalogue.ids, product)),
        "description": merge(product < 0, POSTAGE[1], pick(catalogue.names, product)),
        "quantity": pa.array(quantity),
        "unit_price": money(price),
        "created_at": instants(at[line_order]),
    }


def _guest_addresses(
    rng: np.random.Generator, config: SandboxConfig, people: People, person: Ints, guest: Bools
) -> pa.Array:
    """Addresses that guests type: now and then their second one, now and then in capitals."""
    n = len(person)
    second = rng.random(n) < 0.3
    second &= np.asarray(people.other_email.is_valid())[np.where(person >= 0, person, 0)]
    both = pa.concat_arrays([people.email, people.other_email])
    typed = pick(both, np.where(guest, person + np.where(second, people.n, 0), -1))
    loud = rng.random(n) < config.case_variant_rate
    return merge(loud, pc.utf8_upper(typed), typed)


def order_numbers(sales: Sales) -> pa.Array:
    """Order ids, numbered by instant, apart for web and till."""
    rank = np.empty(len(sales), dtype=np.int64)
    rank[np.argsort(sales.at, kind="stable")] = np.arange(len(sales))
    return merge(sales.is_pos, numbered("T", rank + 1, 7), numbered("W", rank + 1, 7))
