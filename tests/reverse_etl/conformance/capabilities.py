"""What each vendor can do, as data. The table in docs/syncs.md is written from it, and the suite tests it.

A capability that a vendor lacks is no excuse: the test asserts what happens instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

VENDORS = ("mailchimp", "klaviyo", "sendgrid", "hubspot")


@dataclass(frozen=True)
class Capabilities:
    """One vendor. Statuses are the engine's words."""

    throttles: tuple[str, ...]
    """Forms in which it asks for patience: kinds of the twin's faults."""
    statuses: tuple[str, ...]
    """In which a person can be found there."""
    has_jobs: bool
    """Whether it answers with jobs, which end later."""
    empties_numbers: bool
    """Whether a number or a date can be emptied."""
    empties_its_own: bool
    """Whether a row that vanishes empties the vendor's own fields too, not ours alone."""
    longest: Mapping[str, int]
    """Column → the longest text that it takes there."""
    shows_segments: bool
    """Whether a read-back shows who is in which segment."""
    word_outlives_person: bool
    """Whether her word against mail stays when she is deleted."""
    fields_must_exist: bool
    """Whether a custom field has to be created before it is written."""
    raises_the_silent: bool
    """Whether evidence subscribes somebody who is there and never said a word."""


CAPABILITIES: Mapping[str, Capabilities] = {
    "mailchimp": Capabilities(
        throttles=("429", "403"),
        statuses=("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"),
        has_jobs=False,
        empties_numbers=True,
        empties_its_own=True,
        longest={"city": 255},
        shows_segments=True,
        word_outlives_person=False,
        fields_must_exist=True,
        raises_the_silent=False,
    ),
    "klaviyo": Capabilities(
        throttles=("429",),
        statuses=("subscribed", "unsubscribed", "cleaned", "never_subscribed"),
        has_jobs=True,
        empties_numbers=True,
        empties_its_own=True,
        longest={},
        shows_segments=False,
        word_outlives_person=False,
        fields_must_exist=False,
        raises_the_silent=True,
    ),
    "sendgrid": Capabilities(
        throttles=("429",),
        statuses=("subscribed", "unsubscribed", "cleaned"),
        has_jobs=True,
        empties_numbers=False,
        empties_its_own=True,
        longest={"first_name": 50},
        shows_segments=True,
        word_outlives_person=True,
        fields_must_exist=True,
        raises_the_silent=False,
    ),
    "hubspot": Capabilities(
        throttles=("429",),
        statuses=("subscribed", "unsubscribed", "cleaned", "transactional"),
        has_jobs=False,
        empties_numbers=True,
        empties_its_own=False,
        longest={"city": 65_536},
        shows_segments=False,
        word_outlives_person=True,
        fields_must_exist=True,
        raises_the_silent=False,
    ),
}


@dataclass(frozen=True)
class Row:
    """A line of the table in docs/syncs.md: what is claimed, the tests that show it at every vendor, and the claim."""

    label: str
    tests: tuple[str, ...]
    cell: Callable[[Capabilities], str] = lambda _: "yes"


def _yes(wanted: bool) -> str:
    return "yes" if wanted else "no"


ROWS = (
    Row("creates with opt-in evidence, updates who is there", ("behaviour.test_first_run",)),
    Row("sends only who changed, and nothing twice", ("behaviour.test_only_who_changed_is_sent",)),
    Row("empties text that has no value any more", ("behaviour.test_a_value_that_is_gone_empties_its_field",)),
    Row(
        "empties numbers and dates",
        ("behaviour.test_a_number_that_is_gone_empties_its_field_where_that_is_possible",),
        lambda can: _yes(can.empties_numbers),
    ),
    Row(
        "keeps what people typed there (`keep`, `fill_if_empty`)",
        ("behaviour.test_policies_of_a_field_without_a_value", "behaviour.test_filled_only_if_empty"),
    ),
    Row("mirrors who enters and leaves a segment", ("behaviour.test_segments_in_and_out",)),
    Row(
        "empties our fields of who is gone from the model",
        ("behaviour.test_who_is_gone_from_the_model_is_forgotten_and_stays",),
    ),
    Row(
        "empties the vendor's own fields of her too",
        ("behaviour.test_the_vendors_own_fields_of_who_is_gone",),
        lambda can: _yes(can.empties_its_own),
    ),
    Row(
        "a refused record costs nobody else, and is named",
        (
            "behaviour.test_one_refused_record_costs_nobody_else",
            "behaviour.test_a_value_that_is_too_long_costs_nobody_else",
        ),
    ),
    Row("creates nobody again who was deleted there", ("behaviour.test_who_was_deleted_there_is_not_created_again",)),
    Row(
        "waits when it is throttled with",
        ("trouble.test_throttled_in_each_form", "trouble.test_throttled_without_end"),
        lambda can: ", ".join(can.throttles),
    ),
    Row(
        "survives 5xx, broken, lost, late and doubled answers",
        (
            "trouble.test_an_answer_that_is_lost_once",
            "trouble.test_no_answer_at_all",
            "trouble.test_in_doubt_and_back_again",
        ),
    ),
    Row("goes on where a killed run stopped", ("trouble.test_killed_at_every_failpoint",)),
    Row(
        "goes on with a job that outlived its run",
        ("trouble.test_jobs_that_outlive_a_run",),
        lambda can: "yes" if can.has_jobs else "no jobs",
    ),
    Row(
        "ends subscriptions, and raises none",
        (
            "consent.test_every_verdict_meets_every_status",
            "consent.test_a_withdrawal_ends_every_address",
            "consent.test_who_withdrew_is_not_raised_by_new_evidence",
            "consent.test_who_leaves_between_pull_and_push_is_not_raised",
        ),
    ),
    Row(
        "heeds unsubscriptions, complaints and bounces there",
        ("consent.test_her_word_there_beats_everything", "consent.test_a_bounce_concerns_the_address_alone"),
    ),
    Row(
        "subscribes who is there and never said a word",
        ("consent.test_every_verdict_meets_every_status",),
        lambda can: _yes(can.raises_the_silent),
    ),
    Row(
        "her word outlives her contact there",
        ("consent.test_her_word_outlives_her",),
        lambda can: _yes(can.word_outlives_person),
    ),
    Row(
        "an audit sees segments, too",
        ("behaviour.test_what_somebody_changed_there_is_found_and_repaired",),
        lambda can: _yes(can.shows_segments),
    ),
)
