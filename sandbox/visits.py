"""Sessions: who comes when, from where, what they look at, and whether it ends in an order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox import pools
from sandbox.arrays import DAY, HOUR, MINUTE, NEVER, Bools, Ints, choose, choose_rows, expand, row_cdf, stream
from sandbox.catalogue import Catalogue, Chooser
from sandbox.config import SandboxConfig
from sandbox.mail import MailLog
from sandbox.people import People
from sandbox.period import Period

ADS = ("spring_social", "brand_search")
"""Campaign names of paid visits: they come after the mailings' names."""
ANONYMOUS, LOGGED_IN, LOGS_IN = range(3)
NEWSLETTER_PAGE = 5
"""Where the newsletter's form is."""


@dataclass(frozen=True)
class Sessions:
    """One entry per session."""

    person: Ints
    start: Ints
    device: Ints
    n_pages: Ints
    n_views: Ints
    campaign: Ints
    """Index of the mailing, or beyond them of the ad; -1 for none."""
    login: Ints
    landing: Ints
    """Page index of the first page."""
    wants_demo: Bools
    ends: Ints
    """Instant of the last event where it is given (a real order); NEVER otherwise."""

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: Ints | Bools) -> Sessions:
        """A selection."""
        return Sessions(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def concat(parts: list[Sessions]) -> Sessions:
    """All of them, one after another."""
    names = Sessions.__dataclass_fields__
    return Sessions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Views:
    """Product views, flat, in session order; some are put into the cart."""

    session: Ints
    product: Ints
    is_added: Bools
    quantity: Ints


@dataclass(frozen=True)
class Outcome:
    """Per session: whether the checkout was started, and the order that came of it (-1: none)."""

    has_checkout: Bools
    order: Ints


def draw_staples(config: SandboxConfig, people: People, catalogue: Catalogue, chooser: Chooser) -> Ints:
    """(people x 2) products of consumable categories that a person buys again and again."""
    rng = stream(config.seed, "staples")
    consumable = np.isin(catalogue.categories, pools.CONSUMABLES)
    weights = people.taste * consumable if consumable.any() else people.taste
    cdf = row_cdf(weights + 1e-9)
    rows = np.repeat(np.arange(people.n), 2)
    category = choose_rows(rng, cdf, rows)
    return chooser.draw(rng, category, people.band[rows], people.style[rows]).reshape(people.n, 2)


def draw_sessions(config: SandboxConfig, period: Period, people: People, log: MailLog) -> Sessions:
    """Sign-up visits, visits by clicks in mails, and visits of one's own accord until the events suffice."""
    rng = stream(config.seed, "sessions")
    by_form = np.flatnonzero(people.has_form & (people.signed_up_at >= period.start))
    by_form = _at_most(rng, by_form, config.n_web_events // 16)
    start = people.signed_up_at[by_form] - rng.integers(20_000_000, 40_000_000, len(by_form))
    signups = _sessions(
        rng, config, people, by_form, start, n_campaigns=len(log.campaigns.ids), landing=NEWSLETTER_PAGE
    )

    clicked = _at_most(rng, np.arange(len(log.visits[0])), config.n_web_events // 16)
    person, at, campaign = (part[clicked] for part in log.visits)
    start = at + rng.integers(1_000_000, 6_000_000, len(at))
    clicks = _sessions(rng, config, people, person, start, n_campaigns=len(log.campaigns.ids), campaign=campaign)
    clicks = clicks.take(clicks.start < period.end - MINUTE)

    # the mean number of events is not known before drawing: draw amply, cut where the count is reached
    amount = 1000 + config.n_web_events // 3
    cells = np.cumsum((people.rate[:, None] * people.activity * period.season()[None, :]).ravel())
    cell = np.searchsorted(cells, rng.random(amount) * cells[-1], side="right").clip(0, len(cells) - 1)
    person, week = cell // period.n_weeks, cell % period.n_weeks
    start = period.instants_in_week(rng, week, people.utc_hours[person])
    start = np.maximum(start, people.arrives_at[person] + rng.integers(0, HOUR, amount))
    start = np.minimum(start, period.end - MINUTE - rng.integers(0, DAY, amount) * (start > period.end - MINUTE))
    own = _sessions(rng, config, people, person, start, n_campaigns=len(log.campaigns.ids))
    return concat([signups, clicks, own])


def _at_most(rng: np.random.Generator, rows: Ints, limit: int) -> Ints:
    """All rows, or a random selection of `limit`."""
    return rows if len(rows) <= limit else np.sort(rng.choice(rows, limit, replace=False))


def _sessions(
    rng: np.random.Generator,
    config: SandboxConfig,
    people: People,
    person: Ints,
    start: Ints,
    *,
    n_campaigns: int,
    campaign: Ints | None = None,
    landing: int = -1,
) -> Sessions:
    """Sessions of these people at these instants, with what else a session has."""
    n = len(person)
    bounce = rng.random(n) < (config.bounce_rate if landing < 0 and campaign is None else 0.1)
    pages = np.where(bounce, 1, 1 + rng.poisson(1.4, n))
    views = np.where(bounce, 0, rng.poisson(1.2 + 2.2 * people.engagement[person]))
    if campaign is None:
        paid = (rng.random(n) < 0.06) & (landing < 0)
        campaign = np.where(paid, n_campaigns + rng.integers(0, len(ADS), n), -1)
    has_account = people.account_at[person] <= start
    draw = rng.random(n)
    logs_in = config.logged_in_rate + (1 - config.logged_in_rate) * config.login_rate
    login = np.where(draw < config.logged_in_rate, LOGGED_IN, np.where(draw < logs_in, LOGS_IN, ANONYMOUS))
    demo = config.demo_request_share / 4 * people.is_contact[person] * (people.signed_up_at[person] <= start)
    device = people.device_first[person] + (rng.random(n) ** 1.7 * people.device_count[person]).astype(np.int64)
    first_page = choose(rng, [5, 0.3, 1, 0.4, 0.2, 0.3, *[1.0] * 8], n) if landing < 0 else np.full(n, landing)
    return Sessions(
        person=person,
        start=start,
        device=device,
        n_pages=pages,
        n_views=views,
        campaign=campaign,
        login=np.where(has_account, login, ANONYMOUS),
        landing=first_page,
        wants_demo=~bounce & (rng.random(n) < demo),
        ends=np.full(n, NEVER),
    )


def visit_kiosks(config: SandboxConfig, people: People, sessions: Sessions) -> None:
    """Some visits of contacts who live near a store are made at its kiosk; those from a mail or to a form are not."""
    rng = stream(config.seed, "kiosks")
    store = np.full(len(pools.CITIES), -1)
    for nth, name in enumerate(pools.STORE_CITIES):
        store[[city.name for city in pools.CITIES].index(name)] = nth
    near = store[people.city[sessions.person]]
    at_kiosk = (
        (near >= 0)
        & people.is_contact[sessions.person]
        & (sessions.campaign < 0)
        & (sessions.landing != NEWSLETTER_PAGE)
    )
    at_kiosk &= rng.random(len(sessions)) < config.kiosk_visit_share
    sessions.device[at_kiosk] = people.kiosk_first + near[at_kiosk]


def draw_views(
    config: SandboxConfig,
    people: People,
    catalogue: Catalogue,
    chooser: Chooser,
    staples: Ints,
    sessions: Sessions,
    log: MailLog,
) -> Views:
    """What is looked at: by taste, price band and style; own staples; the topic of the mail that brought one."""
    rng = stream(config.seed, "views")
    session, _ = expand(sessions.n_views)
    n = len(session)
    person, at = sessions.person[session], sessions.start[session]
    category = choose_rows(rng, row_cdf(people.taste), person)
    campaign = sessions.campaign[session]
    mailed = (campaign >= 0) & (campaign < len(log.campaigns.ids)) & (rng.random(n) < 0.6)
    category[mailed] = log.campaigns.topic[campaign[mailed]]
    product = chooser.draw(rng, category, people.band[person], people.style[person])
    staple = people.is_buyer[person] & ~mailed & (rng.random(n) < config.staple_share)
    product = np.where(staple, staples[person, (rng.random(n) < 0.35).astype(np.int64)], product)
    # nothing is seen before its launch: the best seller of the category stands there instead
    early = catalogue.launched[product] > at
    product = np.where(early, _evergreen(catalogue)[catalogue.category[product]], product)
    inclined = np.where(people.is_buyer[person], 1.0, 0.25) * people.is_contact[person]
    inclined += 0.3 * ~people.is_contact[person] * np.asarray(people.email.is_valid())[person]
    added = (rng.random(n) < config.add_to_cart_rate * inclined) & catalogue.in_stock(product, at)
    return Views(session, product, added, rng.geometric(0.72, n).clip(1, 12))


def _evergreen(catalogue: Catalogue) -> Ints:
    """Per category the most popular product among those launched first."""
    best = np.zeros(len(catalogue.categories), dtype=np.int64)
    for category in range(len(best)):
        inside = catalogue.shown(category)
        oldest = inside[catalogue.launched[inside] == catalogue.launched[inside].min()]
        best[category] = oldest[np.argmax(catalogue.popularity[oldest])]
    return best


def draw_outcome(config: SandboxConfig, people: People, sessions: Sessions, views: Views) -> Outcome:
    """Which carts reach the checkout and become orders. Orders are numbered in session order here."""
    rng = stream(config.seed, "outcome")
    n = len(sessions)
    carts = np.bincount(views.session, weights=views.is_added, minlength=n) > 0
    inclined = np.where(people.is_buyer[sessions.person], 1.0, 0.5)
    checkout = carts & (rng.random(n) < config.checkout_rate * inclined)
    has_address = np.asarray(people.email.is_valid())[sessions.person]
    completed = checkout & has_address & (rng.random(n) < config.completion_rate)
    order = np.where(completed, np.cumsum(completed) - 1, -1)
    return Outcome(checkout, order)


def events_per_session(sessions: Sessions, views: Views, outcome: Outcome) -> Ints:
    """How many events each session will be."""
    per_session = sessions.n_pages + np.bincount(views.session, 1 + views.is_added, len(sessions)).astype(np.int64)
    for once in (outcome.has_checkout, outcome.order >= 0, sessions.wants_demo, sessions.login == LOGS_IN):
        per_session += once
    return per_session


def cut(config: SandboxConfig, sessions: Sessions, views: Views, outcome: Outcome) -> tuple[Sessions, Views, Outcome]:
    """The first sessions whose events reach the configured count, and what belongs to them."""
    n = len(sessions)
    per_session = events_per_session(sessions, views, outcome)
    count = int(np.searchsorted(np.cumsum(per_session), config.n_web_events, side="left")) + 1
    inside = views.session < count
    kept = Views(views.session[inside], views.product[inside], views.is_added[inside], views.quantity[inside])
    return (
        sessions.take(np.arange(n) < count),
        kept,
        Outcome(outcome.has_checkout[:count], outcome.order[:count]),
    )
