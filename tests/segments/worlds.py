"""Seeded, adversarial histories and random conditions for the reference evaluator, and conditions as Jinja text.

`world(seed, n_people)` makes people with histories of few distinct instants, most of them on the boundaries of the
windows that `condition(rng, properties)` uses. `as_jinja(call)` is the text of the macro call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from tests.segments.oracle import Call, Row, World, beginning_of, last_day, local_day, time_zones

MICROSECOND = timedelta(microseconds=1)

# --- what worlds and conditions have in common ------------------------------------------------------------------------

AS_OFS = [
    datetime(2026, 3, 29, 0, 30),  # half an hour before the clocks of Vienna go forward
    datetime(2026, 3, 29, 12),
    datetime(2026, 3, 30, 10, 15, 0, 1),
    datetime(2026, 3, 30, 22),  # midnight in Vienna
    datetime(2026, 4, 20, 12),
    datetime(2025, 10, 26, 0, 30),  # in the hour before the one that comes twice
    datetime(2025, 10, 26, 1, 30),
    datetime(2025, 10, 27, 23),  # midnight in Vienna
    datetime(2025, 11, 20, 7, 45),
    datetime(2026, 6, 15, 12),
    datetime(2026, 6, 15, 12, 34, 56, 789012),
    datetime(2026, 12, 31, 23, 30),
    datetime(2024, 2, 28, 12),
    datetime(2024, 2, 29, 12),
    datetime(2026, 2, 27, 9),
    datetime(2026, 2, 28, 23),  # midnight in Vienna
]
BUSINESS_ZONES = [
    "Europe/Vienna",
    "Europe/Vienna",
    "Europe/Vienna",
    "UTC",
    "America/New_York",
    "Pacific/Auckland",
    "Asia/Kolkata",
]
PERSON_ZONES = [
    None,
    "",
    "Mars/Olympus",
    "not a zone",
    "Europe/Vienna",
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Australia/Lord_Howe",
]

EXACT_WINDOWS = ["60 minutes", "1 hour", "24 hours", "48 hours", "90 hours"]
DAY_WINDOWS = ["1 day", "2 days", "7 days", "1 week", "30 days", "90 days", "13 weeks"]
WINDOWS = EXACT_WINDOWS + DAY_WINDOWS
DAY_OFFSETS = [1, 2, 7, 14, 21, 28, 30, 37, 60, 67, 90, 91, 120]

TEXTS = [
    "Graz",
    "GRAZ",
    "graz",
    "  Graz ",
    "Wien",
    "Bad Graz am See",
    "L'Aquila",
    'say "hi"',
    "100%",
    "100 percent",
    "a_b",
    "axb",
    "back\\slash",
    "Österreich",
    "ÖSTERREICH",
    "Straße",
    "日本",
    "🙂 smile",
    "--; drop",
    "$1",
]
PATTERNS = ["^G", "az$", "[0-9]+", "^G?raz", "'", "^ +", "r+a", "^[A-Z]+$", "\\\\", "%", "ö*s", "[^a-zA-Z]", '"hi"$']
WHOLE_NUMBERS = [-1, 0, 1, 2, 3, 10, 100]
DOUBLES = [-0.5, 0.0, 0.1, 0.2, 0.25, 0.3, 1.5, 100.0]
MONEY = [Decimal(text) for text in ("-0.10", "0.00", "0.10", "0.20", "0.30", "10.00", "19.99", "20.00", "40.00")]

PRODUCTS: dict[str, str | None] = {
    "P1": "garden",
    "P2": "Garden",
    "P3": " kitchen ",
    "P4": "Bücher & mehr",
    "P5": "kids' stuff",
    "P6": None,
}
CATEGORIES = [category for category in PRODUCTS.values() if category is not None]
ORDER_IDS = ["order-1-000001", "order-1-000002", "order-2-000003"]
URLS = ["https://shop.example/", "https://shop.example/garden?x=1&y=100%25", "https://shop.example/über_uns", "/cart"]
CAMPAIGNS = ["spring", "Spring", "it's on", "søk"]

WEB_EVENTS = ["page", "Product Viewed", "Product Added", "Checkout Started", "Demo Requested"]
FREQUENT_WEB_EVENTS = [*WEB_EVENTS, "Product Viewed", "Product Viewed", "Product Added", "Product Added"]
EMAIL_EVENTS = {
    "Email Sent": "sent",
    "Email Delivered": "delivered",
    "Email Opened": "open",
    "Email Clicked": "click",
    "Email Bounced": "bounce",
    "Email Complained": "complaint",
    "Email Unsubscribed": "unsubscribe",
}
EVENTS = [*WEB_EVENTS, *EMAIL_EVENTS, "Order Placed", "Product Bought"]
# Those that occur, and are asked for, more often than the others, so that conditions on several events meet some.
FREQUENT_EVENTS = ["Product Viewed", "Product Added", "Email Opened", "Email Clicked", "Order Placed", "Product Bought"]

WEB_COLUMNS: dict[str, list[Any]] = {
    "product_id": list(PRODUCTS),
    "category": CATEGORIES,
    "order_id": ORDER_IDS,
    "page_url": URLS,
    "campaign_name": CAMPAIGNS,
    "session_id": ["s1", "s2", "s3"],
}
EMAIL_COLUMNS: dict[str, list[Any]] = {
    "message_id": ["m1", "m2", "m3"],
    "campaign_id": ["c1", "C1", "c'2"],
    "link_url": URLS,
    "bounce_type": ["hard", "soft"],
}
ORDER_COLUMNS: dict[str, list[Any]] = {
    "order_id": ORDER_IDS,
    "channel": ["web", "Web", "shop"],
    "country": ["AT", "DE", "at"],
    "currency": ["EUR", "CHF"],
    "net_quantity": [1, 2, 3],
    "net_revenue": MONEY,
}
LINE_COLUMNS: dict[str, list[Any]] = {
    "order_id": ORDER_IDS,
    "product_id": list(PRODUCTS),
    "category": CATEGORIES,
    "net_quantity": [1, 2, 3],
    "net_revenue": MONEY,
}

TOPICS = ["Garden", "kitchen", "Bücher", "o'hara", "Kids & Co"]
STATED_TOPICS = ["Garden", "garden ", "  GARDEN", "Kitchen", "BÜCHER", "O'Hara", "Kids & Co", "", None]
CHANNELS = ["email", "sms"]
PURPOSES = ["marketing", "newsletter"]
SEGMENTS = ["seg_a", "seg_b"]
OWN_SEGMENT = "own"
VOCABULARIES = ["customer_stage", "journey_stage"]
STAGES = {
    "customer_stage": ["prospect", "active_customer", "lapsed_customer"],
    "journey_stage": ["awareness", "customer", "loyalty"],
}

# The conditions that are given human=false now and then.
HUMAN_CONDITIONS = {
    "did",
    "did_not",
    "total",
    "first_time",
    "last_time",
    "first_was",
    "last_was",
    "then",
    "then_not",
    "sequence",
    "regularly",
    "stopped",
    "restarted",
    "trend",
}

ANNIVERSARY_COLUMNS = ["signed_up_at", "first_purchase_at", "first_seen_at"]
PROPERTIES = {
    "city": "text",
    "country": "text",
    "orders_90d": "bigint",
    "rank": "integer",
    "revenue_total": "numeric",
    "discount": "numeric",
    "engagement_score": "double precision",
    "affinity": "double precision",
    "birthday": "date",
    "last_ordered_on": "date",
    "signed_up_at": "timestamp",
    "first_purchase_at": "timestamp",
    "first_seen_at": "timestamp",
    "is_customer": "boolean",
    "is_vip": "boolean",
}
NUMBER_TYPES = ("bigint", "integer", "numeric", "double precision")


# --- instants ---------------------------------------------------------------------------------------------------------


def boundaries(as_of: datetime, zone: str) -> list[datetime]:
    """The instants before `as_of` at which windows begin and end, exactly."""
    today = local_day(as_of - MICROSECOND, zone)
    found = [as_of - timedelta(hours=hours) for hours in (1, 24, 48, 90)]
    found += [as_of - timedelta(days=days) for days in (7, 30, 90)]
    found += [beginning_of(today - timedelta(days=days - 1), zone) for days in DAY_OFFSETS]
    found += [datetime.combine(today - timedelta(days=days), time()) for days in (0, 1, 29)]  # midnights in UTC
    changes = [datetime(2026, 3, 29, 1), datetime(2025, 10, 26, 0), datetime(2025, 10, 26, 1)]
    found += [change for change in changes if as_of - timedelta(days=120) < change < as_of]
    return found


def few_instants(rng: random.Random, as_of: datetime, zone: str) -> list[datetime]:
    """A handful of instants, so that many events share one."""
    jitter = [timedelta(0), timedelta(0), MICROSECOND, -MICROSECOND, timedelta(seconds=1), -timedelta(seconds=1)]
    chosen = [at + rng.choice(jitter) for at in rng.sample(boundaries(as_of, zone), rng.randint(4, 9))]
    for at in rng.sample(chosen, 3):  # gaps that are exactly as long as a window, or just not
        gap = rng.choice([timedelta(hours=1), timedelta(hours=24), timedelta(hours=48), timedelta(days=7)])
        chosen.append(at + gap + rng.choice(jitter))
    chosen.append(as_of - MICROSECOND)
    chosen += rng.sample([as_of, as_of + MICROSECOND, as_of + timedelta(hours=1), as_of + timedelta(days=1)], 2)
    return chosen


def anniversary_instants(rng: random.Random, as_of: datetime, zone: str) -> datetime:
    """An instant years ago whose day returns around today, or a 29 February."""
    if rng.random() < 0.4:
        leap = datetime(rng.choice([2016, 2020, 2024]), 2, 29, rng.choice([0, 12, 23]), 30)
        return min(leap, as_of - timedelta(days=rng.choice([0, 1])))
    near = last_day(World(as_of, as_of, zone)) + timedelta(days=rng.choice([-1, 0, 1, 6, 7, 8, 29, 30]))
    years = rng.choice([0, 1, 2, 4])
    day = date(near.year - years, near.month, 28 if (near.month, near.day) == (2, 29) else near.day)
    return beginning_of(day, zone) + rng.choice([-MICROSECOND, timedelta(0), timedelta(hours=11)])


# --- worlds -----------------------------------------------------------------------------------------------------------


def maybe(rng: random.Random, values: Iterable[Any], nulls: float = 0.2) -> Any:
    return None if rng.random() < nulls else rng.choice(list(values))


def property_value(rng: random.Random, kind: str, instants: list[datetime], as_of: datetime, zone: str) -> Any:
    if rng.random() < 0.2:
        return None
    if kind == "text":
        return rng.choice([*TEXTS, "", "  "])
    if kind in ("bigint", "integer"):
        return rng.choice(WHOLE_NUMBERS)
    if kind == "numeric":
        return rng.choice(MONEY)
    if kind == "double precision":
        return rng.choice(DOUBLES)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "date":
        days = rng.choice([-91, -90, -89, -31, -30, -29, -7, -6, -2, -1, 0, 1, 2, 7, 8, 30, 31])
        return last_day(World(as_of, as_of, zone)) + timedelta(days=days)
    if kind == "timestamp":
        return rng.choice(instants)
    raise ValueError(f"no such type: {kind!r}")


def make_stays(rng: random.Random, profile_id: str, name: str, instants: list[datetime]) -> list[Row]:
    """Up to two stays that do not touch each other; the last one may go on."""
    at = sorted(set(rng.sample(sorted(set(instants)), rng.randint(1, 4))))
    rows = []
    for start in range(0, len(at), 2):
        left_at = at[start + 1] if start + 1 < len(at) else None
        rows.append(
            {"profile_id": profile_id, "segment_name": name, "entered_at": at[start], "left_at": left_at},
        )
    return rows


def world(
    seed: int,
    n_people: int,
    properties: dict[str, str] | None = None,
    as_of: datetime | None = None,
    time_zone: str | None = None,
) -> World:
    """A world; the same one for the same arguments. `properties`: the people's columns, by type."""
    rng = random.Random(seed)
    chosen_as_of, chosen_zone = rng.choice(AS_OFS), rng.choice(BUSINESS_ZONES)
    as_of, zone = as_of or chosen_as_of, time_zone or chosen_zone
    known_at = as_of + rng.choice([timedelta(0), timedelta(0), timedelta(hours=2), -timedelta(hours=2)])
    instants = few_instants(rng, as_of, zone)
    made = World(as_of=as_of, known_at=known_at, time_zone=zone, own_segment=OWN_SEGMENT)
    made.memberships = {name: set() for name in SEGMENTS}
    columns = dict.fromkeys(ANNIVERSARY_COLUMNS, "timestamp") | (properties or PROPERTIES)
    numbers = {"web": 0, "email": 0, "order": 0, "line": 0}

    def new_id(kind: str) -> str:
        numbers[kind] += 1
        return f"{kind}-{seed}-{numbers[kind]:06d}"

    def row_known_at(at: datetime) -> datetime:
        late = [known_at, known_at + MICROSECOND, known_at + timedelta(days=1)]
        return rng.choice(late) if rng.random() < 0.15 else at

    def add_web(owner: str | None, identifier: Row, at: datetime) -> None:
        row = {"web_event_id": new_id("web"), "profile_id": owner, "event_name": rng.choice(FREQUENT_WEB_EVENTS)}
        row |= identifier | {"occurred_at": at, "occurred_on": local_day(at, zone), "known_at": row_known_at(at)}
        row |= {column: maybe(rng, values) for column, values in WEB_COLUMNS.items()}
        if row["order_id"] is not None:  # the one that comes next, or not
            row["order_id"] = f"order-{seed}-{numbers['order'] + rng.randint(0, 3):06d}"
        if rng.random() < 0.1:
            row["campaign_name"] = ""
        made.web_events.append(row)
        if rng.random() < 0.15:
            made.web_events.append(row | {"web_event_id": new_id("web")})
        if rng.random() < 0.3:  # something else with the same product
            then_at = rng.choice(instants)
            other = {"web_event_id": new_id("web"), "event_name": rng.choice(WEB_EVENTS), "occurred_at": then_at}
            other |= {"occurred_on": local_day(then_at, zone), "known_at": row_known_at(then_at)}
            made.web_events.append(row | other)

    def add_email(owner: str | None, identifier: Row, at: datetime) -> None:
        kind = rng.choice([*EMAIL_EVENTS.values(), "open", "open", "click"])
        row = {"email_event_id": new_id("email"), "profile_id": owner, "event_type": kind}
        row |= identifier | {"occurred_at": at, "occurred_on": local_day(at, zone), "known_at": row_known_at(at)}
        row |= {column: maybe(rng, values) for column, values in EMAIL_COLUMNS.items()}
        row["is_machine"] = kind in ("open", "click") and rng.random() < 0.4
        if kind != "bounce":
            row["bounce_type"] = None
        made.email_events.append(row)
        if rng.random() < 0.15:
            made.email_events.append(row | {"email_event_id": new_id("email")})

    def add_order(owner: str | None, identifier: Row, at: datetime) -> None:
        shared = identifier | {"ordered_at": at, "ordered_on": local_day(at, zone), "known_at": row_known_at(at)}
        columns_of_order = {
            "channel": maybe(rng, ORDER_COLUMNS["channel"]),
            "country": maybe(rng, ORDER_COLUMNS["country"]),
            "currency": rng.choice(ORDER_COLUMNS["currency"]),
        }
        lines = []
        for _ in range(rng.randint(1, 3)):
            product = maybe(rng, PRODUCTS, 0.1)
            quantity = rng.choice([0, 0, 1, 1, 2, 3])
            revenue = rng.choice([money for money in MONEY if money >= 0]) if quantity else Decimal("0.00")
            category = None if product is None else PRODUCTS[product]
            lines.append(
                {"product_id": product, "category": category, "net_quantity": quantity, "net_revenue": revenue}
            )
        for _ in range(2 if rng.random() < 0.15 else 1):
            order_id = new_id("order")
            order = {"order_id": order_id, "profile_id": owner} | shared | columns_of_order
            order["net_quantity"] = sum(line["net_quantity"] for line in lines)
            order["net_revenue"] = sum((line["net_revenue"] for line in lines), Decimal("0.00"))
            made.orders.append(order)
            for line in lines:
                ids = {"order_line_id": new_id("line"), "order_id": order_id, "profile_id": owner}
                made.order_lines.append(ids | shared | line)

    def add_history(owner: str | None, identifiers: list[Row]) -> None:
        # Two or three instants to a person now and then, so that nearly everything is a tie.
        own = rng.sample(instants, 3) if rng.random() < 0.3 else instants
        for add, most in ((add_web, 20), (add_email, 12), (add_order, 8)):
            for _ in range(rng.choice([0, 1, 2, most])):
                add(owner, rng.choice(identifiers), rng.choice(own))

    add_history(None, [{"identifier_type": "cookie", "identifier_value": f"nobody-{seed}", "linked_at": None}])
    for number in range(n_people):
        profile_id = f"p{seed}-{number:04d}"
        if number == 0:  # nothing is known of her, nothing happened to her
            made.people[profile_id] = dict.fromkeys(columns) | {"time_zone": None}
            continue
        person = {column: property_value(rng, kind, instants, as_of, zone) for column, kind in columns.items()}
        person["time_zone"] = rng.choice(PERSON_ZONES)
        made.people[profile_id] = person
        for column in ANNIVERSARY_COLUMNS:
            if rng.random() < 0.6:
                zone_of_hers = person["time_zone"] if person["time_zone"] in time_zones() else zone
                person[column] = anniversary_instants(rng, as_of, zone_of_hers)
        identifiers = [
            {
                "identifier_type": "cookie",
                "identifier_value": f"cookie-{profile_id}",
                "linked_at": rng.choice([as_of - timedelta(days=400), min(instants), as_of - MICROSECOND]),
            }
        ]
        if rng.random() < 0.3:
            identifiers.append(
                {
                    "identifier_type": "email",
                    "identifier_value": f"{profile_id}@example.com",
                    "linked_at": rng.choice([as_of, as_of + MICROSECOND, as_of + timedelta(days=1)]),
                }
            )
        add_history(profile_id, identifiers)
        for topic in rng.sample(STATED_TOPICS, rng.randint(0, 3)):
            made.interests.append({"profile_id": profile_id, "interest": topic})
        for channel in CHANNELS:
            for purpose in PURPOSES:
                if rng.random() < 0.6:
                    row = {"profile_id": profile_id, "channel": channel, "purpose": purpose}
                    made.consent.append(row | {"is_mailable": rng.random() < 0.6})
        for name in [*SEGMENTS, OWN_SEGMENT]:
            if rng.random() < 0.6:
                made.membership_history += make_stays(rng, profile_id, name, instants)
        for vocabulary in VOCABULARIES:
            for at in sorted(rng.sample(sorted(set(instants)), rng.randint(0, 3))):
                row = {"profile_id": profile_id, "vocabulary": vocabulary, "to_stage": rng.choice(STAGES[vocabulary])}
                made.transitions.append(row | {"transitioned_at": at})
        for name in SEGMENTS:
            if rng.random() < 0.4:
                made.memberships[name].add(profile_id)
    return made


