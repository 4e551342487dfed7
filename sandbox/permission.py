"""Who gave which permission when, in which way, and took it back: the source of consent events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

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
    hex_ids,
    instants,
    join,
    merge,
    micros,
    numbered,
    pick,
    seconds,
    stream,
)
from sandbox.config import SandboxConfig
from sandbox.people import People
from sandbox.period import Period

PURPOSES = ("newsletter", "product_news", "profiling")
NEWSLETTER, PRODUCT_NEWS, PROFILING = range(3)
SOURCES = ("form", "double_opt_in", "preference_center", "import", "esp")
FORM, DOUBLE_OPT_IN, PREFERENCE_CENTER, IMPORT, ESP = range(5)


@dataclass
class Permission:
    """State while mailings run (the only mutable thing in the sandbox), and the evidence it left.

    `granted_at`, `withdrawn_at`: (purposes x people); mailable from the grant on, until the withdrawal.
    """

    address: pa.Array
    """Address per person to which mails go (null: none)."""
    granted_at: Ints
    withdrawn_at: Ints
    form_at: Ints
    """Instant at which a form asked for consent; NEVER where none did."""
    ticked: Bools
    """(purposes x people): boxes ticked on that form."""
    returns_at: Ints
    """When someone who unsubscribed opts in again; NEVER for most."""
    leaves_in_preferences: Bools
    """Who withdraws (or has withdrawn) in the preference centre some time."""
    _rows: list[tuple[Ints, Ints, Ints, Ints, Ints]] = field(default_factory=list)

    def is_mailable(self, purpose: int, begins: int, ends: int) -> Bools:
        """Who may be mailed for this purpose all through that span."""
        return (self.granted_at[purpose] <= begins) & (self.withdrawn_at[purpose] > ends)

    def note(self, person: Ints, purpose: int, granted: bool, source: int, at: Ints) -> None:
        """Add evidence rows."""
        size = len(person)
        kind, state, how = (np.full(size, value) for value in (purpose, int(granted), source))
        self._rows.append((person, kind, state, how, at))

    def withdraw_by_mail(
        self, rng: np.random.Generator, config: SandboxConfig, period: Period, person: Ints, at: Ints
    ) -> None:
        """Unsubscribes: all mail purposes end; a third is also reported to the consent log; some come back."""
        for purpose in (NEWSLETTER, PRODUCT_NEWS):
            ends = np.minimum(self.withdrawn_at[purpose, person], at)
            self.withdrawn_at[purpose, person] = ends
        told = rng.random(len(person)) < 0.33
        self.note(person[told], NEWSLETTER, False, ESP, at[told])
        back = rng.random(len(person)) < config.resubscribe_rate
        when = at + rng.integers(20 * DAY, 200 * DAY, len(person))
        back &= (when < period.end) & ~self.leaves_in_preferences[person]
        self.returns_at[person[back]] = when[back]
        self.note(person[back], NEWSLETTER, True, PREFERENCE_CENTER, when[back])

    def apply_resubscriptions(self, at: int) -> None:
        """Those whose return lies before this instant may be mailed again."""
        back = np.flatnonzero(self.returns_at <= at)
        self.granted_at[NEWSLETTER, back] = self.returns_at[back]
        self.withdrawn_at[NEWSLETTER, back] = NEVER
        self.returns_at[back] = NEVER

    def columns(self, config: SandboxConfig, period: Period) -> dict[str, pa.Array]:
        """The rows of `consent_events`, by instant, strictly before the end."""
        rng = stream(config.seed, "consent_columns")
        person, purpose, granted, source, at = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        order = np.lexsort((purpose, source, person, at))
        order = order[at[order] < period.end]
        person, purpose, granted, source, at = (x[order] for x in (person, purpose, granted, source, at))
        n = len(person)
        received = at + seconds(rng, 1.5, 0.8, n).clip(100_000, HOUR)
        new_wording = at >= micros(datetime(*pools.WORDING_CHANGED))
        wording = np.where(source == IMPORT, -1, new_wording.astype(np.int64))
        wording = np.where(source == ESP, -1, wording)
        return {
            "consent_event_id": hex_ids(rng, n, "con_"),
            "email": self.address.take(pa.array(person)),
            "channel": pick(["email"], np.zeros(n, dtype=np.int64)),
            "purpose": pick(PURPOSES, purpose),
            "state": pick(["withdrawn", "granted"], granted),
            "source": pick(SOURCES, source),
            "wording_version": pick(pools.WORDINGS, wording),
            "evidence": _evidence(rng, source),
            "occurred_at": instants(at),
            "received_at": instants(received),
        }


def _evidence(rng: np.random.Generator, source: Ints) -> pa.Array:
    """JSON per row: what a form, a confirmation or an import leaves behind."""
    forms = [
        {"form_id": form, "page_url": f"{pools.SHOP_URL}/newsletter", "box": "ticked by the person"}
        for form in pools.FORM_SOURCES
    ]
    others = [
        {"confirmed": "link in the confirmation mail"},
        {"page_url": f"{pools.SHOP_URL}/preferences"},
        {"file": "trade-fair-2024.csv", "note": "no evidence of the person's own act"},
        {"reported_by": "esp", "how": "unsubscribe link"},
    ]
    heads = [json.dumps(fields)[:-1] for fields in (*forms, *others)]
    index = np.where(source == FORM, rng.integers(0, len(forms), len(source)), len(forms) + source - 1)
    address = numbered(', "ip": "203.0.113.', rng.integers(1, 255, len(source)))
    by_person = np.isin(source, (FORM, DOUBLE_OPT_IN, PREFERENCE_CENTER))
    return join(pick(heads, index), merge(by_person, join(address, '"}'), "}"))


def draw_permission(config: SandboxConfig, period: Period, people: People) -> Permission:
    """Consent given in forms and confirmed, imported without evidence, withdrawn in the preference centre."""
    rng = stream(config.seed, "permission")
    n = people.n
    everyone = np.arange(n)
    address = _mail_address(rng, people)
    present = np.asarray(address.is_valid())
    _, first_holder = np.unique(
        np.where(present, np.asarray(address.dictionary_encode().indices.fill_null(-1)), -1), return_index=True
    )
    holds = np.zeros(n, dtype=bool)
    holds[first_holder] = True
    holds &= present  # in a household, one person's permission speaks for the address

    form = holds & people.has_form
    box = holds & ~form & (people.account_at < NEVER)  # the box beside the account form
    form_at = np.where(form, people.signed_up_at, np.where(box, people.account_at, NEVER))
    asked = form | box
    ticked = np.zeros((3, n), dtype=bool)
    ticked[NEWSLETTER] = asked & (rng.random(n) < np.where(form, config.newsletter_consent_rate, 0.35))
    ticked[PRODUCT_NEWS] = ticked[NEWSLETTER] & (rng.random(n) < 0.45)
    ticked[PROFILING] = asked & (rng.random(n) < config.profiling_consent_rate)
    permission = Permission(
        address=address,
        granted_at=np.full((3, n), NEVER),
        withdrawn_at=np.full((3, n), NEVER),
        form_at=form_at,
        ticked=ticked,
        returns_at=np.full(n, NEVER),
        leaves_in_preferences=np.zeros(n, dtype=bool),
    )
    confirms = rng.random(n) < config.double_opt_in_rate
    confirmed_at = form_at.copy()
    confirmed_at[asked] += seconds(rng, 420, 1.6, int(asked.sum())).clip(15 * SECOND, 3 * DAY)
    confirmed_at = np.where(confirmed_at < period.end - MINUTE, confirmed_at, NEVER)
    for purpose in range(3):
        rows = np.flatnonzero(ticked[purpose])
        permission.note(rows, purpose, True, FORM, form_at[rows])
        rows = np.flatnonzero(ticked[purpose] & confirms & (confirmed_at < NEVER))
        permission.note(rows, purpose, True, DOUBLE_OPT_IN, confirmed_at[rows])
        permission.granted_at[purpose, rows] = confirmed_at[rows]
    rows = np.flatnonzero(people.is_imported & holds)
    permission.note(rows, NEWSLETTER, True, IMPORT, people.signed_up_at[rows])
    _withdraw_in_preferences(rng, config, period, permission, everyone)
    return permission


def _withdraw_in_preferences(
    rng: np.random.Generator, config: SandboxConfig, period: Period, permission: Permission, everyone: Ints
) -> None:
    """Some confirmed subscribers withdraw on their own: the newsletter alone, or everything."""
    granted = permission.granted_at[NEWSLETTER]
    leaves = (granted < NEVER) & (rng.random(len(everyone)) < config.preference_withdrawal_rate)
    everything = rng.random(len(everyone)) < 0.4
    wait = (rng.exponential(150.0, len(everyone)) * DAY).astype(np.int64) + HOUR
    at = np.where(leaves, np.where(leaves, granted, 0) + wait, NEVER)
    permission.leaves_in_preferences |= leaves
    for purpose in range(3):
        mask = (at < period.end) & (permission.granted_at[purpose] < at)
        if purpose != NEWSLETTER:
            mask &= everything
        rows = np.flatnonzero(mask)
        permission.withdrawn_at[purpose, rows] = at[rows]
        permission.note(rows, purpose, False, PREFERENCE_CENTER, at[rows])


def _mail_address(rng: np.random.Generator, people: People) -> pa.Array:
    """The second address for half of those who have one and used a form, else the first; contacts only."""
    second = people.has_form & (rng.random(people.n) < 0.5) & np.asarray(people.other_email.is_valid())
    both = pa.concat_arrays([people.email, people.other_email])
    index = np.where(people.is_contact, np.arange(people.n) + np.where(second, people.n, 0), -1)
    return pick(both, index)
