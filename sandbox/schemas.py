"""The raw tables that the sandbox writes, column by column (the contract is the dbt sources' YAML)."""

from __future__ import annotations

import pyarrow as pa

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "numeric(18,4)": pa.decimal128(18, 4),
    "double": pa.float64(),
}


def _schema(columns: str) -> pa.Schema:
    """From 'name type, name type, ...', where a missing type means text."""
    fields = []
    for column in columns.split(";"):
        name, _, kind = column.strip().partition(" ")
        fields.append(pa.field(name, _TYPES[kind or "text"]))
    return pa.schema(fields)


RAW_SCHEMAS: dict[str, pa.Schema] = {
    "crm_contacts": _schema(
        "contact_id; email; phone; first_name; last_name; gender; birth_year bigint; city; country; time_zone; "
        "interests; user_id; source; referrer; created_at timestamp; updated_at timestamp"
    ),
    "newsletter_signups": _schema(
        "signup_id; email; first_name; interests; form_id; hidden_source; hidden_referrer; page_url; anonymous_id; "
        "consent_newsletter boolean; consent_profiling boolean; wording_version; submitted_at timestamp"
    ),
    "shop_customers": _schema(
        "customer_id; user_id; loyalty_card; email; phone; first_name; last_name; city; country; "
        "created_at timestamp; updated_at timestamp"
    ),
    "shop_products": _schema(
        "product_id; product_name; category; price numeric(18,4); currency; product_url; image_url; "
        "stock_quantity bigint; updated_at timestamp"
    ),
    "shop_orders": _schema(
        "order_id; customer_id; user_id; loyalty_card; email; channel; order_type; original_order_id; status; "
        "cancelled_at timestamp; is_test boolean; country; currency; ordered_at timestamp"
    ),
    "shop_order_lines": _schema(
        "order_id; line_number bigint; product_id; description; quantity bigint; unit_price numeric(18,4); "
        "created_at timestamp"
    ),
    "web_events": _schema(
        "message_id; type; event; anonymous_id; user_id; timestamp timestamp; sent_at timestamp; "
        "received_at timestamp; properties; context"
    ),
    "email_events": _schema(
        "event_id; event; email; message_id; campaign_id; link_url; user_agent; ip; http_method; "
        "is_provider_flagged_machine boolean; bounce_type; occurred_at timestamp; received_at timestamp"
    ),
    "consent_events": _schema(
        "consent_event_id; email; channel; purpose; state; source; wording_version; evidence; "
        "occurred_at timestamp; received_at timestamp"
    ),
}

TRUTH_SCHEMAS: dict[str, pa.Schema] = {
    "persons": _schema("person_id; identifier_type; identifier_value"),
    "links": _schema("person_id; left_type; left_value; right_type; right_value; source; damage"),
    "tastes": _schema("person_id; category; weight double"),
    "email_events": _schema("event_id; is_machine boolean"),
    "activity": _schema(
        "person_id; engagement double; is_buyer boolean; is_silent_at_end boolean; silent_since timestamp"
    ),
}