# --- conditions -------------------------------------------------------------------------------------------------------


def event_columns(event: str) -> dict[str, list[Any]]:
    if event == "Order Placed":
        return ORDER_COLUMNS
    if event == "Product Bought":
        return LINE_COLUMNS
    return EMAIL_COLUMNS if event in EMAIL_EVENTS else WEB_COLUMNS


def iso_day(rng: random.Random, at: World | None) -> str:
    """A day before or at `as_of_on`, most often where a window begins or ends."""
    if at is not None:
        today = last_day(at)
    else:
        today = local_day(rng.choice(AS_OFS) - MICROSECOND, rng.choice(BUSINESS_ZONES))
    return (today - timedelta(days=rng.choice([0, 1, 2, 6, 7, 29, 30, 31, 89, 90, 91]))).isoformat()


def iso_instant(rng: random.Random, at: World | None) -> str:
    if at is not None and rng.random() < 0.6:
        instants = [value for person in at.people.values() for value in person.values() if isinstance(value, datetime)]
        if instants:
            return rng.choice(instants).isoformat()
    as_of, zone = (at.as_of, at.time_zone) if at is not None else (rng.choice(AS_OFS), rng.choice(BUSINESS_ZONES))
    return rng.choice(boundaries(as_of, zone)).isoformat()


