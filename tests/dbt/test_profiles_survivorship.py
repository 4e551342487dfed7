"""Which value of an attribute is in use is declared; a wrong declaration stops dbt with one sentence that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dbt_project import sqlfluff_library as library
from tests.dbt import features_support as support
from warehouse.settings import Settings

Rules = dict[str, Any]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Rules]:
    """What the project's macro makes of a declaration; a refusal is a ValueError."""

    def check(declared: Any) -> Rules:
        monkeypatch.setitem(library._VARS, "survivorship", declared)
        return library._macros["survivorship_rules"]()

    return check


def declared(**changed: Any) -> Rules:
    """The declaration of dbt_project.yml with some entries changed."""
    return {**library._VARS["survivorship"], **changed}


def test_what_is_declared_is_used(checked: Callable[[Any], Rules]) -> None:
    rules = checked(
        declared(
            city={"rule": "most_trusted", "sources": ["shop_customer", "crm_contact"]},
            email={"rule": "most_trusted", "sources": ["shop_order", ["crm_contact", "web_event"]]},
            last_name={"rule": "most_frequent"},
        )
    )
    assert set(rules) == set(library._VARS["survivorship"])
    assert rules["city"] == {"rule": "most_trusted", "tiers": [["shop_customer"], ["crm_contact"]]}
    assert rules["email"] == {"rule": "most_trusted", "tiers": [["shop_order"], ["crm_contact", "web_event"]]}
    assert rules["last_name"] == {"rule": "most_frequent", "tiers": []}
    assert rules["gender"] == {"rule": "most_recent", "tiers": []}


def test_the_address_in_use_is_by_default_the_one_given_last_by_the_person(checked: Callable[[Any], Rules]) -> None:
    rules = checked(declared())
    trusted = [["crm_contact", "shop_customer", "newsletter_signup", "web_event"]]
    assert rules.pop("email") == {"rule": "most_trusted", "tiers": trusted}
    assert list(rules.values()) == [{"rule": "most_recent", "tiers": []}] * len(rules)


NEEDS_A_LIST = "city: most_trusted needs a list of sources"


@pytest.mark.parametrize(
    ("attribute", "entry", "complaint"),
    [
        ("city", {"rule": "newest"}, "city: unknown rule 'newest'; the rules are most_recent, most_trusted,"),
        ("city", {"sources": ["crm_contact"]}, "city: unknown rule"),
        ("city", "most_recent", "city: expected {rule: …}, found 'most_recent'"),
        ("city", {"rule": "most_recent", "source": "crm_contact"}, "city: unknown key 'source'"),
        ("city", {"rule": "most_recent", "sources": ["crm_contact"]}, "city: most_recent takes no sources"),
        ("city", {"rule": "most_frequent", "sources": []}, "city: most_frequent takes no sources"),
        ("city", {"rule": "most_trusted"}, NEEDS_A_LIST),
        ("city", {"rule": "most_trusted", "sources": []}, NEEDS_A_LIST),
        ("city", {"rule": "most_trusted", "sources": "crm_contact"}, NEEDS_A_LIST),
        ("city", {"rule": "most_trusted", "sources": {"crm_contact": 1}}, NEEDS_A_LIST),
        ("city", {"rule": "most_trusted", "sources": 7}, NEEDS_A_LIST),
        ("city", {"rule": "most_trusted", "sources": [[]]}, "city: expected a source or a list of sources, found '[]'"),
        ("city", {"rule": "most_trusted", "sources": [7]}, "city: expected a source or a list of sources, found '7'"),
        (
            "city",
            {"rule": "most_trusted", "sources": ["crm_contact", "newsletter_signup"]},
            "city: unknown source 'newsletter_signup'; it can come from crm_contact, shop_customer.",
        ),
        (
            "email",
            {"rule": "most_trusted", "sources": [["crm_contact", "fax"]]},
            "email: unknown source 'fax'; it can come from crm_contact, shop_customer, newsletter_signup,",
        ),
        (
            "city",
            {"rule": "most_trusted", "sources": ["crm_contact", ["shop_customer", "crm_contact"]]},
            "city: source 'crm_contact' is listed twice",
        ),
        ("town", {"rule": "most_recent"}, "unknown attribute 'town'; the attributes are first_name, last_name,"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_name(
    checked: Callable[[Any], Rules], attribute: str, entry: Any, complaint: str
) -> None:
    with pytest.raises(ValueError, match=r"^dbt_project\.yml, vars, survivorship: ") as refused:
        checked(declared(**{attribute: entry}))
    assert str(refused.value).removeprefix("dbt_project.yml, vars, survivorship: ").startswith(complaint)


def test_every_attribute_has_an_entry(checked: Callable[[Any], Rules]) -> None:
    entries = declared()
    del entries["user_id"]
    with pytest.raises(ValueError, match="survivorship: no entry for 'user_id'; every attribute has one"):
        checked(entries)
    with pytest.raises(ValueError, match="survivorship: one entry per attribute is expected"):
        checked("most_recent")


def test_dbt_itself_stops_before_it_touches_a_warehouse(settings: Settings) -> None:
    entries = declared(city={"rule": "newest"})
    said = support.dbt(settings, "parse", variables={"survivorship": entries}, fails=True)
    assert said.count("vars, survivorship: city: unknown rule 'newest'") == 1
    assert "dim_profiles" in said
    assert not settings.warehouse_path.exists()
