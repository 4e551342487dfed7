"""Latent people: who they are, what they like, when they are active. Planted here, seen only through events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import DAY, NEVER, WEEK, Bools, Floats, Ints, choose, hex_ids, join, merge, numbered, pick, stream
from sandbox.catalogue import N_BANDS, N_STYLES
from sandbox.config import SandboxConfig
from sandbox.period import Period

APPLE, GMAIL, SCANNER, OTHER = range(4)
"""Mail clients."""


@dataclass(frozen=True)
class People:
    """One entry per person. The first `n_contacts` sign up some time, the others only visit."""

    n: int
    n_contacts: int
    person_id: pa.Array
    engagement: Floats
    """0..1: reads mails, logs in, comes back."""
    rate: Floats
    """Relative frequency of visits when active."""
    activity: Floats
    """(people x weeks) 0..1: rhythm; a few weeks of decline go before a silence."""
    silent_since: Ints
    """Beginning of the silence that holds at the end; NEVER if active."""
    is_buyer: Bools
    taste: Floats
    """(people x categories), rows sum to 1."""
    band: Ints
    style: Ints
    city: Ints
    """Index into `pools.CITIES`; -1: somewhere else."""
    country: pa.Array
    utc_hours: Floats
    arrives_at: Ints
    signed_up_at: Ints
    account_at: Ints
    """NEVER without an account."""
    customer_at: Ints
    """Since when a shop customer: an account, or a card of the store (no account, no address there)."""
    has_crm: Bools
    has_form: Bools
    is_imported: Bools
    client: Ints
    email: pa.Array
    """Canonical address; null for visitors who never leave one."""
    other_email: pa.Array
    """Second address, null for most."""
    account_email: pa.Array
    """Address of the account: the second one for some, else the first."""
    former_email: pa.Array
    """Address given up before the CRM contact was last changed, null for most."""
    phone: pa.Array
    """E.164; null for those who never sign up. A few are a family's, a few were another's before."""
    first_name: pa.Array
    last_name: pa.Array
    user_id: pa.Array
    customer_id: pa.Array
    """Shop customer; null for people without one."""
    loyalty_card: pa.Array
    """Held since `customer_at`; null for people without one."""
    device_first: Ints
    device_count: Ints
    device_ids: pa.Array
    """anonymous_id of each device; person i's are device_first[i] + 0..device_count[i]-1; the kiosks come last."""
    hardware_ids: pa.Array
    """device_id of each device, in the same order; null where the collector does not name it."""

    @property
    def is_contact(self) -> Bools:
        """Who signs up some time."""
        return np.arange(self.n) < self.n_contacts

    @property
    def kiosk_first(self) -> int:
        """Device of the first store city's kiosk; those of the others follow in the order of the cities."""
        return len(self.device_ids) - len(pools.STORE_CITIES)


