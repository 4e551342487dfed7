"""What was planted is there, at the configured rates, and can be learned without being trivial."""

from __future__ import annotations

from tests.sandbox.conftest import SMALL, Query


def share(query: Query, condition: str, of: str) -> float:
    ((value,),) = query(f"select avg(({condition})::int) from {of}")
    return float(value)


def near(value: float, expected: float, tolerance: float = 0.5) -> bool:
    """Within `tolerance` of the expected rate, relatively: samples are small."""
    return abs(value - expected) <= tolerance * expected


FIRST_VERSIONS = (
    "(select * from crm_contacts qualify row_number() over (partition by contact_id order by updated_at) = 1)"
)


def test_contacts_are_dirty_at_the_configured_rates(query: Query) -> None:
    assert near(share(query, "first_name is null", FIRST_VERSIONS), SMALL.missing_name_rate)
    assert near(share(query, "gender is null", FIRST_VERSIONS), SMALL.missing_attribute_rate, 0.2)
    assert near(share(query, "birth_year is null", FIRST_VERSIONS), SMALL.missing_attribute_rate, 0.2)
    plausible = r"regexp_full_match(trim(email), '[^@\s]+@[^@\s]+\.[a-zA-Z]+')"
    plausible += " and email not like '%..%' and email not like '%@-%'"
    assert near(share(query, f"email is not null and not ({plausible})", FIRST_VERSIONS), SMALL.invalid_email_rate, 0.7)
    assert near(share(query, "email is null", FIRST_VERSIONS), SMALL.missing_email_rate, 0.7)
    assert share(query, "email like '%+shop@%'", FIRST_VERSIONS) > SMALL.plus_address_rate / 2
    assert share(query, "email <> lower(trim(email))", FIRST_VERSIONS) > SMALL.case_variant_rate / 2
    assert near(share(query, "not regexp_full_match(first_name, '[ -~]*')", FIRST_VERSIONS), 0.083)
    assert share(query, "regexp_matches(lower(email), '(info|sales|office|support)@')", FIRST_VERSIONS) > 0.001
    assert share(query, "city = 'New York'", FIRST_VERSIONS) > 0.08
    ((persons, contacts),) = query(
        "select count(distinct person_id), count(distinct identifier_value) from truth.persons "
        "where identifier_type = 'contact_id'"
    )
    assert near(contacts / persons - 1, SMALL.crm_duplicate_rate)


def test_names_of_all_scripts_and_tests(query: Query) -> None:
    names = {name for (name,) in query("select distinct first_name from crm_contacts where first_name is not null")}
    for character in ["ё", "ם", "م", "𠮷", "さ", "🌸", "ł"]:
        kind = {"ё": "Ольга", "ם": "נועה", "م": "محمد", "𠮷": "𠮷", "さ": "さくら", "🌸": "Chloé 🌸", "ł": "Łukasz"}
        assert kind[character] in names
    assert {name.upper() for name in names} & {"TEST", "QA", "ASDF"}


def test_web_events_have_the_shape_of_the_segment_spec(query: Query) -> None:
    events = {event for (event,) in query("select distinct event from web_events where event is not null")}
    assert events == {"Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Demo Requested"}
    assert query(
        "select count(*) from web_events where anonymous_id is null or (type = 'track') <> (event is not null)"
    ) == [(0,)]
    keys = ["product_id", "name", "category", "price", "currency", "url", "image_url"]
    for key in keys:
        assert query(
            "select count(*) from web_events "
            f"where event = 'Product Viewed' and json_extract(properties, '$.{key}') is null"
        ) == [(0,)]
    # most devices of account holders were anonymous first
    ((later,),) = query(
        'select avg((first_user > first_seen)::int) from (select min("timestamp") as first_seen, '
        'min("timestamp") filter (user_id is not null) as first_user from web_events group by anonymous_id) '
        "where first_user is not null"
    )
    assert later > 0.7


def test_web_transport_is_dirty_at_the_configured_rates(query: Query) -> None:
    ((rows, distinct),) = query("select count(*), count(distinct message_id) from web_events")
    assert near(rows / distinct - 1, SMALL.duplicate_event_rate)
    assert near(share(query, 'received_at > "timestamp" + interval 1 hour', "web_events"), SMALL.late_event_rate)
    assert near(share(query, 'sent_at < "timestamp"', "web_events"), SMALL.skewed_clock_rate, 0.8)
    assert query(
        "select count(*) from (select 1 from web_events group by message_id "
        'having count(distinct properties || "timestamp"::text) > 1)'
    ) == [(0,)]


def test_orders_are_dirty_at_the_configured_rates(query: Query) -> None:
    sales = "shop_orders where order_type = 'sale'"
    assert near(share(query, "status = 'cancelled'", sales), SMALL.cancelled_rate, 0.6)
    ((returns, sold, unnamed),) = query(
        "select count(*) filter (order_type = 'return'), count(*) filter (order_type = 'sale'), "
        "count(*) filter (order_type = 'return' and original_order_id is null) from shop_orders"
    )
    assert near(returns / sold, SMALL.return_rate, 0.4)
    assert near(unnamed / returns, SMALL.return_without_original_rate, 0.5)
    assert query("select count(*) from shop_orders where is_test")[0][0] > 0
    assert near(share(query, "unit_price = 0", "shop_order_lines"), SMALL.zero_price_rate, 0.8)
    ((repeated,),) = query(
        "select count(*) from (select 1 from shop_order_lines where quantity > 0 "
        "group by order_id, product_id, quantity, unit_price having count(*) > 1)"
    )
    assert repeated > 0
    web = "shop_orders where channel = 'web' and order_type = 'sale' and not is_test"
    assert 0.2 < share(query, "email is not null and user_id is null and customer_id is null", web) < 0.6
    till = "shop_orders where channel = 'pos'"
    assert share(query, "customer_id is null", till) >= SMALL.pos_anonymous_rate
    assert share(query, "customer_id is not null and user_id is null", till) > 0