def window(rng: random.Random, at: World | None, prefix: str = "") -> Row:
    """A window's arguments; none for all of history."""
    choice = rng.random()
    if choice < 0.45:
        return {prefix + "within": rng.choice(WINDOWS)}
    if choice < 0.7:
        offsets = rng.choice(
            [
                ("90 days", "30 days"),
                ("30 days", "7 days"),
                ("13 weeks", "1 day"),
                ("2 weeks", "7 days"),
                ("90 hours", "48 hours"),
                ("48 hours", "60 minutes"),
                ("48 hours", "24 hours"),
                (None, "30 days"),
                (None, "48 hours"),
            ]
        )
        return {prefix + "between": offsets}
    if choice < 0.85 and not prefix:
        days = sorted([iso_day(rng, at), iso_day(rng, at)])
        return rng.choice([{"since": days[0]}, {"until": days[1]}, {"since": days[0], "until": days[1]}])
    return {}


def number_test(rng: random.Random, name: str, values: list[Any]) -> Row:
    test = rng.choice(["=", "!=", "<", "<=", ">", ">=", "in", "not in", "between"])
    if test in ("in", "not in"):
        return {"name": name, "test": test, "value": rng.sample(values, rng.randint(1, 3))}
    if test == "between":
        return {"name": name, "test": test, "value": sorted([rng.choice(values), rng.choice(values)])}
    return {"name": name, "test": test, "value": rng.choice(values)}