def draw_people(config: SandboxConfig, period: Period, n_categories: int) -> People:
    """The simulated population."""
    rng = stream(config.seed, "people")
    k = config.n_contacts
    n = k + round(k * config.visitors_per_contact)
    contact = np.arange(n) < k
    engagement = np.where(contact, rng.beta(1.7, 2.2, n), rng.beta(1.2, 4.0, n))
    rate = np.exp(0.8 * rng.standard_normal(n)) * (0.4 + engagement) * np.where(contact, 1.0, 0.35)

    arrives = period.start + (rng.random(n) * 0.985 * period.length).astype(np.int64)
    existing = contact & (rng.random(n) < config.existing_share)
    before = period.start - (rng.random(n) * 700 * DAY).astype(np.int64)
    arrives = np.where(existing, before, arrives)
    wait = (rng.exponential(12.0, n) * DAY).astype(np.int64)
    signed_up = np.minimum(arrives + wait, period.end - rng.integers(DAY, 3 * DAY, n))
    signed_up = np.where(contact, np.maximum(signed_up, arrives + 60_000_000), NEVER)
    account_wait = np.where(rng.random(n) < 0.6, 0, (rng.exponential(25.0, n) * DAY).astype(np.int64))
    account = np.where(contact & (rng.random(n) < config.account_share), signed_up + account_wait, NEVER)
    account = np.where(account >= period.end - DAY, NEVER, account)

    activity, silent_since = _rhythm(rng, config, period, engagement, contact, arrives)
    taste = rng.dirichlet(np.full(n_categories, config.taste_concentration), n)
    taste = 0.94 * taste + 0.06 / n_categories
    has_crm = contact & (rng.random(n) < config.crm_share)
    has_form = contact & (~has_crm | (rng.random(n) < config.newsletter_form_share))
    imported = has_crm & ~has_form & (account == NEVER) & (rng.random(n) < config.imported_share)
    city = choose(rng, [c.weight for c in pools.CITIES], n)
    in_store = np.isin([c.name for c in pools.CITIES], pools.STORE_CITIES)[city]
    store_card = contact & in_store & (account == NEVER) & (rng.random(n) < config.store_card_share)
    customer_at = np.where(store_card, signed_up, account)
    names = draw_names(stream(config.seed, "names"), config, n)
    email, other = draw_addresses(stream(config.seed, "addresses"), config, names, contact)
    account_email, former_email = draw_more_addresses(
        stream(config.seed, "more_addresses"), config, names, contact, email, other
    )
    devices = draw_devices(stream(config.seed, "devices"), config, n)
    device_ids, hardware_ids = draw_hardware(stream(config.seed, "hardware"), config, devices[2], devices[3])
    holds_card = in_store & (account < NEVER)
    holds_card &= stream(config.seed, "loyalty_cards").random(n) < config.loyalty_card_share
    holds_card |= store_card
    return People(
        n=n,
        n_contacts=k,
        person_id=numbered("person_", np.arange(n), 7),
        engagement=engagement,
        rate=rate,
        activity=activity,
        silent_since=silent_since,
        is_buyer=contact & (rng.random(n) < config.buyer_share),
        taste=taste,
        band=choose(rng, [0.35, 0.4, 0.25], n).clip(0, N_BANDS - 1),
        style=rng.integers(0, N_STYLES, n),
        city=city,
        country=pick([c.country for c in pools.CITIES], city),
        utc_hours=np.array([c.utc_hours for c in pools.CITIES])[city],
        arrives_at=arrives,
        signed_up_at=signed_up,
        account_at=account,
        customer_at=customer_at,
        has_crm=has_crm,
        has_form=has_form,
        is_imported=imported,
        client=draw_clients(rng, config, n),
        email=email,
        other_email=other,
        account_email=account_email,
        former_email=former_email,
        phone=draw_phones(stream(config.seed, "phones"), config, contact, signed_up),
        first_name=names.first,
        last_name=names.last,
        user_id=pick(numbered("u", np.arange(n) + 100_000), np.where(account < NEVER, np.arange(n), -1)),
        customer_id=pick(numbered("C", np.arange(n) + 500_000), np.where(customer_at < NEVER, np.arange(n), -1)),
        loyalty_card=pick(numbered("", np.arange(n) + 700_100_000), np.where(holds_card, np.arange(n), -1)),
        device_first=devices[0],
        device_count=devices[1],
        device_ids=device_ids,
        hardware_ids=hardware_ids,
    )


