"""Web events in the Segment spec's shape, made from sessions: order, time, identity, transport."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    Bools,
    Ints,
    cents_text,
    expand,
    hex_ids,
    instants,
    join,
    numbered,
    pick,
    running,
    seconds,
    stream,
)
from sandbox.campaigns import Campaigns
from sandbox.catalogue import Catalogue
from sandbox.config import SandboxConfig
from sandbox.links import Identifiers, Links
from sandbox.people import People
from sandbox.period import Period
from sandbox.visits import ADS, ANONYMOUS, LOGGED_IN, LOGS_IN, Outcome, Sessions, Views

PAGE, VIEW, ADD, CHECKOUT, ORDER, IDENTIFY, DEMO = range(7)
NAMES = ("page", "Product Viewed", "Product Added", "Checkout Started", "Order Completed", "identify", "Demo Requested")
_SLICE = 2_000_000
"""Rows per text chunk: an Arrow text column holds at most 2 GB."""


@dataclass(frozen=True)
class Events:
    """Flat events, by session and position; `reference` is a page, a view or an order by kind."""

    session: Ints
    kind: Ints
    reference: Ints
    at: Ints
    is_known: Bools
    """The session is logged in at this event."""
    is_first: Bools


def lay_out(
    config: SandboxConfig, period: Period, sessions: Sessions, views: Views, outcome: Outcome, n_pages: int
) -> Events:
    """Order the events of each session and give them instants."""
    rng = stream(config.seed, "layout")
    n = len(sessions)
    everyone = np.arange(n)
    page_session, page_number = expand(sessions.n_pages)
    page = np.where(page_number == 0, sessions.landing[page_session], rng.integers(0, n_pages, len(page_session)))
    page_position = np.where(page_number == 0, 0.0, 1 + 98 * rng.random(len(page_session)))
    view_position = 1 + 98 * rng.random(len(views.session))
    added = np.flatnonzero(views.is_added)
    checkouts, orders = np.flatnonzero(outcome.has_checkout), np.flatnonzero(outcome.order >= 0)
    demos, logins = np.flatnonzero(sessions.wants_demo), np.flatnonzero(sessions.login == LOGS_IN)
    # whoever buys has logged in before the checkout; others do it somewhere on the way
    login_position = np.where(outcome.has_checkout, 99.0, 1 + 98 * rng.random(n))
    login_position = np.where(sessions.login == LOGS_IN, login_position, np.inf)
    login_position = np.where(sessions.login == LOGGED_IN, -1.0, login_position)

    parts = [
        (page_session, PAGE, page, page_position),
        (views.session, VIEW, np.arange(len(views.session)), view_position),
        (views.session[added], ADD, added, view_position[added] + 1e-6),
        (checkouts, CHECKOUT, outcome.order[checkouts], np.full(len(checkouts), 100.0)),
        (orders, ORDER, outcome.order[orders], np.full(len(orders), 101.0)),
        (logins, IDENTIFY, everyone[logins], login_position[logins]),
        (demos, DEMO, everyone[demos], np.full(len(demos), 99.5)),
    ]
    session = np.concatenate([part[0] for part in parts])
    kind = np.concatenate([np.full(len(part[0]), part[1]) for part in parts])
    reference = np.concatenate([part[2] for part in parts])
    position = np.concatenate([part[3] for part in parts])
    order = np.lexsort((kind, position, session))
    session, kind, reference, position = (part[order] for part in (session, kind, reference, position))

    counts = np.bincount(session, minlength=n)
    gaps = seconds(rng, 24.0, 0.9, len(session)).clip(SECOND, 9 * MINUTE)
    first = np.zeros(len(session), dtype=bool)
    first[np.cumsum(counts) - counts] = True
    gaps[first] = 0
    at = sessions.start[session] + running(gaps, counts)
    last = at[np.cumsum(counts) - 1]
    # a session ends where it must (at a real order), and never at or after the end of the period
    limit = np.where(sessions.ends < NEVER, sessions.ends, np.minimum(last, period.end - SECOND))
    at -= (last - limit)[session]
    return Events(session, kind, reference, at, position >= login_position[session], first)


def page_table(catalogue: Catalogue) -> list[tuple[str, str]]:
    """(path, title) of the shop's pages; the newsletter is number 5, categories come last."""
    fixed = [page for page in pools.PAGES if not page[0].startswith("/c/")]
    return [*fixed, *((f"/c/{name.replace(' ', '-')}", name.capitalize()) for name in catalogue.categories)]


