"""The consent firewall: no configuration, and no order of commands, subscribes anybody without evidence that is newer
than her word; and the proof that this property would notice.

A company is any declaration × whatever stands at the vendor × whatever the models say; then any commands are run. After
each: who was not mailable before is so now only if her verdict is `subscribe`, she had said no with this address
nowhere, and consent has weighed every no that the vendor knows of her other addresses.

Mutants are the other half: the guards are taken out of the code one by one, and each time the property has to fail.
"""

from __future__ import annotations

import inspect
import os
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reverse_etl import diff, items, ledger, repair
from reverse_etl.audit import audit
from reverse_etl.destinations import klaviyo_jobs, mailchimp
from reverse_etl.destinations.hubspot_consent import Consent
from reverse_etl.plan import Plan
from tests.reverse_etl.conformance.capabilities import VENDORS
from tests.reverse_etl.conformance.conftest import from_template
from tests.reverse_etl.conformance.port import CITY, FIRST_NAME, Port
from tests.reverse_etl.conformance.vendors import PORTS
from tests.reverse_etl.world import Person
from warehouse.clock import utcnow
from warehouse.connection import connect
from warehouse.errors import MailwrightError, RefusedError

# read here: a test itself does not see MAILWRIGHT_* variables
EXAMPLES = int(os.environ.get("MAILWRIGHT_EXAMPLES", "28")) // len(VENDORS)
MAILED = {"subscribed", "transactional"}
NO = {"unsubscribed", "cleaned", "archived", "pending"}
GUARDS = ("empty_source", "share_removed", "share_leaving", "share_lowered", "vanished", "first_run", "older_as_of")
COMMANDS = ("sync", "sync", "override", "plan file", "retry", "skip", "rebaseline", "audit", "trial", "look again")
FORBIDDEN = ("status", "email", "$consent", "hs_email_optout", "EMAIL", "subscriptions")
"""Names of fields that would speak of consent, or of whose record it is: whatever they are refused as."""


@dataclass(frozen=True)
class Somebody:
    """One person: what the models say of her, and what the vendor has of her two addresses."""

    verdict: str | None
    state: str | None
    other_state: str | None
    weighed: str | None
    """Up to when consent has weighed the vendor's words: not at all, before they were seen, after."""
    is_in_a_segment: bool
    word: str | None
    """What she does at the vendor after the first command."""


@dataclass(frozen=True)
class Company:
    """How its sync is declared."""

    city: dict[str, Any]
    forbidden: str | None
    include: tuple[str, ...] | None
    binds_addresses: bool


def _company(chance: Random) -> Company:
    more: list[dict[str, Any]] = [{}, {"fallback": "there"}, {"max_length": 3}]
    policy = chance.choice(["overwrite", "keep", "clear", "fill_if_empty"])
    return Company(
        city={**CITY, "on_null": policy, **chance.choice(more)},
        forbidden=chance.choice([None] * 30 + [*FORBIDDEN]),
        include=chance.choice([None, ("vip",), ()]),
        binds_addresses=chance.random() < 0.7,
    )


def _somebody(chance: Random, port: type[Port]) -> Somebody:
    states = [None, None, *port.can().statuses, *(["deleted after no"] if port.can().word_outlives_person else [])]
    return Somebody(
        verdict=chance.choice(["subscribe", "subscribe", "update_only", "unsubscribe", None, "yes please"]),
        state=chance.choice(states),
        other_state=chance.choice([None, "subscribed", "unsubscribed", "unsubscribed", "cleaned"]),
        weighed=chance.choice([None, "before", "after"]),
        is_in_a_segment=chance.random() < 0.5,
        word=chance.choice([None, None, "unsubscribe", "complain", "bounce", "delete"]),
    )


def _put(port: Port, email: str, state: str | None) -> None:
    if state == "deleted after no":
        port.put(email)
        port.unsubscribe(email)
        port.delete(email)
    elif state is not None:
        port.put(email, state)


def _declare(port: Port, company: Company) -> None:
    fields = [FIRST_NAME, company.city]
    if company.forbidden:
        fields.append({"column": "rfm_cell", "field": company.forbidden, "name": "Ours"})
    segments: dict[str, Any] = {"model": "sync_esp__segment_members"}
    if company.include is not None:
        segments["include"] = list(company.include)
    port.declare(
        *fields, segments=segments, addresses="sync_esp__addresses" if company.binds_addresses else None,
        guards={"refuse_empty_source": False, "min_records": 1000},
    )  # fmt: skip


