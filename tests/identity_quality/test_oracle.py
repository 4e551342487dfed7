"""The measure itself, on a case that fits on a page."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from tests.identity_quality.oracle import Case, agreement

KEY = ["identifier_type", "identifier_value"]
# Ann: contact k1, account u1 and C1, browser a1; Bob: contact k2, account u2; they share a telephone
PERSONS = [
    ("ann", "contact_id", "k1"), ("ann", "email", " Ann@x.org"), ("ann", "user_id", "u1"), ("ann", "customer_id", "C1"),
    ("ann", "anonymous_id", "a1"), ("ann", "anonymous_id", "a2"), ("ann", "phone", "+1"),
    ("bob", "contact_id", "k2"), ("bob", "user_id", "u2"), ("bob", "phone", "+1"), ("bob", "phone", "+2"),
]  # fmt: skip
LINKS = [
    ("contact_id", "k1", "email", "ann@x.org", None),
    ("customer_id", "C1", "email", "ann@x.org", None),
    ("customer_id", "C1", "user_id", "u1", None),
    ("contact_id", "k1", "phone", "+1", None),
    ("contact_id", "k2", "phone", "+1", None),
    ("contact_id", "k2", "phone", "+2", None),
    ("user_id", "u2", "phone", "+2", None),
    ("anonymous_id", "a1", "email", "ann@x.org", "lost"),
]
RIGHT = {"k1": "A", "ann@x.org": "A", "u1": "A", "C1": "A", "a1": "a", "k2": "B", "u2": "B", "+2": "B"}
TYPES = {"k": "contact_id", "u": "user_id", "C": "customer_id", "+": "phone"}


def case(profiles: dict[str, str]) -> Case:
    def kind(value: str) -> str:
        return "email" if "@" in value else "anonymous_id" if value[0] == "a" else TYPES[value[0]]

    return Case.of(
        pd.DataFrame(
            [(kind(value), value, profile) for value, profile in profiles.items()], columns=[*KEY, "profile_id"]
        ),
        pd.DataFrame(PERSONS, columns=["person_id", *KEY]),
        pd.DataFrame(LINKS, columns=["left_type", "left_value", "right_type", "right_value", "damage"]),
    )


def test_what_is_right_is_all_that_is_knowable() -> None:
    right = case(RIGHT)
    assert right.precision() == (9, 9)
    assert right.recall(right.known(damaged=False)) == (9, 9)
    # a1 would be Ann's had it not been lost; a2 never came to the store
    assert right.recall(right.known()) == (9, 13)
    assert right.n_pairs_of_one_person() == 13
    assert right.missed() == Counter({"damaged: lost": 4})
    assert right.wrongly_joined() == Counter()


def test_two_people_in_one_profile_cost_precision() -> None:
    joined = case({**{value: "A" for value in RIGHT if value != "a1"}, "a1": "a", "+1": "A"})
    # 4 x 3 pairs of Ann's and Bob's; the telephone is both's
    assert joined.precision() == (16, 28)
    assert joined.recall(joined.known(damaged=False)) == (9, 9)
    assert joined.wrongly_joined() == Counter({"phone of 2 people": 12})


def test_a_filler_is_nobodys() -> None:
    assert case({**RIGHT, "none@none.com": "A"}).precision() == (9, 13)
    assert case({**RIGHT, "none@none.com": "A"}).wrongly_joined() == Counter({"email of 0 people": 4})


def test_a_person_in_two_profiles_costs_recall() -> None:
    parted = case({**RIGHT, "u1": "A2", "C1": "A2", "u2": "B2"} | {"+2": "B"})
    assert parted.precision() == (3, 3)
    assert parted.recall(parted.known(damaged=False)) == (3, 9)
    assert parted.missed() == Counter({"not by any of these": 4, "only by way of phone": 2, "damaged: lost": 4})


def test_an_identifier_without_a_profile_is_missed() -> None:
    without = case({value: profile for value, profile in RIGHT.items() if value != "+2"})
    assert without.recall(without.known(damaged=False)) == (7, 9)
    assert without.missed()["a phone belongs to nobody"] == 2


@pytest.mark.parametrize(
    ("predicted", "expected"), [([1, 1, 2, 2], (1.0, 1.0)), ([1, 1, 1, 1], (2 / 6, 1.0)), ([1, 2, 3, 4], (0.0, 0.0))]
)
def test_agreement(predicted: list[int], expected: tuple[float, float]) -> None:
    assert agreement(predicted, ["a", "a", "b", "b"]) == pytest.approx(expected)


def test_who_shares_a_mailbox_may_count_as_one() -> None:
    shared = [*PERSONS, ("bob", "email", "ann@x.org"), ("cid", "email", "info@x.org"), ("ann", "email", "info@x.org")]
    shared += [("cid", "contact_id", "k3")]
    joined = pd.DataFrame(
        [("contact_id", "k1", "A"), ("user_id", "u2", "A"), ("contact_id", "k3", "A"), ("phone_and_name", "n", "A")],
        columns=[*KEY, "profile_id"],
    )
    strict = Case.of(
        joined,
        pd.DataFrame(shared, columns=["person_id", *KEY]),
        pd.DataFrame(LINKS, columns=["left_type", "left_value", "right_type", "right_value", "damage"]),
    )
    assert strict.precision() == (0, 3)
    # Cid reads info@ as Ann does: that is no mailbox of theirs; what is made of others counts for nothing
    assert strict.one_per_mailbox().precision() == (1, 3)