def web_columns(
    config: SandboxConfig,
    people: People,
    catalogue: Catalogue,
    campaigns: Campaigns,
    sessions: Sessions,
    views: Views,
    events: Events,
    order_ids: pa.Array,
    order_totals: Ints,
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """The rows of `web_events`, roughly in order of arrival, with late and duplicated ones."""
    rng = stream(config.seed, "web_columns")
    n = len(events.session)
    delay = seconds(rng, 0.6, 0.7, n).clip(50_000, MINUTE)
    late = rng.random(n) < config.late_event_rate
    delay = np.where(late, seconds(rng, 14 * 3600, 1.1, n).clip(HOUR, 12 * DAY), delay)
    received = events.at + delay
    sent = events.at + (delay * np.where(late, 0.999, 0.4)).astype(np.int64)
    skewed = (rng.random(len(sessions)) < config.skewed_clock_rate)[events.session]
    behind = rng.integers(HOUR, 30 * DAY, len(sessions))[events.session]
    sent = np.where(skewed, sent - behind, sent)

    again = np.flatnonzero(rng.random(n) < config.duplicate_event_rate)
    rows = np.concatenate([np.arange(n), again])
    arrival = np.concatenate([received, received[again] + seconds(rng, 30, 1.2, len(again))])
    order = np.argsort(arrival, kind="stable")
    rows, arrival = rows[order], arrival[order]
    session = events.session[rows]
    kind = events.kind[rows]

    texts, text = _properties(rng, people, catalogue, sessions, views, events, order_ids, order_totals)
    contexts, context = _contexts(campaigns, people, sessions)
    person = np.where(events.is_known[rows], sessions.person[session], -1)
    types = ("page", "track", "track", "track", "track", "identify", "track")
    names = [None if name in {"page", "identify"} else name for name in NAMES]
    return {
        "message_id": hex_ids(rng, n, "ajs-").take(pa.array(rows)),
        "type": pick(types, kind),
        "event": pick(names, kind),
        "anonymous_id": pick(people.device_ids, sessions.device[session]),
        "user_id": pick(people.user_id, person),
        "timestamp": instants(events.at[rows]),
        "sent_at": instants(sent[rows]),
        "received_at": instants(arrival),
        "properties": _chunks(texts, text[rows]),
        "context": _chunks(contexts, context[session]),
    }


def _chunks(values: pa.Array, index: Ints) -> pa.ChunkedArray:
    """values[index] in chunks."""
    parts = [values.take(pa.array(index[i : i + _SLICE])) for i in range(0, len(index), _SLICE)]
    return pa.chunked_array(parts, type=pa.string())


def link_sessions(people: People, sessions: Sessions, links: Links) -> Identifiers:
    """Links that the sessions leave, and whose browsers and devices they show."""
    person = sessions.person
    browser = ("anonymous_id", people.device_ids.take(pa.array(sessions.device)))
    device = ("device_id", people.hardware_ids.take(pa.array(sessions.device)))
    login = ("user_id", pick(people.user_id, np.where(sessions.login == ANONYMOUS, -1, person)))
    address = ("email", pick(people.account_email, np.where(sessions.login == LOGS_IN, person, -1)))
    links.add_all("web_events", person, browser, device, login)
    links.add("web_events", person, login, address)
    links.add("web_events", person, browser, address)
    named = np.asarray(device[1].is_valid())
    return [(person, *browser), (person[named], "device_id", device[1].filter(pa.array(named)))]


def _contexts(campaigns: Campaigns, people: People, sessions: Sessions) -> tuple[pa.Array, Ints]:
    """(context texts, index per session): browser by device, campaign of the session, the device if it is named."""
    named = [("newsletter", "email", name) for name in campaigns.ids]
    named += [("social" if "social" in name else "search", "cpc", name) for name in ADS]
    texts = []
    for agent in pools.USER_AGENTS:
        library = {"library": {"name": "analytics.js", "version": "2.1"}, "user_agent": agent}
        texts.append(json.dumps(library)[:-1])
        for source, medium, name in named:
            campaign = {"source": source, "medium": medium, "name": name}
            texts.append(json.dumps({**library, "campaign": campaign})[:-1])
    agent = sessions.device * 2_654_435_761 % 4_294_967_296 % len(pools.USER_AGENTS)
    # one text per device and campaign that occur together
    pairs = sessions.device * (len(named) + 1) + sessions.campaign + 1
    _, first, text = np.unique(pairs, return_index=True, return_inverse=True)
    head = pa.array(texts).take(pa.array((agent * (len(named) + 1) + sessions.campaign + 1)[first]))
    device = join(', "device": {"id": "', people.hardware_ids.take(pa.array(sessions.device[first])), '"}')
    return join(head, device.fill_null(""), "}"), text


def _properties(
    rng: np.random.Generator,
    people: People,
    catalogue: Catalogue,
    sessions: Sessions,
    views: Views,
    events: Events,
    order_ids: pa.Array,
    order_totals: Ints,
) -> tuple[pa.Array, Ints]:
    """(distinct properties texts, index per event)."""
    pages = page_table(catalogue)
    page_texts = []
    for path, title in pages:
        for referrer in (*pools.REFERRERS, f"{pools.SHOP_URL}/"):
            fields = {"url": pools.SHOP_URL + path, "path": path, "referrer": referrer, "title": title}
            page_texts.append(json.dumps(fields))
    n_referrers = len(pools.REFERRERS) + 1
    come_from = rng.integers(0, len(pools.REFERRERS), len(sessions))
    products, text_of_version = catalogue.json_texts()
    shown = np.flatnonzero((events.kind == VIEW) | (events.kind == ADD))
    view = events.reference[shown]
    text = text_of_version[catalogue.version(views.product[view], events.at[shown])]
    is_add = events.kind[shown] == ADD
    quantities = numbered("", views.quantity[view[is_add]])
    added_texts = join(pick(products, text[is_add]), ', "quantity": ', quantities, "}")
    totals = cents_text(order_totals)
    currency = f', "currency": "{catalogue.currency}"}}'
    order_texts = join('{"order_id": "', order_ids, '", "total": ', totals, currency)
    checkout_texts = [f'{{"step": 1, "currency": "{catalogue.currency}"}}']
    # whoever logs in tells the account's address
    login_texts = join('{"method": "password", "traits": {"email": "', people.account_email, '"}}').fill_null("{}")
    other_texts = ['{"form": "demo_request", "company_size": "11-50"}']
    tables = [
        pa.array(page_texts),
        pa.array([text + "}" for text in products]),
        added_texts,
        pa.array(checkout_texts),
        order_texts,
        pa.array(other_texts),
        login_texts,
    ]
    base = np.concatenate([[0], np.cumsum([len(table) for table in tables])])

    kind, reference = events.kind, events.reference
    index = np.zeros(len(kind), dtype=np.int64)
    where = np.flatnonzero(kind == PAGE)
    inside = np.where(events.is_first[where], come_from[events.session[where]], n_referrers - 1)
    index[where] = base[0] + reference[where] * n_referrers + inside
    index[shown[~is_add]] = base[1] + text[~is_add]
    index[shown[is_add]] = base[2] + np.arange(int(is_add.sum()))
    index[kind == CHECKOUT] = base[3]
    where = np.flatnonzero(kind == ORDER)
    index[where] = base[4] + reference[where]
    index[kind == DEMO] = base[5]
    where = np.flatnonzero(kind == IDENTIFY)
    index[where] = base[6] + sessions.person[events.session[where]]
    return pa.concat_arrays(tables), index