def _command(port: Port, name: str, everybody: list[Person], file: Path) -> None:
    if name == "override":
        port.sync(overrides=set(GUARDS))
    elif name == "plan file":
        port.plan().save(file)
        port.sync(plan=Plan.load(file))
    elif name == "retry":
        repair.retry(port.settings, "small")
        port.sync()
    elif name == "skip":
        classes: Any = ["data", "consent", "retryable"]
        repair.skip(port.settings, "small", "whatever", classes=classes)
    elif name in {"rebaseline", "audit"}:
        target = port.destination()
        try:
            if name == "audit":
                audit(port.settings, "small", sample=None, repair=True, destination=target)
            else:
                repair.rebaseline(port.settings, "small", destination=target)
        finally:
            target.close()
        port.sync()
    elif name == "trial":
        # somebody's own schema, in which everybody said yes: nobody named it, so it is refused
        ours, trial = port.world.settings, port.settings.model_copy(update={"target": "dev"})
        port.desire(*(Person(one.email) for one in everybody), schema=trial.schema)
        port.world.settings = trial
        try:
            with pytest.raises(RefusedError):
                port.sync(allow_schema="another")
        finally:
            port.world.settings = ours
    elif name == "look again":
        port.look_at_everybody()
        port.sync()
    else:
        port.sync()


def _may_be_raised(port: Port, company: Company, somebody: Somebody, email: str, other: str) -> bool:
    """Whether evidence stands against all that the vendor has of her at this moment."""
    if somebody.verdict != "subscribe" or port.status(email) in NO:
        return False
    is_bound = company.binds_addresses and somebody.weighed != "after"
    return not (is_bound and port.status(other) == "unsubscribed")


def _live(
    port: Port, company: Company, people: list[Somebody], commands: Sequence[str], file: Path, done: Counter[str]
) -> None:
    now = utcnow()
    weighed: dict[str | None, datetime | None] = {
        None: None, "before": now - timedelta(hours=1), "after": now + timedelta(hours=1),
    }  # fmt: skip
    emails = [(f"p{n}@shop.test", f"p{n}.private@shop.test") for n in range(len(people))]
    everybody: list[Person] = []
    for somebody, (email, other) in zip(people, emails, strict=True):
        _put(port, email, somebody.state)
        _put(port, other, somebody.other_state)
        segments = ("vip", "cart") if somebody.is_in_a_segment else ()
        columns = {"city": "Köln", "rfm_cell": "subscribed"}
        everybody.append(Person(email, somebody.verdict, segments, columns, (other,), weighed[somebody.weighed]))
    _declare(port, company)
    port.desire(*everybody)
    for number, name in enumerate(commands):
        before = {email: port.status(email) for pair in emails for email in pair}
        allowed = {e for one, (e, o) in zip(people, emails, strict=True) if _may_be_raised(port, company, one, e, o)}
        try:
            _command(port, name, everybody, file)
            done["done"] += 1
        except MailwrightError:
            done["refused"] += 1
        port.time_passes()
        for email, was in before.items():
            now_is = port.status(email)
            assert now_is not in MAILED or was in MAILED or email in allowed, (name, email, was, now_is)
            assert was not in NO or now_is in NO, (name, email, was, now_is)
        assert port.raised == 0
        if number == 0:
            for somebody, (email, _) in zip(people, emails, strict=True):
                if somebody.word and port.held(email) is not None and port.status(email) not in NO:
                    getattr(port, somebody.word)(email)


def _property(vendor: str, template: Path, folder: Path, examples: int, done: Counter[str]) -> Callable[[], None]:
    """As a function that raises when somebody is subscribed who must not be.

    Everything is drawn from one number: drawn piece by piece, examples of this size come out nearly the same.
    """

    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow],
              phases=[Phase.generate])  # fmt: skip
    @given(seed=st.integers(0, 2**64))
    def holds(seed: int) -> None:
        chance = Random(seed)
        people = [_somebody(chance, PORTS[vendor]) for _ in range(16)]
        commands = chance.choices(COMMANDS, k=chance.randint(2, 4))
        port = PORTS[vendor].make(from_template(template, folder / "home"))
        with port.twin.in_process(), connect(port.settings, purpose="test"):
            _live(port, _company(chance), people, commands, folder / "plan.json", done)

    return holds


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("vendor", VENDORS)
def test_no_configuration_subscribes_without_newer_evidence(vendor: str, template: Path, tmp_path: Path) -> None:
    done: Counter[str] = Counter()
    _property(vendor, template, tmp_path, max(1, EXAMPLES), done)()
    print(f"{vendor}: {dict(done)}")
    assert done["refused"] < done["done"]  # else nothing was tried


