"""What people wrote about themselves: CRM contacts, newsletter forms, shop customers. Dirty on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from sandbox import pools
from sandbox.arrays import (
    DAY,
    MINUTE,
    NEVER,
    Bools,
    Ints,
    choose,
    instants,
    join,
    keep,
    merge,
    micros,
    numbered,
    pc,
    pick,
    stream,
)
from sandbox.config import SandboxConfig
from sandbox.links import Identifiers, Links, damages
from sandbox.people import People
from sandbox.period import Period
from sandbox.permission import NEWSLETTER, PROFILING, Permission


def write_variants(
    rng: np.random.Generator, config: SandboxConfig, address: pa.Array, *, force: bool = False
) -> pa.Array:
    """Addresses as people type them: capitals, blanks around, `+tags`; all of them if `force`."""
    n = len(address)
    draw = rng.random(n)
    case = config.case_variant_rate
    kind = np.select([draw < case / 2, draw < case, draw < case + config.plus_address_rate], [1, 2, 3], 0)
    if force:
        kind = 1 + choose(rng, [0.4, 0.3, 0.3], n)
    tagged = pc.replace_substring(address, "@", "+shop@", max_replacements=1)
    capital = pc.utf8_capitalize(address)
    spaced = join(" ", pc.utf8_upper(address), pick(["", " "], rng.integers(0, 2, n)))
    return pc.choose(pa.array(kind), address, capital, spaced, tagged)


def crm_columns(
    config: SandboxConfig, period: Period, people: People, categories: Sequence[str], links: Links
) -> tuple[dict[str, pa.Array], Identifiers]:
    """The rows of `crm_contacts` by instant, and whose they are."""
    rng = stream(config.seed, "crm")
    person = np.flatnonzero(people.has_crm)
    again = person[rng.random(len(person)) < config.crm_duplicate_rate]
    is_second = np.arange(len(person) + len(again)) >= len(person)
    person = np.concatenate([person, again])
    n = len(person)
    created = people.signed_up_at[person] + np.where(is_second, rng.integers(DAY, 120 * DAY, n), 0)
    created = np.minimum(created, period.end - rng.integers(MINUTE, DAY, n))
    created = np.maximum(created, people.signed_up_at[person])
    in_account = (people.account_at[person] < NEVER) & (rng.random(n) < config.crm_knows_account_rate)
    updated = created + (rng.exponential(60.0, n) * DAY * (rng.random(n) < config.crm_update_rate)).astype(np.int64)
    updated = np.where(updated < period.end, updated, created)
    # the CRM learns of an account when that is opened, not before
    updated = np.where(in_account, np.maximum(updated, people.account_at[person]), updated)

    own = people.email.take(pa.array(person))
    owned = merge(is_second, write_variants(rng, config, own, force=True), write_variants(rng, config, own))
    invalid = rng.random(n) < config.invalid_email_rate
    missing = ~invalid & (rng.random(n) < config.missing_email_rate)
    address = merge(invalid, pick(pools.INVALID_EMAILS, rng.integers(0, len(pools.INVALID_EMAILS), n)), owned)
    address = keep(address, ~missing)
    filled_in = stream(config.seed, "crm_placeholders")
    no_address = ~(invalid | missing) & (filled_in.random(n) < config.placeholder_email_rate)
    no_phone = filled_in.random(n) < config.placeholder_phone_rate
    address = merge(no_address, _fillers(filled_in, pools.PLACEHOLDER_EMAILS, n), address)

    city, given = people.city[person], 1.0 - config.missing_attribute_rate
    phone, national = write_phones(rng, config, people.phone.take(pa.array(person)))
    gives_phone = rng.random(n) < given
    phone = merge(no_phone, _fillers(filled_in, pools.PLACEHOLDER_PHONES, n), phone)
    test = rng.random(n) < config.test_contact_rate
    which = rng.integers(0, len(pools.TEST_NAMES), n)
    first = keep(people.first_name.take(pa.array(person)), rng.random(n) >= config.missing_name_rate)
    first = merge(test, pick([name[0] for name in pools.TEST_NAMES], which), first)
    last = keep(people.last_name.take(pa.array(person)), rng.random(n) >= config.missing_name_rate)
    last = merge(test, pick([name[1] for name in pools.TEST_NAMES], which), last)
    order = np.lexsort((person, created))
    columns = {
        "contact_id": numbered("K", np.arange(n) + 1, 7),
        "email": address,
        "phone": keep(phone, gives_phone | no_phone),
        "first_name": first,
        "last_name": last,
        "gender": pick(["female", "male", "other"], _gender(rng, person, given)),
        "birth_year": pa.array(
            (2008 - rng.gamma(4.0, 8.0, n)).clip(1925, 2008).astype(np.int64), mask=rng.random(n) >= given
        ),
        "city": _cities(rng, city, rng.random(n) < given),
        "country": keep(people.country.take(pa.array(person)), rng.random(n) < 0.93),
        "time_zone": pick([c.time_zone for c in pools.CITIES], np.where(rng.random(n) < 0.8, city, -1)),
        "interests": _interests(rng, people, categories, person, 0.45),
        "user_id": pick(people.user_id, np.where(in_account, person, -1)),
        "source": pick(pools.CRM_SOURCES, _source(rng, people, person)),
        "referrer": pick([*pools.REFERRERS[1:], None], choose(rng, [3, 2, 1, 4], n)),
        "created_at": instants(created),
        "updated_at": instants(updated),
    }
    ids = columns["contact_id"]
    # the number is given by instant
    columns = {name: column.take(pa.array(order)) for name, column in columns.items() if name != "contact_id"}
    columns = {"contact_id": ids, **columns}
    rightful = ~(invalid | missing | no_address)[order]
    mine = person[order]
    written = owned.take(pa.array(order)).filter(pa.array(rightful))
    known = (people.account_at[person] <= created)[order]
    before = people.former_email.take(pa.array(mine))
    before = keep(before, ~is_second[order] & (updated > created)[order])
    columns = add_first_versions(rng, columns, created[order], updated[order], {"user_id": known}, {"email": before})

    contact = ("contact_id", ids)
    damage = damages(invalid=invalid, missing=missing, placeholder=no_address).take(pa.array(order))
    links.add_addresses("crm_contacts", mine, contact, own.take(pa.array(order)), owned.take(pa.array(order)), damage)
    links.add("crm_contacts", mine, contact, ("email", before))
    damage = damages(placeholder=no_phone, national=national).take(pa.array(order))
    given_phone = keep(people.phone.take(pa.array(person)), gives_phone).take(pa.array(order))
    links.add("crm_contacts", mine, contact, ("phone", given_phone), damage)
    account = people.user_id.take(pa.array(mine))
    links.add("crm_contacts", mine, contact, ("user_id", keep(account, in_account[order])))
    changed = np.asarray(before.is_valid())
    return columns, [
        (mine, "contact_id", ids),
        (mine[rightful], "email", written),
        (mine[changed], "email", before.filter(pa.array(changed))),
    ]


def _fillers(rng: np.random.Generator, fillers: Sequence[str], n: int) -> pa.Array:
    """n of them: the first one half of the time."""
    return pick(fillers, choose(rng, [len(fillers) - 1, *[1.0] * (len(fillers) - 1)], n))


def add_first_versions(
    rng: np.random.Generator,
    columns: dict[str, pa.Array],
    created: Ints,
    updated: Ints,
    known_at_first: dict[str, Bools],
    other_at_first: dict[str, pa.Array],
) -> dict[str, pa.Array]:
    """Rows as last updated, and before them the same rows as first written where those differ.

    The first version lacks what was not known then, and some of what people tell later (phone, interests);
    it has another value where `other_at_first` has one. All rows are by `updated_at`.
    """
    first = np.flatnonzero(updated > created)
    versions = {}
    for name, column in columns.items():
        before = column.take(pa.array(first))
        if name == "updated_at":
            before = instants(created[first])
        elif name in known_at_first:
            before = keep(before, known_at_first[name][first])
        elif name in {"phone", "interests"}:
            before = keep(before, rng.random(len(first)) < 0.5)
        elif name in other_at_first:
            before = pc.coalesce(other_at_first[name].take(pa.array(first)), before)
        versions[name] = pa.concat_arrays([column, before])
    at = np.concatenate([updated, created[first]])
    place = np.lexsort((np.concatenate([np.arange(len(created)), first]), at))
    return {name: column.take(pa.array(place)) for name, column in versions.items()}


def _source(rng: np.random.Generator, people: People, person: Ints) -> Ints:
    """Hidden source field: account holders mostly came by the web, imported ones by a trade fair."""
    source = choose(rng, [1, 2, 2, 2, 2, 1], len(person))
    source = np.where((people.account_at[person] < NEVER) & (rng.random(len(person)) < 0.7), 0, source)
    return np.where(people.is_imported[person], 1, source)


def _gender(rng: np.random.Generator, person: Ints, given: float) -> Ints:
    """The same answer whenever the same person is asked."""
    answer = (person * 2_654_435_761 % 1_000) / 1_000
    index = np.where(answer < 0.52, 0, np.where(answer < 0.98, 1, 2))
    return np.where(rng.random(len(person)) < given, index, -1)


def _cities(rng: np.random.Generator, city: Ints, present: Bools) -> pa.Array:
    """City names, three in a hundred in lower case or with blanks."""
    names = [c.name for c in pools.CITIES]
    variants = [*names, *(name.lower() for name in names), *(f" {name} " for name in names)]
    variant = choose(rng, [0.97, 0.02, 0.01], len(city))
    return pick(variants, np.where(present & (city >= 0), city + variant * len(names), -1))


def _interests(
    rng: np.random.Generator, people: People, categories: Sequence[str], person: Ints, share: float
) -> pa.Array:
    """Comma list of one to three stated interests: the strongest tastes, now and then something else."""
    n = len(person)
    noisy = people.taste[person] * np.exp(0.8 * rng.standard_normal((n, people.taste.shape[1])))
    top = np.argsort(-noisy, axis=1, kind="stable")[:, :3]
    how_many = np.where(rng.random(n) < share, 1 + choose(rng, [0.5, 0.3, 0.2], n), 0)
    first, second, third = (pick(categories, top[:, i]) for i in range(3))
    nothing = pa.nulls(n, pa.string())
    two = join(first, ",", second)
    return pc.choose(pa.array(how_many), nothing, first, two, join(first, ", ", second, ", ", third))


def write_phones(rng: np.random.Generator, config: SandboxConfig, phone: pa.Array) -> tuple[pa.Array, Bools]:
    """(numbers as people type them, which of them lack the country code)."""
    n = len(phone)
    area, middle, line = (pc.utf8_slice_codeunits(phone, *part) for part in ((2, 5), (5, 8), (8, None)))
    local = join("(", area, ") ", middle, "-", line)
    country = pc.utf8_slice_codeunits(phone, 0, 2)
    dialled = join("00", pc.utf8_slice_codeunits(phone, 1, None))
    national = rng.random(n) < config.national_phone_rate
    kind = np.where(national, 3, choose(rng, [0.6, 0.3, 0.1], n))
    return pc.choose(pa.array(kind), phone, join(country, " ", local), dialled, local), national


def signup_columns(
    config: SandboxConfig,
    period: Period,
    people: People,
    permission: Permission,
    categories: Sequence[str],
    links: Links,
) -> tuple[dict[str, pa.Array], Identifiers]:
    """The rows of `newsletter_signups` by instant, and whose they are."""
    rng = stream(config.seed, "signups")
    person = np.flatnonzero(people.has_form)
    again = person[rng.random(len(person)) < config.repeated_form_rate]
    is_second = np.arange(len(person) + len(again)) >= len(person)
    person = np.concatenate([person, again])
    n = len(person)
    at = people.signed_up_at[person] + np.where(is_second, rng.integers(MINUTE, 200 * DAY, n), 0)
    # nobody who withdrew fills the form in again: that would be another consent
    fits = (at < period.end) & (~is_second | (at < permission.withdrawn_at[NEWSLETTER, person]))
    person, at, is_second = person[fits], at[fits], is_second[fits]
    n = len(person)
    place = np.lexsort((person, at))
    person, at, is_second = person[place], at[place], is_second[place]
    own = permission.address.take(pa.array(person))
    address = write_variants(rng, config, own)
    # a ticked form leaves consent under its address, so the mistyped ones are among the others
    unticked = ~permission.ticked[:, person].any(axis=0)
    invalid = unticked & (rng.random(n) < config.invalid_email_rate / max(0.01, float(unticked.mean())))
    written = merge(invalid, pick(pools.INVALID_EMAILS, rng.integers(0, len(pools.INVALID_EMAILS), n)), address)
    form = rng.integers(0, len(pools.FORM_SOURCES), n)
    ids = numbered("S", np.arange(n) + 1, 7)
    device = people.device_first[person] + (rng.random(n) ** 1.7 * people.device_count[person]).astype(np.int64)
    sent = rng.random(n) < 0.9
    browser = people.device_ids.take(pa.array(device))
    columns = {
        "signup_id": ids,
        "email": written,
        "first_name": keep(people.first_name.take(pa.array(person)), rng.random(n) >= 0.3),
        "interests": _interests(rng, people, categories, person, 0.3),
        "form_id": pick([f"newsletter_{name}" for name in pools.FORM_SOURCES], form),
        "hidden_source": pick(pools.FORM_SOURCES, np.where(rng.random(n) < 0.95, form, -1)),
        "hidden_referrer": pick(pools.REFERRERS[1:], rng.integers(-1, 3, n)),
        "page_url": pick([f"{pools.SHOP_URL}/newsletter", f"{pools.SHOP_URL}/"], choose(rng, [3, 1], n)),
        "anonymous_id": keep(browser, sent),
        "consent_newsletter": pa.array(permission.ticked[NEWSLETTER, person]),
        "consent_profiling": pa.array(permission.ticked[PROFILING, person]),
        "wording_version": pick(pools.WORDINGS, _wording(at)),
        "submitted_at": instants(at),
    }
    damage = damages(invalid=invalid, lost=~sent)
    links.add_addresses("newsletter_signups", person, ("anonymous_id", browser), own, address, damage)
    return columns, [(person[~invalid], "email", written.filter(pa.array(~invalid)))]


def _wording(at: Ints) -> Ints:
    return (at >= micros(datetime(*pools.WORDING_CHANGED))).astype(np.int64)


def customer_columns(
    config: SandboxConfig, period: Period, people: People, links: Links
) -> tuple[dict[str, pa.Array], Identifiers]:
    """The rows of `shop_customers` by instant: accounts, and cards of the store without an address."""
    rng = stream(config.seed, "customers")
    person = np.flatnonzero(people.customer_at < period.end)
    person = person[np.argsort(people.customer_at[person], kind="stable")]
    n = len(person)
    created = people.customer_at[person]
    updated = created + (rng.exponential(90.0, n) * DAY * (rng.random(n) < 0.4)).astype(np.int64)
    updated = np.where(updated < period.end, updated, created)
    account = people.account_at[person] < NEVER
    own = keep(people.account_email.take(pa.array(person)), account)
    address = write_variants(rng, config, own)
    city = people.city[person]
    own_phone = people.phone.take(pa.array(person))
    phone, national = write_phones(rng, config, own_phone)
    gives_phone = rng.random(n) < config.customer_phone_rate
    columns = {
        "customer_id": people.customer_id.take(pa.array(person)),
        "user_id": people.user_id.take(pa.array(person)),
        "loyalty_card": people.loyalty_card.take(pa.array(person)),
        "email": address,
        "phone": keep(phone, gives_phone),
        "first_name": keep(people.first_name.take(pa.array(person)), rng.random(n) < 0.95),
        "last_name": keep(people.last_name.take(pa.array(person)), rng.random(n) < 0.95),
        "city": _cities(rng, city, rng.random(n) < 0.9),
        "country": people.country.take(pa.array(person)),
        "created_at": instants(created),
        "updated_at": instants(updated),
    }
    owners: Identifiers = [
        (person, "customer_id", columns["customer_id"]),
        (person[account], "user_id", columns["user_id"].filter(pa.array(account))),
        (person[account], "email", address.filter(pa.array(account))),
    ]
    customer = ("customer_id", columns["customer_id"])
    links.add("shop_customers", person, customer, ("user_id", columns["user_id"]))
    links.add("shop_customers", person, customer, ("loyalty_card", columns["loyalty_card"]))
    links.add_addresses("shop_customers", person, customer, own, address, None)
    own_phone = keep(own_phone, gives_phone)
    links.add("shop_customers", person, customer, ("phone", own_phone), damages(national=national))
    return add_first_versions(rng, columns, created, updated, {}, {}), owners