def test_machines_leave_their_marks(query: Query) -> None:
    joined = "email_events e join truth.email_events t using (event_id)"
    ((apple,),) = query(
        f"select avg(is_machine::int) from {joined} where event = 'open' and user_agent = 'Mozilla/5.0'"
    )
    assert apple == 1.0
    ((gmail,),) = query(
        f"select avg(is_machine::int) from {joined} where event = 'open' and user_agent like '%GoogleImageProxy%'"
    )
    assert gmail == 0.0
    ((flagged_human,),) = query(f"select count(*) from {joined} where is_provider_flagged_machine and not is_machine")
    assert flagged_human == 0
    quick = f"""
        select avg(is_machine::int) from {joined}
        join (select message_id, min(occurred_at) as at from email_events where event = 'delivered' group by 1) d
          using (message_id)
        where e.event = 'open' and e.occurred_at <= d.at + interval 2 second
    """
    assert query(quick) == [(1.0,)]
    bursts = f"""
        select avg(is_machine::int), count(*) from (
            select message_id, bool_and(is_machine) as is_machine from {joined} where event = 'click'
            group by message_id, date_trunc('minute', occurred_at) having count(distinct link_url) >= 4
        )
    """
    ((all_machines, n),) = query(bursts)
    assert all_machines == 1.0
    assert n > 50
    for mark in ("http_method = 'HEAD'", "link_url like '%mw_hidden=1%'"):
        ((all_machines, n),) = query(f"select avg(is_machine::int), count(*) from {joined} where {mark}")
        assert (all_machines, n > 20) == (1.0, True), mark
    ((machine_share,),) = query(f"select avg(is_machine::int) from {joined} where event = 'open'")
    assert 0.4 < machine_share < 0.8  # worth telling apart


def test_clicks_bring_visits(query: Query) -> None:
    visits = """
        select count(distinct w.anonymous_id || w."timestamp"::date) from web_events w
        where json_extract_string(w.context, '$.campaign.medium') = 'email'
    """
    human = """
        select count(distinct message_id) from email_events join truth.email_events using (event_id)
        where event = 'click' and not is_machine
    """
    assert 0.7 < query(visits)[0][0] / query(human)[0][0] <= 1.0


def test_consent_leaves_evidence(query: Query) -> None:
    sources = {source for (source,) in query("select distinct source from consent_events")}
    assert sources == {"form", "double_opt_in", "preference_center", "import", "esp"}
    ((confirmed,),) = query(
        "select count(*) filter (source = 'double_opt_in') / count(*) filter (source = 'form')::double "
        "from consent_events where purpose = 'newsletter' and state = 'granted'"
    )
    assert near(confirmed, SMALL.double_opt_in_rate, 0.1)
    assert query(
        "select count(*) from consent_events where wording_version is null and source in ('form', 'double_opt_in')"
    ) == [(0,)]


def test_identifiers_of_one_account_are_one_persons(query: Query) -> None:
    for kind in ("user_id", "customer_id", "contact_id"):
        assert query(
            f"select count(*) from (select 1 from truth.persons where identifier_type = '{kind}' "
            "group by identifier_value having count(*) > 1)"
        ) == [(0,)]
    shared = """
        select count(*) from (
            select 1 from truth.persons where identifier_type = '{}'
            group by lower(identifier_value) having count(*) > 1
        )
    """
    assert query(shared.format("email"))[0][0] > 0  # households
    assert query(shared.format("anonymous_id"))[0][0] > 0  # shared devices


def test_tastes_show_in_purchases_but_not_only_they(query: Query) -> None:
    hits = """
        with favourite as (
            select person_id, category from truth.tastes
            qualify row_number() over (partition by person_id order by weight desc) = 1
        ), bought as (
            select t.person_id, p.category from shop_orders o
            join shop_order_lines l using (order_id)
            join (select distinct product_id, category from shop_products) p using (product_id)
            join truth.persons t on t.identifier_type = 'user_id' and t.identifier_value = o.user_id
        )
        select avg((b.category = f.category)::int) from bought b join favourite f using (person_id)
    """
    assert 0.4 < query(hits)[0][0] < 0.9  # 1/8 by chance


def test_silence_can_be_foreseen_but_not_with_certainty(query: Query) -> None:
    """AUC of plain recency (days since the last visit, 90 days before the end) for no visit in the last 90 days."""
    cutoff = f"timestamp '{SMALL.ends_at}' - interval 90 day"
    auc = f"""
        with seen as (
            select t.person_id, max(w."timestamp") filter (w."timestamp" < {cutoff}) as last_at,
                   count(*) filter (w."timestamp" >= {cutoff}) = 0 as is_silent
            from web_events w join truth.persons t
              on t.identifier_type = 'anonymous_id' and t.identifier_value = w.anonymous_id
            where t.person_id < 'person_{SMALL.n_contacts:07d}'
            group by 1 having last_at >= {cutoff} - interval 90 day
        ), ranked as (
            select is_silent, rank() over (order by last_at desc)
                + (count(*) over (partition by last_at) - 1) / 2.0 as position from seen
        ), counted as (
            select sum(position) filter (is_silent) as rank_sum, count(*) filter (is_silent) as n,
                   count(*) filter (not is_silent) as others from ranked
        )
        select (rank_sum - n * (n + 1) / 2.0) / (n * others) from counted
    """
    assert 0.62 < query(auc)[0][0] < 0.92
