"""What links a person's identifiers, and what must not link two people's, is planted; the truth says which."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from ingest.load import load
from ingest.phones import normalize_phone
from sandbox.output import SandboxReport
from sandbox.pools import INVALID_EMAILS, PLACEHOLDER_EMAILS, PLACEHOLDER_PHONES
from tests.sandbox.conftest import SMALL, Query
from tests.sandbox.test_planted import near
from warehouse.connection import connect
from warehouse.errors import DataError
from warehouse.settings import Settings

ADDRESS = "lower(trim(email))"
SHOWN = {
    # what the raw tables show side by side: (source, left, right) → rows of (left value, right value)
    ("crm_contacts", "contact_id", "user_id"): "select contact_id, user_id from crm_contacts",
    ("crm_contacts", "contact_id", "email"): f"select contact_id, {ADDRESS} from crm_contacts",
    ("shop_customers", "customer_id", "user_id"): "select customer_id, user_id from shop_customers",
    ("shop_customers", "customer_id", "email"): f"select customer_id, {ADDRESS} from shop_customers",
    ("shop_customers", "customer_id", "loyalty_card"): "select customer_id, loyalty_card from shop_customers",
    ("newsletter_signups", "anonymous_id", "email"): f"select anonymous_id, {ADDRESS} from newsletter_signups",
    ("shop_orders", "customer_id", "user_id"): "select customer_id, user_id from shop_orders",
    ("shop_orders", "customer_id", "loyalty_card"): "select customer_id, loyalty_card from shop_orders",
    ("shop_orders", "user_id", "loyalty_card"): "select user_id, loyalty_card from shop_orders",
    ("shop_orders", "customer_id", "email"): f"select customer_id, {ADDRESS} from shop_orders",
    ("shop_orders", "user_id", "email"): f"select user_id, {ADDRESS} from shop_orders",
    ("shop_orders", "loyalty_card", "email"): f"select loyalty_card, {ADDRESS} from shop_orders",
    ("web_events", "anonymous_id", "user_id"): "select anonymous_id, user_id from web_events",
    ("web_events", "anonymous_id", "device_id"): (
        "select anonymous_id, json_extract_string(context, '$.device.id') from web_events"
    ),
    ("web_events", "device_id", "user_id"): (
        "select json_extract_string(context, '$.device.id'), user_id from web_events"
    ),
    ("web_events", "user_id", "email"): (
        "select user_id, json_extract_string(properties, '$.traits.email') from web_events"
    ),
    ("web_events", "anonymous_id", "email"): (
        "select anonymous_id, json_extract_string(properties, '$.traits.email') from web_events"
    ),
}
NO_ADDRESSES = INVALID_EMAILS + PLACEHOLDER_EMAILS


@pytest.mark.parametrize(("source", "left", "right"), list(SHOWN))
def test_undamaged_links_are_those_that_the_tables_show(source: str, left: str, right: str, query: Query) -> None:
    proper = f"v not in {NO_ADDRESSES}" if right == "email" else "true"
    shown = f"""
        select distinct u, v from ({SHOWN[source, left, right]}) as pairs (u, v)
        where u is not null and v is not null and {proper}
    """
    planted = f"""
        select distinct left_value, right_value from truth.links
        where source = '{source}' and left_type = '{left}' and right_type = '{right}' and damage is null
    """
    assert query(f"select count(*) > 0 from ({planted})") == [(True,)]
    assert query(f"({shown}) except ({planted})") == []
    assert query(f"({planted}) except ({shown})") == []


@pytest.mark.parametrize(("source", "owner"), [("crm_contacts", "contact_id"), ("shop_customers", "customer_id")])
def test_undamaged_phones_are_those_with_a_country_code(source: str, owner: str, query: Query) -> None:
    written = query(f"select distinct {owner}, phone from {source} where phone is not null")
    shown = {
        (key, normal.value)
        for key, phone in written
        if phone not in PLACEHOLDER_PHONES and (normal := normalize_phone(phone)).is_valid
    }
    links = query(
        f"select left_value, right_value, damage from truth.links where source = '{source}' and right_type = 'phone'"
    )
    assert shown == {(key, value) for key, value, damage in links if damage is None}
    national = sum(damage == "national" for *_, damage in links) / len(links)
    assert near(national, SMALL.national_phone_rate, 0.3)


def test_damage_is_recorded_at_the_configured_rates(query: Query) -> None:
    ((contacts,),) = query("select count(distinct contact_id) from crm_contacts")
    damages = dict(
        query(
            "select damage, count(*) from truth.links where source = 'crm_contacts' and right_type = 'email' "
            "and damage is not null group by 1"
        )
    )
    assert near(damages["invalid"] / contacts, SMALL.invalid_email_rate, 0.7)
    assert near(damages["missing"] / contacts, SMALL.missing_email_rate, 0.7)
    assert near(damages["placeholder"] / contacts, SMALL.placeholder_email_rate, 0.9)
    assert damages["tagged"] / contacts > SMALL.plus_address_rate / 2
    ((lost,),) = query(
        "select count(*) filter (damage = 'lost') / count(*) from truth.links where source = 'newsletter_signups'"
    )
    assert 0.05 < lost < 0.2


def test_every_identifier_of_a_link_is_that_persons(query: Query) -> None:
    """But for the tags, which are written as typed."""
    stray = """
        select count(*) from (
            select person_id, left_type as t, left_value as v from truth.links
            union select person_id, right_type, right_value from truth.links
        ) as ends
        where not exists (
            select 1 from truth.persons p
            where p.person_id = ends.person_id and p.identifier_type = t and lower(trim(p.identifier_value)) = lower(v)
        )
    """
    assert query(stray) == [(0,)]


def test_no_identifier_of_an_account_is_two_peoples(query: Query) -> None:
    for kind in ("loyalty_card", "user_id", "customer_id", "contact_id"):
        assert query(
            f"select count(*) from (select 1 from truth.persons where identifier_type = '{kind}' "
            "group by identifier_value having count(*) > 1)"
        ) == [(0,)]


SHARED = (
    "(select identifier_value as v, count(*) as holders from truth.persons where identifier_type = '{}' "
    "group by 1 having count(*) > 1)"
)


def test_families_share_phones_and_numbers_are_given_out_anew(query: Query) -> None:
    ((shared,),) = query(f"select count(*) from {SHARED.format('phone')}")
    expected = (SMALL.family_phone_share + SMALL.recycled_phone_share) * SMALL.n_contacts
    assert near(shared, expected, 0.5)
    written = query(
        "select count(*) from (select right_value from truth.links where right_type = 'phone' and damage is null "
        "group by 1 having count(distinct person_id) > 1)"
    )
    assert written > [(3,)]
    # a recycled number: the first holder's contact is a year older than the other's
    assert query(
        "select count(*) from (select l.right_value, max(c.created_at) - min(c.created_at) as apart from truth.links l "
        "join crm_contacts c on c.contact_id = l.left_value where l.right_type = 'phone' and l.damage is null "
        "group by 1 having count(distinct l.person_id) > 1) where apart >= interval 365 days"
    ) > [(0,)]


def test_kiosks_are_used_by_many(query: Query) -> None:
    for kind in ("anonymous_id", "device_id"):
        kiosks = query(f"select v, holders from {SHARED.format(kind)} where holders > 4")
        assert len(kiosks) == 3
        values = ", ".join(f"'{value}'" for value, _ in kiosks)
        logins = query(
            f"select left_value, count(distinct right_value) from truth.links where source = 'web_events' "
            f"and left_type = '{kind}' and left_value in ({values}) and right_type = 'user_id' group by 1"
        )
        assert len(logins) == 3
        assert all(n > 1 for _, n in logins)


def test_colleagues_share_a_role_address(query: Query) -> None:
    holders = query(
        f"select v, holders from {SHARED.format('email')} where regexp_full_match(v, '(info|sales|office|support)@.*')"
    )
    assert holders
    assert max(n for _, n in holders) >= SMALL.colleagues_per_role_address


def test_fillers_stand_in_for_phones_and_addresses_of_many(query: Query) -> None:
    ((phones, addresses),) = query(
        f"select count(distinct contact_id) filter (phone in {PLACEHOLDER_PHONES}), "
        f"count(distinct contact_id) filter (email in {PLACEHOLDER_EMAILS}) from crm_contacts"
    )
    assert near(phones, SMALL.placeholder_phone_rate * SMALL.n_contacts * SMALL.crm_share, 0.8)
    assert near(addresses, SMALL.placeholder_email_rate * SMALL.n_contacts * SMALL.crm_share, 0.9)
    assert query(
        f"select count(*) from truth.persons where identifier_value in {PLACEHOLDER_EMAILS + PLACEHOLDER_PHONES}"
    ) == [(0,)]


def test_a_card_links_shop_and_till(query: Query) -> None:
    ((carded, mailed, alone),) = query(
        "select count(loyalty_card), count(email), "
        "count(*) filter (loyalty_card is not null and customer_id is null and user_id is null) "
        "from shop_orders where channel = 'pos'"
    )
    assert carded > 3 * mailed > 0
    assert alone > 5
    assert query(
        "select count(*) from shop_orders where loyalty_card is not null and loyalty_card not in "
        "(select loyalty_card from shop_customers where loyalty_card is not null)"
    ) == [(0,)]
    early = """
        select count(*) from shop_orders o
        join (select loyalty_card, min(created_at) as since from shop_customers group by 1) c using (loyalty_card)
        where o.ordered_at < c.since
    """
    assert query(early) == [(0,)]


def test_addresses_change_and_accounts_have_others(query: Query) -> None:
    ((changed, versions),) = query(
        "select count(*) filter (n > 1), count(*) from (select contact_id, count(distinct lower(trim(email))) as n "
        "from crm_contacts group by 1 having count(*) > 1)"
    )
    assert near(changed / versions, SMALL.email_change_share, 0.5)
    # one telephone, two addresses: nothing else tells that the contact is the customer
    by_phone_alone = """
        select count(distinct s.customer_id) > 0 from truth.links a
        join truth.links b using (person_id, right_type, right_value)
        join crm_contacts c on c.contact_id = a.left_value
        join shop_customers s on s.customer_id = b.left_value
        where right_type = 'phone' and a.source = 'crm_contacts' and b.source = 'shop_customers'
          and a.damage is null and b.damage is null and c.user_id is null
          and lower(trim(s.email)) <> lower(trim(c.email)) and s.email not like '%+%' and c.email not like '%+%'
    """
    assert query(by_phone_alone) == [(True,)]


def test_an_export_without_loyalty_cards_still_loads(shop: SandboxReport, settings: Settings, tmp_path: Path) -> None:
    for table in ("shop_orders", "shop_customers"):
        rows = pq.read_table(shop.out_dir / f"{table}.parquet").drop_columns("loyalty_card")
        pq.write_table(rows, tmp_path / f"{table}.parquet")
        report = load(settings, tmp_path / f"{table}.parquet")
        assert (report.rows_loaded, report.rows_quarantined) == (shop.rows[table], 0)
        assert report.loads[0].notes == ("filled missing columns with null: loyalty_card",)
    with connect(settings, purpose="test") as con:
        assert con.execute("select count(loyalty_card), count(customer_id) > 0 from raw.shop_orders").fetchall() == [
            (0, True)
        ]
    # another name is no missing column
    rows = duckdb.sql(f"select * rename (loyalty_card as card_number) from '{shop.out_dir}/shop_orders.parquet'")
    rows.write_parquet(str(tmp_path / "renamed.parquet"))
    with pytest.raises(DataError, match="new column 'card_number'"):
        load(settings, tmp_path / "renamed.parquet", table="shop_orders")