def text_test(rng: random.Random, name: str, values: list[str], patterns: list[str]) -> Row:
    test = rng.choice(
        ["=", "!=", "in", "not in", "is", "is not", "contains", "starts with", "ends with", "matches"],
    )
    value = rng.choice(values)
    if test in ("in", "not in"):
        return {"name": name, "test": test, "value": rng.sample(values, rng.randint(1, min(3, len(values))))}
    if test == "matches":
        return {"name": name, "test": test, "value": rng.choice(patterns)}
    if test in ("is", "is not"):
        value = rng.choice([value, value.upper() if "ß" not in value else value, f" {value.lower()} "])
    elif test in ("contains", "starts with", "ends with"):
        start = rng.randrange(len(value))
        part = {"contains": value[start : start + 3], "starts with": value[: start + 1], "ends with": value[start:]}
        value = part[test].swapcase() if "ß" not in value else part[test]
    return {"name": name, "test": test, "value": value}


def same_kind(properties: dict[str, str], name: str) -> list[str]:
    """The other columns with which a column can be compared."""
    kinds = NUMBER_TYPES if properties[name] in NUMBER_TYPES else (properties[name],)
    return [other for other, kind in properties.items() if kind in kinds and other != name]


def property_test(rng: random.Random, name: str, properties: dict[str, str], at: World | None) -> Row:
    """The arguments of a `prop` on the person."""
    kind = properties[name]
    if rng.random() < 0.1:
        return {"name": name, "test": rng.choice(["is empty", "is not empty"])}
    others = same_kind(properties, name)
    if others and rng.random() < 0.15:
        comparisons = ["=", "!="] if kind in ("text", "boolean") else ["=", "!=", "<", "<=", ">", ">="]
        return {"name": name, "test": rng.choice(comparisons) + " column", "value": rng.choice(others)}
    if kind == "text":
        return text_test(rng, name, TEXTS, PATTERNS)
    if kind == "boolean":
        return {"name": name, "test": rng.choice(["is true", "is false"])}
    if kind in ("bigint", "integer"):
        return number_test(rng, name, [*WHOLE_NUMBERS, 1.5])
    if kind == "numeric":
        return number_test(rng, name, [-0.1, 0, 0.1, 0.2, 0.3, 10, 19.99, 20.0])
    if kind == "double precision":
        return number_test(rng, name, [*DOUBLES, 0, 1])
    iso = iso_day if kind == "date" else iso_instant
    tests = ["compare", "between", "day", "within last", "older than"] + (["within next"] if kind == "date" else [])
    test = rng.choice(tests)
    if test == "compare":
        return {"name": name, "test": rng.choice(["=", "!=", "<", "<=", ">", ">="]), "value": iso(rng, at)}
    if test == "between":
        return {"name": name, "test": test, "value": sorted([iso(rng, at), iso(rng, at)])}
    if test == "day":
        return {"name": name, "test": rng.choice(["before", "after", "on"]), "value": iso_day(rng, at)}
    return {"name": name, "test": test, "value": rng.choice(DAY_WINDOWS if kind == "date" else WINDOWS)}