def _rhythm(
    rng: np.random.Generator,
    config: SandboxConfig,
    period: Period,
    engagement: Floats,
    contact: Bools,
    arrives: Ints,
) -> tuple[Floats, Ints]:
    """(activity per person and week, since when silent at the end).

    A two-state chain per week: active people fall silent, silent ones return, with personal hazards.
    Visits follow the state with inertia, so that a silence announces itself by two or three thin weeks.
    """
    n, weeks = len(engagement), period.n_weeks
    lapse = config.weekly_lapse_hazard * np.exp(-2.2 * (engagement - 0.43) + 0.6 * rng.standard_normal(n))
    lapse = np.where(contact, lapse, 0.35).clip(0.0, 0.9)
    back = np.where(contact, config.weekly_return_hazard * np.exp(1.5 * (engagement - 0.43)), 0.004).clip(0, 0.9)
    first_week = ((arrives - period.start) // WEEK).clip(-60, weeks - 1)
    active = np.zeros(n, dtype=bool)
    level = np.zeros(n)
    since = np.full(n, NEVER)
    activity = np.zeros((n, weeks), dtype=np.float64)
    for week in range(-60, weeks):  # those who arrived long ago have had time to fall silent
        draw = rng.random(n)
        begins = first_week == week
        falls = active & (draw < lapse)
        returns = ~active & (first_week < week) & (draw < back)
        active = (active & ~falls) | returns | begins
        at = period.start + week * WEEK
        since = np.where(falls, at, np.where(returns | begins, NEVER, since))
        level = np.where(begins, 1.0, 0.55 * level + 0.45 * active)
        if week >= 0:
            shown = np.maximum(np.where(level < 0.04, 0.0, level), config.silent_activity)
            activity[:, week] = np.where(first_week <= week, shown, 0.0)
    return activity, since


@dataclass(frozen=True)
class Names:
    """Names as written, and the ASCII forms that addresses are made of."""

    first: pa.Array
    last: pa.Array
    first_ascii: pa.Array
    last_ascii: pa.Array


def draw_names(rng: np.random.Generator, config: SandboxConfig, n: int) -> Names:
    """Plain and Unicode names by the configured share."""
    firsts = [*pools.FIRST_NAMES, *(name[0] for name in pools.UNICODE_NAMES)]
    lasts = [*pools.LAST_NAMES, *(name[1] for name in pools.UNICODE_NAMES)]
    firsts_ascii = [*(name.lower() for name in pools.FIRST_NAMES), *(name[2] for name in pools.UNICODE_NAMES)]
    lasts_ascii = [*(name.lower() for name in pools.LAST_NAMES), *(name[3] for name in pools.UNICODE_NAMES)]
    other = rng.random(n) < config.unicode_name_rate
    which = rng.integers(0, len(pools.UNICODE_NAMES), n)
    first = np.where(other, len(pools.FIRST_NAMES) + which, rng.integers(0, len(pools.FIRST_NAMES), n))
    last = np.where(other, len(pools.LAST_NAMES) + which, rng.integers(0, len(pools.LAST_NAMES), n))
    return Names(pick(firsts, first), pick(lasts, last), pick(firsts_ascii, first), pick(lasts_ascii, last))


def draw_addresses(
    rng: np.random.Generator, config: SandboxConfig, names: Names, contact: Bools
) -> tuple[pa.Array, pa.Array]:
    """(address, second address): unique by a number but for households; all on reserved example domains."""
    n = len(contact)
    companies = [f"corp-{i:02d}.example.com" for i in range(pools.N_COMPANY_DOMAINS)]
    domains = [*pools.MAIL_DOMAINS, *companies]
    weights = [0.3, 0.2, 0.15, 0.12, 0.08, *[0.15 / len(companies)] * len(companies)]
    local = join(names.first_ascii, ".", names.last_ascii, numbered("", np.arange(n)))
    email = join(local, "@", pick(domains, choose(rng, weights, n)))
    role = contact & (rng.random(n) < config.role_address_share)
    roles = [f"{name}@{company}" for company in companies for name in pools.ROLES]
    nth = np.cumsum(role) - 1  # colleagues share one address
    email = merge(role, pick(roles, nth // config.colleagues_per_role_address % len(roles)), email)
    # a household: the address of an earlier contact
    household = contact & (rng.random(n) < config.household_share) & (np.arange(n) > 0)
    source = np.where(household, (rng.random(n) * np.arange(n)).astype(np.int64), np.arange(n))
    email = email.take(pa.array(source))
    # one visitor in twelve buys as a guest now and then and leaves an address; the others never do
    leaves_address = contact | (rng.random(n) < 0.08)
    email = pick(email, np.where(leaves_address, np.arange(n), -1))
    second = contact & (rng.random(n) < config.second_address_share)
    initials = numbered("", np.arange(n))
    other = join(names.last_ascii, "-", initials, "@", pick(domains, choose(rng, weights, n)))
    return email, pick(other, np.where(second, np.arange(n), -1))


def draw_more_addresses(
    rng: np.random.Generator, config: SandboxConfig, names: Names, contact: Bools, email: pa.Array, other: pa.Array
) -> tuple[pa.Array, pa.Array]:
    """(address of the account, address given up): the second one for some, and one of its own for a few contacts."""
    n = len(contact)
    registers = (rng.random(n) < config.account_other_address_share) & np.asarray(other.is_valid())
    account = pick(pa.concat_arrays([email, other]), np.arange(n) + np.where(registers, n, 0))
    domain = pick(pools.MAIL_DOMAINS, rng.integers(0, len(pools.MAIL_DOMAINS), n))
    former = join(names.first_ascii, "-", names.last_ascii, numbered("", np.arange(n)), "@", domain)
    changes = contact & (rng.random(n) < config.email_change_share)
    return account, pick(former, np.where(changes, np.arange(n), -1))


def draw_phones(rng: np.random.Generator, config: SandboxConfig, contact: Bools, signed_up_at: Ints) -> pa.Array:
    """A fictional number per contact: 555-01xx of each area, then 555-02xx and so on.

    A family's number is that of an earlier contact. A recycled one is that of a contact who signed up a year before.
    """
    n = len(contact)
    everyone = np.arange(n)
    block, line = np.divmod(everyone, 100)
    area, block = pick(pools.AREA_CODES, block % len(pools.AREA_CODES)), block // len(pools.AREA_CODES)
    number = join("+1", area, "555", numbered("", 100 + block * 100 + line, 4))
    draw, which = rng.random(n), rng.random(n)
    family = contact & (draw < config.family_phone_share) & (everyone > 0)
    source = np.where(family, (which * everyone).astype(np.int64), everyone)
    by_sign_up = np.argsort(signed_up_at, kind="stable")
    since = np.where(contact, signed_up_at, 0)
    n_before = np.searchsorted(signed_up_at[by_sign_up], since - 365 * DAY)
    recycled = contact & (draw >= 1 - config.recycled_phone_share) & (n_before > 0)
    source = np.where(recycled, by_sign_up[(which * n_before).astype(np.int64)], source)
    return pick(number, np.where(contact, source, -1))


def draw_devices(rng: np.random.Generator, config: SandboxConfig, n: int) -> tuple[Ints, Ints, pa.Array, Ints]:
    """(first device, number of devices, anonymous_id per device, whose device it is); a few are two people's."""
    count = 1 + choose(rng, [0.5, 0.33, 0.17], n)
    first = np.cumsum(count) - count
    ids = hex_ids(rng, int(count.sum()), "anon-")
    shared = (rng.random(n) < config.shared_device_share) & (np.arange(n) > 0)
    source = np.arange(len(ids))
    source[first[shared]] = first[(rng.random(n) * np.arange(n)).astype(np.int64)[shared]]
    return first, count, ids.take(pa.array(source)), source


def draw_hardware(
    rng: np.random.Generator, config: SandboxConfig, device_ids: pa.Array, source: Ints
) -> tuple[pa.Array, pa.Array]:
    """(anonymous_id, device_id) per device and, after those, per kiosk: every kiosk has both."""
    n, kiosks = len(device_ids), len(pools.STORE_CITIES)
    named = rng.random(n) < config.device_id_share
    hardware = pick(hex_ids(rng, n, "dev-"), np.where(named, np.arange(n), -1)).take(pa.array(source))
    return (
        pa.concat_arrays([device_ids, hex_ids(rng, kiosks, "anon-")]),
        pa.concat_arrays([hardware, hex_ids(rng, kiosks, "dev-")]),
    )


def draw_clients(rng: np.random.Generator, config: SandboxConfig, n: int) -> Ints:
    """Mail client per person."""
    shares = [config.apple_privacy_share, config.gmail_proxy_share, config.scanner_share]
    return choose(rng, [*shares, max(0.0, 1.0 - sum(shares))], n)
