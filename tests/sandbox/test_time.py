"""Nothing is known before its time, nothing happens at or after the end, and nobody is mailed who must not be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.sandbox.conftest import SMALL, Query

INSTANTS = [
    ("crm_contacts", "updated_at"),
    ("newsletter_signups", "submitted_at"),
    ("shop_customers", "updated_at"),
    ("shop_products", "updated_at"),
    ("shop_orders", "ordered_at"),
    ("shop_orders", "cancelled_at"),
    ("shop_order_lines", "created_at"),
    ("web_events", '"timestamp"'),
    ("email_events", "occurred_at"),
    ("consent_events", "occurred_at"),
]


@pytest.mark.parametrize(("table", "column"), INSTANTS)
def test_events_are_strictly_before_the_end(table: str, column: str, query: Query) -> None:
    assert query(f"select max({column}) < '{SMALL.ends_at}' from {table}") == [(True,)]


def test_some_events_arrive_after_the_end(query: Query) -> None:
    ((late,),) = query(f"select count(*) from web_events where received_at >= '{SMALL.ends_at}'")
    assert 0 < late < 60


@pytest.mark.parametrize(("table", "happened"), [("web_events", '"timestamp"'), ("email_events", "occurred_at")])
def test_nothing_arrives_before_it_happens(table: str, happened: str, query: Query) -> None:
    assert query(f"select count(*) from {table} where received_at < {happened}") == [(0,)]


def test_web_events_are_out_of_order(query: Query) -> None:
    ((backwards,),) = query(
        'select count(*) from (select "timestamp" < lag("timestamp") over (order by received_at) as b from web_events) '
        "where b"
    )
    assert backwards > 100


def test_contacts_are_versioned_and_learn_of_accounts_in_time(query: Query) -> None:
    assert query("select count(*) from crm_contacts where updated_at < created_at") == [(0,)]
    ((versions,),) = query("select count(*) from (select 1 from crm_contacts group by contact_id having count(*) > 1)")
    assert versions > 300
    early = (
        "select count(*) from crm_contacts c join shop_customers s using (user_id) where c.updated_at < s.created_at"
    )
    assert query(early) == [(0,)]


def test_logins_follow_the_account(query: Query) -> None:
    early = """
        select count(*) from web_events w
        join (select user_id, min(created_at) as created_at from shop_customers group by 1) c using (user_id)
        where w."timestamp" < c.created_at
    """
    assert query(early) == [(0,)]
    assert query(
        "select count(*) from web_events w where user_id is not null "
        "and not exists (select 1 from shop_customers c where c.user_id = w.user_id)"
    ) == [(0,)]
    assert query("select count(*) from web_events where type = 'identify' and user_id is null") == [(0,)]


def test_orders_of_the_web_shop_match_their_events(query: Query) -> None:
    wrong = """
        select count(*) from web_events w
        join shop_orders o on o.order_id = json_extract_string(w.properties, '$.order_id')
        where w.event = 'Order Completed'
          and (w."timestamp" <> o.ordered_at or w.user_id is distinct from o.user_id or o.channel <> 'web' or o.is_test)
    """
    assert query(wrong) == [(0,)]
    unmatched = """
        select count(*) from shop_orders o
        where channel = 'web' and order_type = 'sale' and not is_test
          and order_id not in (
            select json_extract_string(properties, '$.order_id') from web_events where event = 'Order Completed'
          )
    """
    assert query(unmatched) == [(0,)]
    totals = """
        select count(*) from web_events w
        join (select order_id, sum(quantity * unit_price) as total from shop_order_lines group by 1) l
          on l.order_id = json_extract_string(w.properties, '$.order_id')
        where w.event = 'Order Completed' and json_extract(w.properties, '$.total')::double <> l.total::double
    """
    assert query(totals) == [(0,)]


def test_returns_and_cancellations_follow_their_order(query: Query) -> None:
    assert query("select count(*) from shop_orders where cancelled_at <= ordered_at") == [(0,)]
    assert query("select count(*) from shop_orders where (status = 'cancelled') <> (cancelled_at is not null)") == [
        (0,)
    ]
    wrong = """
        select count(*) from shop_orders r join shop_orders o on o.order_id = r.original_order_id
        where r.ordered_at <= o.ordered_at or o.order_type <> 'sale' or o.status <> 'placed'
           or r.customer_id is distinct from o.customer_id and o.customer_id is not null
    """
    assert query(wrong) == [(0,)]
    assert query(
        "select count(*) from shop_order_lines join shop_orders using (order_id) "
        "where (order_type = 'return') <> (quantity < 0)"
    ) == [(0,)]


def test_sellers_know_the_price_and_the_stock(query: Query) -> None:
    """Every line (but free ones and postage) is at the price in force, of a product launched by then."""
    wrong = """
        select count(*) from shop_order_lines l
        join shop_orders o using (order_id)
        asof join shop_products p on p.product_id = l.product_id and p.updated_at <= l.created_at
        where l.unit_price > 0 and o.order_type = 'sale' and l.unit_price <> p.price
    """
    assert query(wrong) == [(0,)]
    unlaunched = """
        select count(*) from shop_order_lines l join shop_orders o using (order_id)
        where not o.is_test and l.product_id <> 'POST'
          and not exists (
            select 1 from shop_products p where p.product_id = l.product_id and p.updated_at <= l.created_at
          )
    """
    assert query(unlaunched) == [(0,)]


def test_nobody_is_mailed_without_confirmed_consent(query: Query) -> None:
    unfounded = """
        select count(*) from email_events e
        where e.event = 'sent' and not exists (
            select 1 from consent_events c
            where c.email = e.email and c.state = 'granted' and c.source in ('double_opt_in', 'preference_center')
              and c.occurred_at <= e.occurred_at
        )
    """
    assert query(unfounded) == [(0,)]


def test_nobody_is_mailed_after_leaving(query: Query) -> None:
    """After an unsubscribe, a withdrawal, a complaint or a hard bounce: nothing, unless consented anew since."""
    mailed = """
        with leaving as (
            select email, occurred_at, 'address' as what from email_events
            where event = 'complaint' or bounce_type = 'hard'
            union all select email, occurred_at, 'person' from email_events where event = 'unsubscribe'
            union all select email, occurred_at, 'person' from consent_events
            where state = 'withdrawn' and purpose = 'newsletter'
        )
        select count(*) from email_events e
        join leaving l on l.email = e.email and l.occurred_at < e.occurred_at
        where e.event = 'sent' and e.campaign_id like 'nl-%' and (l.what = 'address' or not exists (
            select 1 from consent_events c
            where c.email = e.email and c.state = 'granted' and c.purpose = 'newsletter'
              and c.source in ('double_opt_in', 'preference_center')
              and c.occurred_at > l.occurred_at and c.occurred_at <= e.occurred_at
        ))
    """
    assert query(mailed) == [(0,)]


def test_mail_events_come_in_order(query: Query) -> None:
    wrong = """
        with first as (
            select message_id, event, min(occurred_at) as at from email_events group by 1, 2
        )
        select count(*) from first e join first s on s.message_id = e.message_id and s.event = 'sent'
        left join first d on d.message_id = e.message_id and d.event = 'delivered'
        where e.at < s.at or e.event in ('open', 'click', 'complaint', 'unsubscribe') and (d.at is null or e.at < d.at)
    """
    assert query(wrong) == [(0,)]


def test_mailings_reach_into_the_last_days(query: Query) -> None:
    """Windows of a few days that end at `as_of` have mails and human opens to look at."""
    for kind in ("nl", "news"):
        sent = f"select max(occurred_at) from email_events where event = 'sent' and campaign_id like '{kind}-%'"
        ((last,),) = query(sent)
        assert timedelta(0) < SMALL.ends_at - last < timedelta(days=7)
    opens = f"""
        select count(*) from email_events e join truth.email_events t using (event_id)
        where e.event = 'open' and not t.is_machine and e.occurred_at >= timestamp '{SMALL.ends_at}' - interval 2 days
    """
    assert query(opens) > [(20,)]