def where_tests(rng: random.Random, event: str, likely: float = 0.25) -> list[Call]:
    """None, one or two tests on an event's columns."""
    found = []
    columns = event_columns(event)
    while rng.random() < likely and len(found) < 2:
        name = rng.choice(list(columns))
        values = columns[name]
        if rng.random() < 0.15:
            found.append(Call("prop", {"name": name, "test": rng.choice(["is empty", "is not empty"])}))
        elif name == "net_quantity":
            found.append(Call("prop", number_test(rng, name, values)))
        elif name == "net_revenue":
            found.append(Call("prop", number_test(rng, name, [0, 0.1, 0.3, 10, 19.99, 20.0])))
        else:
            found.append(Call("prop", text_test(rng, name, values, ["^g", "1$", "[0-9]", "a+r", "'", "^[a-z]*$"])))
    return found


def with_where(rng: random.Random, event: str) -> Row:
    tests = where_tests(rng, event)
    return {"where": tests} if tests else {}


def human(rng: random.Random, name: str, events: list[str]) -> Row:
    machines = any(event in ("Email Opened", "Email Clicked") for event in events)
    return {"human": False} if machines and name in HUMAN_CONDITIONS and rng.random() < 0.4 else {}


def an_event(rng: random.Random) -> str:
    return rng.choice(FREQUENT_EVENTS if rng.random() < 0.6 else EVENTS)