# mutants

Patch = tuple[Any, str, str, str]
"""(module or class, name of its function, a piece of the source, what stands there instead)."""

NO_SECOND_LOOK: tuple[Patch, ...] = (
    (ledger, "_wave_sql", "and d.verdict_now = 'subscribe'\n", "\n"),
    (ledger, "_wave_sql", "and d.subscriber_hash in ({subscribable_sql(scope)})", ""),
)
NO_STATUS_RULE: Patch = (
    items,
    "members_sql",
    "when v.status in ({listed(UPDATABLE)}) then 'update'",
    "when v.status in ({listed(UPDATABLE)}) then 'update' when v.consent_verdict = 'subscribe' then 'create'",
)
MUTANTS: dict[str, tuple[str, tuple[Patch, ...]]] = {
    "who is absent is created without evidence": (
        "mailchimp",
        (
            (
                items,
                "members_sql",
                "when v.is_missing and v.consent_verdict <> 'subscribe' then 'blocked'",
                "",
            ),
            *NO_SECOND_LOOK,
        ),
    ),
    "no verdict is a yes": (
        "sendgrid",
        (
            (
                items,
                "members_sql",
                "when v.consent_verdict is null or v.consent_verdict not in ({verdicts}) then 'blocked'",
                "",
            ),
            *NO_SECOND_LOOK,
        ),
    ),
    "her word with another address does not bind": (
        "klaviyo",
        ((diff, "_unsubscribed_ctes", "e.kind = 'unsubscribe'", "false"),),
    ),
    "whatever was weighed once is weighed for good": (
        "hubspot",
        ((diff, "_unsubscribed_ctes", " or e.seen_at > a.suppressions_weighed_to", ""),),
    ),
    "Mailchimp: a status goes with every record, whatever she is there": (
        "mailchimp",
        (
            NO_STATUS_RULE,
            (ledger, "_wave_sql", "coalesce(d.remote_status, '{NEVER_SUBSCRIBED}') = '{NEVER_SUBSCRIBED}'\n", "true\n"),
            (mailchimp.Mailchimp, "_upsert", 'operation != "create"}', "True}"),
        ),
    ),
    "Klaviyo: who is subscribed is not looked up before": (
        "klaviyo",
        (
            NO_STATUS_RULE,
            (ledger, "_wave_sql", "coalesce(d.remote_status, '{NEVER_SUBSCRIBED}') = '{NEVER_SUBSCRIBED}'\n", "true\n"),
            (klaviyo_jobs.JobFollower, "_willing", '== "never_subscribed"', '!= "subscribed"'),
        ),
    ),
    "HubSpot: her address's word is not asked for before": (
        "hubspot",
        ((Consent, "_against", "wide = self._batch", "return {}\n    wide = self._batch"),),
    ),
}


def _mutate(patch: pytest.MonkeyPatch, owner: Any, name: str, old: str, new: str) -> None:
    """A function of the code as it would be with a piece of its source changed."""
    found = getattr(owner, name)
    source = getattr(found, "mutated", None) or textwrap.dedent(inspect.getsource(found))
    assert source.count(old) >= 1, f"{name} has changed: {old}"
    source = source.replace(old, new, 1)
    names: dict[str, Any] = {}
    exec(compile(source, f"<mutant of {name}>", "exec"), found.__globals__, names)
    names[name].mutated = source
    patch.setattr(owner, name, names[name])


@pytest.mark.parametrize("mutant", MUTANTS)
def test_without_a_guard_the_property_fails(
    mutant: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, patches = MUTANTS[mutant]
    for patch in patches:
        _mutate(monkeypatch, *patch)
    with pytest.raises(AssertionError, match=r"@shop\.test|raised"):
        _property(vendor, template, tmp_path, 25, Counter())()