def event_condition(rng: random.Random, name: str, at: World | None) -> Call:
    event = an_event(rng)
    args: Row = {"event": event}
    if name in ("did", "did_not", "first_time", "last_time"):
        args |= window(rng, at)
    if name == "did":
        if rng.random() < 0.5:
            args["at_least"] = rng.choice([0, 1, 2, 3])
        if rng.random() < 0.3:
            args["at_most"] = args.get("at_least", 1) + rng.choice([0, 1, 2])
        if rng.random() < 0.3:
            args["in_one"] = rng.choice([column for column in event_columns(event) if not column.startswith("net_")])
    if name == "total":
        numeric = event in ("Order Placed", "Product Bought") and rng.random() < 0.85
        if not numeric:
            args |= {"aggregate": "distinct", "column": rng.choice(list(event_columns(event)))}
            values: list[Any] = [0, 1, 2, 3]
        elif rng.random() < 0.5:
            args |= {"aggregate": rng.choice(["sum", "average", "min", "max"]), "column": "net_quantity"}
            values = [0, 1, 1.5, 2, 3, 6]
        else:
            args |= {"aggregate": rng.choice(["sum", "average", "min", "max"]), "column": "net_revenue"}
            # No average of these amounts is one of the values and rounded before it is.
            values = [0, 10, 15, 20] if args["aggregate"] == "average" else [0, 0.1, 0.3, 0.6, 10, 19.99, 20.0, 40]
        tested = number_test(rng, "", values)
        while tested["test"] in ("in", "not in"):
            tested = number_test(rng, "", values)
        args |= {"test": tested["test"], "value": tested["value"]} | window(rng, at)
    if name == "regularly":
        of = rng.choice([1, 2, 3, 4])
        args |= {"at_least": rng.randint(1, of), "of": of}
        if rng.random() < 0.5:
            args["period"] = rng.choice(["1 day", "7 days", "1 week", "30 days"])
    if name == "stopped":
        args |= rng.choice([{}, {"active": "30 days", "silent": "7 days"}, {"silent": "1 week"}, {"active": "7 days"}])
    if name == "restarted":
        args |= rng.choice([{}, {"recent": "1 day", "silent": "7 days"}, {"silent": "30 days"}, {"recent": "30 days"}])
    if name == "trend":
        args |= {"test": rng.choice(["=", "!=", "<", "<=", ">", ">="]), "value": rng.choice([0, 0.5, 1, 1.5, 2])}
        if rng.random() < 0.2:
            args |= {"test": "between", "value": [0.5, 2]}
        if rng.random() < 0.6:
            args["period"] = rng.choice(["1 day", "2 days", "7 days", "1 week", "60 days"])
        if event in ("Order Placed", "Product Bought") and rng.random() < 0.6:
            args |= {"aggregate": "sum", "column": rng.choice(["net_quantity", "net_revenue"])}
    if name in ("first_was", "last_was"):
        args["where"] = where_tests(rng, event, 0.6) or [Call("prop", where_default(rng, event))]
    else:
        args |= with_where(rng, event)
    return Call(name, args | human(rng, name, [event]))


def where_default(rng: random.Random, event: str) -> Row:
    return {"name": rng.choice(list(event_columns(event))), "test": "is not empty"}


def shared_columns(events: list[str]) -> list[str]:
    found = [column for column in event_columns(events[0]) if not column.startswith("net_")]
    return [column for column in found if all(column in event_columns(event) for event in events)]


def chain_options(rng: random.Random, name: str, events: list[str], at: World | None) -> Row:
    args: Row = {}
    if rng.random() < 0.6:
        args["within"] = rng.choice(["1 hour", "60 minutes", "24 hours", "48 hours", "1 day", "7 days", "1 week"])
    args |= window(rng, at, "started_")
    shared = shared_columns(events)
    if shared and rng.random() < 0.4:
        args["same"] = rng.choice(shared)
    return args | human(rng, name, events)


def chain_condition(rng: random.Random, name: str, at: World | None) -> Call:
    if name == "sequence":
        events = [an_event(rng) for _ in range(rng.choice([1, 2, 2, 3]))]
        if rng.random() < 0.5:
            events = [rng.choice(FREQUENT_WEB_EVENTS) for _ in events]
        steps: list[Any] = []
        for event in events:
            tests = where_tests(rng, event, 0.2)
            steps.append(Call("step", {"event": event, "where": tests}) if tests else event)
        return Call(name, {"steps": steps} | chain_options(rng, name, events, at))
    pool = FREQUENT_WEB_EVENTS if rng.random() < 0.4 else EVENTS + FREQUENT_EVENTS * 2
    first, second = rng.choice(pool), rng.choice(pool)
    while name == "then_not" and second == first:  # what is its own `second` is open to interpretation
        second = rng.choice(pool)
    args: Row = {"first": first, "second": second} | chain_options(rng, name, [first, second], at)
    for key, event in (("where_first", first), ("where_second", second)):
        tests = where_tests(rng, event, 0.15)
        if tests:
            args[key] = tests
    return Call(name, args)


def rank_condition(rng: random.Random, name: str, properties: dict[str, str], at: World | None) -> Call:
    ordered = [column for column, kind in properties.items() if kind in (*NUMBER_TYPES, "date", "timestamp")]
    args: Row = {"property": rng.choice(ordered)}
    if name.endswith("percent"):
        args["percent"] = rng.choice([1, 10, 20, 25, 33.3, 50, 100])
    else:
        args["n"] = rng.choice([1, 2, 3, 5, 10])
    if rng.random() < 0.4:
        kinds = ["prop", "did", "did_not", "can_receive"]
        args["among"] = [condition(rng, properties, 0, at, kinds) for _ in range(rng.randint(1, 2))]
    return Call(name, args)


EVENT_KINDS = [
    "did",
    "did_not",
    "total",
    "first_time",
    "last_time",
    "first_was",
    "last_was",
    "regularly",
    "stopped",
    "restarted",
    "trend",
]
CHAIN_KINDS = ["then", "then_not", "sequence"]
RANK_KINDS = ["top_percent", "bottom_percent", "top_n", "bottom_n"]
PERSON_KINDS = ["prop", "interested_in", "anniversary", "random_share", "can_receive"]
MEMBERSHIP_KINDS = ["in_segment", "entered", "left", "has_been_in", "was_in", "has_been_in_stage", "hysteresis"]
NESTING_KINDS = ["all_of", "any_of", "none_of", "n_of"]
KINDS = PERSON_KINDS + EVENT_KINDS + CHAIN_KINDS + RANK_KINDS + MEMBERSHIP_KINDS + NESTING_KINDS


def condition(
    rng: random.Random,
    properties: dict[str, str],
    depth: int = 2,
    at: World | None = None,
    kinds: list[str] | None = None,
) -> Call:
    """A random condition. `at`: the world whose days and instants it should hit; `kinds`: only these."""
    possible = [kind for kind in kinds or KINDS if depth > 0 or kind not in (*NESTING_KINDS, "hysteresis")]
    if not properties:
        possible = [kind for kind in possible if kind != "prop"]
    if not any(kind in (*NUMBER_TYPES, "date", "timestamp") for kind in properties.values()):
        possible = [kind for kind in possible if kind not in RANK_KINDS]
    name = rng.choice(possible)

    def inner() -> Call:
        return condition(rng, properties, depth - 1, at, kinds)

    if name == "prop":
        return Call(name, property_test(rng, rng.choice(list(properties)), properties, at))
    if name in EVENT_KINDS:
        return event_condition(rng, name, at)
    if name in CHAIN_KINDS:
        return chain_condition(rng, name, at)
    if name in RANK_KINDS:
        return rank_condition(rng, name, properties, at)
    if name in NESTING_KINDS:
        conditions = [inner() for _ in range(rng.randint(1, 3))]
        number = {"n": rng.randint(1, len(conditions))} if name == "n_of" else {}
        return Call(name, number | {"conditions": conditions})
    simple: dict[str, Callable[[], Row]] = {
        "interested_in": lambda: (
            {"topics": rng.choice([rng.choice(TOPICS), rng.sample(TOPICS, 2), [" GARDEN ", "kitchen"]])}
            | rng.choice([{}, {"match": "any"}, {"match": "all"}, {"match": "none"}])
        ),
        "anniversary": lambda: (
            {"column": rng.choice(ANNIVERSARY_COLUMNS)}
            | rng.choice([{}, {"within_next": rng.choice(["1 day", "2 days", "1 week", "30 days", "366 days"])}])
        ),
        "random_share": lambda: (
            {"salt": rng.choice(["test", "it's", "ü|x"])}
            | rng.choice([{"percent": 100}, {"percent": 33.33, "start": 66.67}, {"percent": 0.5, "start": 10}])
            | rng.choice([{}, {"percent": rng.choice([0.5, 10, 33.33, 50]), "start": rng.choice([0, 10, 50])}])
        ),
        "can_receive": lambda: rng.choice(
            [
                {"purpose": "marketing"},
                {"purpose": "marketing", "channel": "sms"},
                {"purpose": "newsletter", "channel": "email"},
                {"purpose": "newsletter"},
            ]
        ),
        "in_segment": lambda: {"name": rng.choice(SEGMENTS)},
        "entered": lambda: {"name": rng.choice(SEGMENTS), "within": rng.choice(WINDOWS)},
        "left": lambda: {"name": rng.choice(SEGMENTS), "within": rng.choice(WINDOWS)},
        "has_been_in": lambda: {"name": rng.choice(SEGMENTS), "at_least": rng.choice(WINDOWS)},
        "was_in": lambda: {"name": rng.choice(SEGMENTS), "on": iso_day(rng, at)},
        "has_been_in_stage": lambda: rng.choice(
            [
                {"vocabulary": vocabulary, "stage": stage, "at_least": rng.choice(WINDOWS)}
                for vocabulary in VOCABULARIES
                for stage in STAGES[vocabulary]
            ]
        ),
        "hysteresis": lambda: {"enter": inner(), "leave": inner()},
    }
    return Call(name, simple[name]())


def definition(rng: random.Random, properties: dict[str, str], at: World | None = None) -> Row:
    """A random segment for `members`."""
    made: Row = {"all_of": [condition(rng, properties, 1, at) for _ in range(rng.randint(0, 2))]}
    if rng.random() < 0.5 or not made["all_of"]:
        made["any_of"] = [condition(rng, properties, 1, at) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.4:
        made["none_of"] = [condition(rng, properties, 1, at) for _ in range(rng.randint(1, 2))]
    numbers = [column for column, kind in properties.items() if kind in NUMBER_TYPES]
    if numbers and rng.random() < 0.4:
        made |= {"capacity": rng.choice([1, 3, 10]), "by": rng.choice(numbers)}
        if rng.random() < 0.5:
            made["smallest_first"] = True
    return made


# --- as text ----------------------------------------------------------------------------------------------------------

# The arguments that come first, without their names.
POSITIONAL = {
    "prop": ["name", "test", "value"],
    "interested_in": ["topics"],
    "anniversary": ["column"],
    "random_share": ["salt", "percent"],
    "can_receive": ["purpose"],
    "total": ["event", "aggregate", "column", "test", "value"],
    "then": ["first", "second"],
    "then_not": ["first", "second"],
    "sequence": ["steps"],
    "trend": ["event", "test", "value"],
    "top_percent": ["property", "percent"],
    "bottom_percent": ["property", "percent"],
    "top_n": ["property", "n"],
    "bottom_n": ["property", "n"],
    "n_of": ["n", "conditions"],
    "all_of": ["conditions"],
    "any_of": ["conditions"],
    "none_of": ["conditions"],
    "in_segment": ["name"],
    "entered": ["name"],
    "left": ["name"],
    "has_been_in": ["name"],
    "was_in": ["name"],
    "has_been_in_stage": ["vocabulary", "stage"],
    "hysteresis": ["enter", "leave"],
}


def quoted(text: str) -> str:
    """A Jinja string literal. Its escapes are those of Python."""
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "'" + "".join(escapes.get(letter, letter) for letter in text) + "'"


def literal(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (float, Decimal)):
        text = format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
        return text if "." in text else text + ".0"
    if isinstance(value, list):
        return "[" + ", ".join(literal(one) for one in value) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(literal(one) for one in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, Call):
        return as_jinja(value)
    raise TypeError(f"no literal for {value!r}")


def as_jinja(call: Call) -> str:
    """The text of the macro call, without the braces."""
    rest = dict(call.args)
    written = []
    for name in POSITIONAL.get(call.name, ["event"]):
        if name not in rest:
            break
        written.append(literal(rest.pop(name)))
    written += [f"{name}={literal(value)}" for name, value in rest.items()]
    return f"{call.name}({', '.join(written)})"
