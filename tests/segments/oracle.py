"""A reference evaluator for segment conditions, written from their documentation alone.

Slow and plain on purpose: every condition is a few lines over lists of rows of one person, so that it can be read next
to the sentence that documents it. It shares no code with what it is compared with.

Instants are naive datetimes in UTC. A text that is empty is unknown, everywhere. Comments that begin with "Reading:"
mark places at which the documentation can be read in more than one way.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

Row = dict[str, Any]


@dataclass
class Call:
    """A condition (or a `prop` in a `where`, or a `step`): its name and its arguments by their documented names."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class World:
    as_of: datetime
    known_at: datetime
    time_zone: str
    people: dict[str, Row] = field(default_factory=dict)
    web_events: list[Row] = field(default_factory=list)
    email_events: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    order_lines: list[Row] = field(default_factory=list)
    interests: list[Row] = field(default_factory=list)
    consent: list[Row] = field(default_factory=list)
    membership_history: list[Row] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)
    memberships: dict[str, set[str]] = field(default_factory=dict)
    own_segment: str | None = None


# --- days and windows -------------------------------------------------------------------------------------------------


def local_day(instant: datetime, zone: str) -> date:
    return instant.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()


def beginning_of(day: date, zone: str) -> datetime:
    """The first instant of a local day, as naive UTC."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    return midnight.astimezone(UTC).replace(tzinfo=None)


def last_day(world: World, zone: str | None = None) -> date:
    """`as_of_on`: the local day of the last instant before `as_of`."""
    return local_day(world.as_of - timedelta(microseconds=1), zone or world.time_zone)


@dataclass(frozen=True)
class Length:
    """A window's length: exact (minutes, hours), or a number of whole days (days, weeks)."""

    whole_days: bool
    time: timedelta


def length(text: str) -> Length:
    found = re.fullmatch(r"(\d+) (minute|hour|day|week)s?", text)
    if found is None:
        raise ValueError(f"not a window: {text!r}")
    number = int(found[1])
    if found[2] == "minute":
        return Length(False, timedelta(minutes=number))
    if found[2] == "hour":
        return Length(False, timedelta(hours=number))
    if found[2] == "day":
        return Length(True, timedelta(days=number))
    return Length(True, timedelta(days=7 * number))


def whole_days(text: str) -> int:
    parsed = length(text)
    if not parsed.whole_days:
        raise ValueError(f"whole days are needed here: {text!r}")
    return parsed.time.days


def day_between(day: date, farther: int | None, nearer: int, world: World) -> bool:
    """`as_of_on - farther < day <= as_of_on - nearer`; `None`: however far."""
    today = last_day(world)
    if day > today - timedelta(days=nearer):
        return False
    return farther is None or day > today - timedelta(days=farther)


def within_last(instant: datetime, window: str, world: World) -> bool:
    # Reading: an instant of the future is in no window, also if its local day is `as_of_on`.
    if instant >= world.as_of:
        return False
    parsed = length(window)
    if parsed.whole_days:
        return day_between(local_day(instant, world.time_zone), parsed.time.days, 0, world)
    return instant >= world.as_of - parsed.time


def between_offsets(instant: datetime, offsets: Iterable[str | None], world: World) -> bool:
    farther_text, nearer_text = offsets
    if nearer_text is None:
        raise ValueError("the nearer offset is needed")
    nearer = length(nearer_text)
    farther = None if farther_text is None else length(farther_text)
    if farther is not None and farther.whole_days != nearer.whole_days:
        raise ValueError("both offsets have the same kind of unit")
    if farther is not None and farther.time < nearer.time:
        raise ValueError("the farther offset comes first")
    if instant >= world.as_of:
        return False
    if nearer.whole_days:
        farther_days = None if farther is None else farther.time.days
        return day_between(local_day(instant, world.time_zone), farther_days, nearer.time.days, world)
    if instant >= world.as_of - nearer.time:
        return False
    return farther is None or instant >= world.as_of - farther.time


def in_window(instant: datetime, args: Row, world: World, prefix: str = "") -> bool:
    """Whether an instant lies in the window among a condition's arguments. No window: all of history."""
    within, between = args.get(prefix + "within"), args.get(prefix + "between")
    since, until = args.get("since"), args.get("until")
    if within is not None and between is not None:
        raise ValueError("within and between exclude each other")
    if (within is not None or between is not None) and (since is not None or until is not None):
        raise ValueError("since and until do not go with within or between")
    if within is not None:
        return within_last(instant, within, world)
    if between is not None:
        return between_offsets(instant, between, world)
    day = local_day(instant, world.time_zone)
    if since is not None and day < date.fromisoformat(since):
        return False
    return until is None or day <= date.fromisoformat(until)


def at_least_that_old(instant: datetime, age: str, world: World) -> bool:
    """At `as_of - 48 h` or earlier; days: on the local day `as_of_on - 30` or earlier."""
    parsed = length(age)
    if parsed.whole_days:
        return day_between(local_day(instant, world.time_zone), None, parsed.time.days, world)
    return instant <= world.as_of - parsed.time


# --- tests on values --------------------------------------------------------------------------------------------------


def unknown(value: Any) -> bool:
    return value is None or value == ""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def exact(value: Any) -> Decimal:
    """A number as it is written: the literal 0.1 is one tenth."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def like_column(actual: Any, given: Any) -> tuple[Any, Any]:
    """A column's value and the value that a test gives, made comparable: double precision is the column's affair."""
    if is_number(actual) and is_number(given):
        if isinstance(actual, float):
            return actual, float(given)
        return exact(actual), exact(given)
    if isinstance(actual, datetime) and isinstance(given, str):
        instant = datetime.fromisoformat(given)
        return actual, instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    if isinstance(actual, date) and not isinstance(actual, datetime) and isinstance(given, str):
        return actual, date.fromisoformat(given)
    if type(actual) is type(given) and isinstance(actual, (str, bool)):
        return actual, given
    raise TypeError(f"cannot compare {actual!r} with {given!r}")


def like_each_other(one: Any, other: Any) -> tuple[Any, Any]:
    """The values of two columns, made comparable: in double precision if one of them is."""
    if is_number(one) and is_number(other):
        if isinstance(one, float) or isinstance(other, float):
            return float(one), float(other)
        return exact(one), exact(other)
    if type(one) is type(other):
        return one, other
    raise TypeError(f"cannot compare {one!r} with {other!r}")


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def compares(actual: Any, comparison: str, given: Any) -> bool:
    if unknown(actual) or unknown(given):
        return False
    return COMPARISONS[comparison](*like_column(actual, given))


def folded(text: str) -> str:
    # Reading: folding case is lower-casing (the letter ß is not ss).
    return text.lower()


def trimmed(text: str) -> str:
    # Reading: blanks are spaces.
    return text.strip(" ")


def day_of(value: Any, world: World) -> date:
    return local_day(value, world.time_zone) if isinstance(value, datetime) else value


def passes(actual: Any, test: str, value: Any, row: Row, world: World) -> bool:
    """Whether a value satisfies a test. `row` has the other columns of the same person (or event)."""
    if test == "is empty":
        return unknown(actual)
    if test == "is not empty":
        return not unknown(actual)
    if unknown(actual):
        return False
    if test in COMPARISONS:
        return compares(actual, test, value)
    if test == "in":
        return any(compares(actual, "=", one) for one in value)
    if test == "not in":
        return all(compares(actual, "!=", one) for one in value)
    if test == "between":
        low, high = value
        return compares(actual, ">=", low) and compares(actual, "<=", high)
    if test == "is true":
        return actual is True
    if test == "is false":
        return actual is False
    if test.endswith(" column"):
        other = row.get(value)
        if unknown(other):
            return False
        return COMPARISONS[test.removesuffix(" column")](*like_each_other(actual, other))
    if unknown(value):
        return False
    if test == "is":
        return folded(trimmed(actual)) == folded(trimmed(value))
    if test == "is not":
        return folded(trimmed(actual)) != folded(trimmed(value))
    if test == "contains":
        return folded(value) in folded(actual)
    if test == "starts with":
        return folded(actual).startswith(folded(value))
    if test == "ends with":
        return folded(actual).endswith(folded(value))
    if test == "matches":
        return re.search(value, actual) is not None
    if test == "before":
        return day_of(actual, world) < date.fromisoformat(value)
    if test == "after":
        return day_of(actual, world) > date.fromisoformat(value)
    if test == "on":
        return day_of(actual, world) == date.fromisoformat(value)
    if test == "within last":
        if isinstance(actual, datetime):
            return within_last(actual, value, world)
        return day_between(actual, whole_days(value), 0, world)
    if test == "older than":
        if isinstance(actual, datetime) and not length(value).whole_days:
            return actual < world.as_of - length(value).time
        return day_between(day_of(actual, world), None, whole_days(value), world)
    if test == "within next":
        if isinstance(actual, datetime):
            raise TypeError("within next is for dates")
        today = last_day(world)
        return today < actual <= today + timedelta(days=whole_days(value))
    raise ValueError(f"no such test: {test!r}")


def row_passes(call: Call, row: Row, world: World) -> bool:
    assert call.name == "prop"
    return passes(row.get(call.args["name"]), call.args["test"], call.args.get("value"), row, world)


# --- conditions on the person -----------------------------------------------------------------------------------------


def prop(args: Row, profile_id: str, world: World) -> bool:
    return row_passes(Call("prop", args), world.people.get(profile_id, {}), world)


def interested_in(args: Row, profile_id: str, world: World) -> bool:
    topics = [args["topics"]] if isinstance(args["topics"], str) else args["topics"]
    wanted = {folded(trimmed(topic)) for topic in topics}
    stated = {
        folded(trimmed(row["interest"]))
        for row in world.interests
        if row["profile_id"] == profile_id and not unknown(row["interest"])
    }
    match = args.get("match", "any")
    if match == "any":
        return any(topic in stated for topic in wanted)
    if match == "all":
        return all(topic in stated for topic in wanted)
    if match == "none":
        # Reading: who stated nothing at all stated an interest in none of them.
        return not any(topic in stated for topic in wanted)
    raise ValueError(f"no such match: {match!r}")


@cache
def time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def returns_on(origin: date, day: date) -> bool:
    """Whether `day` is a yearly return of `origin`."""
    if day <= origin:
        return False
    if (origin.month, origin.day) == (2, 29) and not is_leap(day.year):
        return (day.month, day.day) == (2, 28)
    return (day.month, day.day) == (origin.month, origin.day)


def anniversary(args: Row, profile_id: str, world: World) -> bool:
    person = world.people.get(profile_id, {})
    instant = person.get(args["column"])
    if instant is None:
        return False
    zone = person.get("time_zone")
    if zone not in time_zones():
        zone = world.time_zone
    origin = local_day(instant, zone)
    today = last_day(world, zone)
    days = whole_days(args.get("within_next", "7 days"))
    return any(returns_on(origin, today + timedelta(days=ahead)) for ahead in range(days))


def md5_text(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def random_share(args: Row, profile_id: str, world: World) -> bool:
    number = int(md5_text(args["salt"] + "|" + profile_id)[:8], 16)
    bucket = Decimal(number % 10_000) / 100
    start = exact(args.get("start", 0))
    return start <= bucket < start + exact(args["percent"])


def can_receive(args: Row, profile_id: str, world: World) -> bool:
    channel, purpose = args.get("channel", "email"), args.get("purpose", "marketing")
    return any(
        row["profile_id"] == profile_id
        and row["channel"] == channel
        and row["purpose"] == purpose
        and row["is_mailable"] is True
        for row in world.consent
    )


# --- conditions on events ---------------------------------------------------------------------------------------------


EMAIL_TYPES = {
    "Email Sent": "sent",
    "Email Delivered": "delivered",
    "Email Opened": "open",
    "Email Clicked": "click",
    "Email Bounced": "bounce",
    "Email Complained": "complaint",
    "Email Unsubscribed": "unsubscribe",
}


@dataclass(frozen=True, eq=False)
class Event:
    at: datetime
    row: Row


def is_kept(row: Row) -> bool:
    return row["net_quantity"] is not None and row["net_quantity"] > 0


def rows_named(event: str, human: bool, world: World) -> list[tuple[datetime | None, Row]]:
    if event == "Order Placed":
        return [(row["ordered_at"], row) for row in world.orders if is_kept(row)]
    if event == "Product Bought":
        return [(row["ordered_at"], row) for row in world.order_lines if is_kept(row)]
    if event in EMAIL_TYPES:
        rows = [row for row in world.email_events if row["event_type"] == EMAIL_TYPES[event]]
        if event in ("Email Opened", "Email Clicked") and human:
            # Reading: it must be known that no machine did it.
            rows = [row for row in rows if row["is_machine"] is False]
        return [(row["occurred_at"], row) for row in rows]
    return [(row["occurred_at"], row) for row in world.web_events if row["event_name"] == event]


def events_of(event: str, where: list[Call] | None, args: Row, profile_id: str, world: World) -> list[Event]:
    """The person's events of that name that count and satisfy `where`, in no order that means anything."""
    found = []
    for at, row in rows_named(event, args.get("human", True), world):
        if row["profile_id"] != profile_id:
            continue
        if at is None or not at < world.as_of:
            continue
        if row["known_at"] is None or not row["known_at"] <= world.known_at:
            continue
        if row["linked_at"] is None or not row["linked_at"] < world.as_of:
            continue
        if all(row_passes(test, row, world) for test in where or []):
            found.append(Event(at, row))
    return found


def such_events(args: Row, profile_id: str, world: World) -> list[Event]:
    """All of history, with `where`."""
    return events_of(args["event"], args.get("where"), args, profile_id, world)


def such_events_in_window(args: Row, profile_id: str, world: World) -> list[Event]:
    return [event for event in such_events(args, profile_id, world) if in_window(event.at, args, world)]


def such_events_between(args: Row, farther: int | None, nearer: int, profile_id: str, world: World) -> list[Event]:
    """`as_of_on - farther < day <= as_of_on - nearer`."""
    return [
        event
        for event in such_events(args, profile_id, world)
        if day_between(local_day(event.at, world.time_zone), farther, nearer, world)
    ]


def did(args: Row, profile_id: str, world: World) -> bool:
    events = such_events_in_window(args, profile_id, world)
    at_least, at_most, in_one = args.get("at_least", 1), args.get("at_most"), args.get("in_one")
    if in_one is None:
        numbers = [len(events)]
    else:
        # Reading: only values that such an event has are values, so that no number is 0.
        numbers = list(Counter(event.row[in_one] for event in events if not unknown(event.row[in_one])).values())
    return any(at_least <= number and (at_most is None or number <= at_most) for number in numbers)


def did_not(args: Row, profile_id: str, world: World) -> bool:
    return len(such_events_in_window(args, profile_id, world)) == 0


def known_values(events: list[Event], column: str) -> list[Any]:
    return [event.row[column] for event in events if not unknown(event.row[column])]


def exact_sum(values: list[Any]) -> Decimal:
    return sum((exact(value) for value in values), Decimal(0))


def total(args: Row, profile_id: str, world: World) -> bool:
    values = known_values(such_events_in_window(args, profile_id, world), args["column"])
    aggregate = args["aggregate"]
    result: Any
    if aggregate == "sum":
        result = exact_sum(values)
    elif aggregate == "distinct":
        result = len(set(values))
    elif not values:
        result = None
    elif aggregate == "average":
        # Reading: the exact sum, in double precision, divided by the number.
        result = float(exact_sum(values)) / len(values)
    elif aggregate == "min":
        result = min(values)
    elif aggregate == "max":
        result = max(values)
    else:
        raise ValueError(f"no such aggregate: {aggregate!r}")
    return passes(result, args["test"], args["value"], {}, world)


def first_time(args: Row, profile_id: str, world: World) -> bool:
    events = such_events(args, profile_id, world)
    return bool(events) and in_window(min(event.at for event in events), args, world)


def last_time(args: Row, profile_id: str, world: World) -> bool:
    events = such_events(args, profile_id, world)
    return bool(events) and in_window(max(event.at for event in events), args, world)


def one_at(events: list[Event], instant: datetime, where: list[Call] | None, world: World) -> bool:
    return any(
        event.at == instant and all(row_passes(test, event.row, world) for test in where or []) for event in events
    )


def first_was(args: Row, profile_id: str, world: World) -> bool:
    events = events_of(args["event"], None, args, profile_id, world)
    return bool(events) and one_at(events, min(event.at for event in events), args.get("where"), world)


def last_was(args: Row, profile_id: str, world: World) -> bool:
    events = events_of(args["event"], None, args, profile_id, world)
    return bool(events) and one_at(events, max(event.at for event in events), args.get("where"), world)


def same_value(one: Event, other: Event, column: str | None) -> bool:
    if column is None:
        return True
    if unknown(one.row[column]) or unknown(other.row[column]):
        return False
    return one.row[column] == other.row[column]


def follows(first: Event, second: Event, args: Row) -> bool:
    """Strictly later, at most `within` later, with the same value if that is asked."""
    if not second.at > first.at:
        return False
    if args.get("within") is not None and not second.at - first.at <= length(args["within"]).time:
        return False
    return same_value(first, second, args.get("same"))


def then(args: Row, profile_id: str, world: World) -> bool:
    firsts = events_of(args["first"], args.get("where_first"), args, profile_id, world)
    seconds = events_of(args["second"], args.get("where_second"), args, profile_id, world)
    return any(
        in_window(first.at, args, world, "started_") and follows(first, second, args)
        for first in firsts
        for second in seconds
    )


def then_not(args: Row, profile_id: str, world: World) -> bool:
    firsts = events_of(args["first"], args.get("where_first"), args, profile_id, world)
    seconds = events_of(args["second"], args.get("where_second"), args, profile_id, world)
    within = None if args.get("within") is None else length(args["within"]).time
    same = args.get("same")

    def came(first: Event, second: Event) -> bool:
        # Reading: `first` itself is at its instant, so that it counts if it is a `second` too.
        if second.at < first.at:
            return False
        # Reading: `within` is what it is for `then`: a second exactly that much later still came in time.
        if within is not None and second.at - first.at > within:
            return False
        return same_value(first, second, same)

    for first in firsts:
        if not in_window(first.at, args, world, "started_"):
            continue
        if same is not None and unknown(first.row[same]):
            continue
        if within is not None and first.at + within > world.as_of:
            continue
        if not any(came(first, second) for second in seconds):
            return True
    return False


def sequence(args: Row, profile_id: str, world: World) -> bool:
    steps: list[list[Event]] = []
    for step in args["steps"]:
        if isinstance(step, Call):
            assert step.name == "step"
            step_args = {"human": args.get("human", True)} | step.args
            steps.append(events_of(step.args["event"], step.args.get("where"), step_args, profile_id, world))
        else:
            steps.append(events_of(step, None, args, profile_id, world))

    def chain_from(event: Event, rest: list[list[Event]]) -> bool:
        if not rest:
            return True
        return any(follows(event, later, args) and chain_from(later, rest[1:]) for later in rest[0])

    same = args.get("same")
    return any(
        in_window(event.at, args, world, "started_")
        and (same is None or not unknown(event.row[same]))
        and chain_from(event, steps[1:])
        for event in steps[0]
    )


def regularly(args: Row, profile_id: str, world: World) -> bool:
    period = whole_days(args.get("period", "7 days"))
    with_event = [
        back
        for back in range(args["of"])
        if such_events_between(args, (back + 1) * period, back * period, profile_id, world)
    ]
    return len(with_event) >= args["at_least"]


def stopped(args: Row, profile_id: str, world: World) -> bool:
    active, silent = whole_days(args.get("active", "90 days")), whole_days(args.get("silent", "30 days"))
    before = such_events_between(args, silent + active, silent, profile_id, world)
    lately = such_events_between(args, silent, 0, profile_id, world)
    return len(before) > 0 and len(lately) == 0


def restarted(args: Row, profile_id: str, world: World) -> bool:
    recent, silent = whole_days(args.get("recent", "7 days")), whole_days(args.get("silent", "60 days"))
    lately = such_events_between(args, recent, 0, profile_id, world)
    pause = such_events_between(args, recent + silent, recent, profile_id, world)
    before = such_events_between(args, None, recent + silent, profile_id, world)
    return len(lately) > 0 and len(pause) == 0 and len(before) > 0


def trend(args: Row, profile_id: str, world: World) -> bool:
    period = whole_days(args.get("period", "30 days"))
    aggregate = args.get("aggregate", "count")

    def amount(events: list[Event]) -> Decimal:
        if aggregate == "count":
            return Decimal(len(events))
        if aggregate == "sum":
            return exact_sum(known_values(events, args["column"]))
        raise ValueError(f"no such aggregate: {aggregate!r}")

    now = amount(such_events_between(args, period, 0, profile_id, world))
    before = amount(such_events_between(args, 2 * period, period, profile_id, world))
    # Reading: a sum of 0 in the period before is nothing, also if there were events.
    ratio = None if before == 0 else float(now) / float(before)
    return passes(ratio, args["test"], args["value"], {}, world)


# --- conditions on everybody else -------------------------------------------------------------------------------------


def compared_people(args: Row, world: World) -> dict[str, Any]:
    """The people whose property is known and who satisfy `among`, with its value."""
    found = {}
    for profile_id, person in world.people.items():
        value = person.get(args["property"])
        if not unknown(value) and all(holds(one, profile_id, world) for one in args.get("among") or []):
            found[profile_id] = value
    return found


def percent_holds(args: Row, profile_id: str, world: World, top: bool) -> bool:
    people = compared_people(args, world)
    if profile_id not in people:
        return False
    own = people[profile_id]
    ahead = [value for value in people.values() if (value > own if top else value < own)]
    return Fraction(len(ahead), len(people)) < Fraction(exact(args["percent"])) / 100


def in_order(people: dict[str, Any], highest_first: bool) -> list[str]:
    """By value, equals by `md5(profile_id)`."""
    by_md5 = sorted(people, key=md5_text)
    return sorted(by_md5, key=lambda one: people[one], reverse=highest_first)  # stable, also in reverse


def top_percent(args: Row, profile_id: str, world: World) -> bool:
    return percent_holds(args, profile_id, world, True)


def bottom_percent(args: Row, profile_id: str, world: World) -> bool:
    return percent_holds(args, profile_id, world, False)


def top_n(args: Row, profile_id: str, world: World) -> bool:
    return profile_id in in_order(compared_people(args, world), True)[: args["n"]]


def bottom_n(args: Row, profile_id: str, world: World) -> bool:
    return profile_id in in_order(compared_people(args, world), False)[: args["n"]]


def n_of(args: Row, profile_id: str, world: World) -> bool:
    return sum(holds(one, profile_id, world) for one in args["conditions"]) >= args["n"]


def all_of(args: Row, profile_id: str, world: World) -> bool:
    return all(holds(one, profile_id, world) for one in args["conditions"])


def any_of(args: Row, profile_id: str, world: World) -> bool:
    return any(holds(one, profile_id, world) for one in args["conditions"])


def none_of(args: Row, profile_id: str, world: World) -> bool:
    return not any(holds(one, profile_id, world) for one in args["conditions"])


# --- conditions on membership and its history -------------------------------------------------------------------------


def in_segment(args: Row, profile_id: str, world: World) -> bool:
    return profile_id in world.memberships.get(args["name"], set())


def stays(name: str | None, profile_id: str, world: World) -> list[tuple[datetime, datetime | None]]:
    """When she entered and left, as recorded before `as_of`."""
    found = []
    for row in world.membership_history:
        if row["profile_id"] != profile_id or row["segment_name"] != name:
            continue
        if row["entered_at"] >= world.as_of:
            continue
        left_at = row["left_at"]
        found.append((row["entered_at"], None if left_at is not None and left_at >= world.as_of else left_at))
    return found


def entered(args: Row, profile_id: str, world: World) -> bool:
    return any(
        within_last(entered_at, args["within"], world) for entered_at, _ in stays(args["name"], profile_id, world)
    )


def left(args: Row, profile_id: str, world: World) -> bool:
    return any(
        left_at is not None and within_last(left_at, args["within"], world)
        for _, left_at in stays(args["name"], profile_id, world)
    )


def has_been_in(args: Row, profile_id: str, world: World) -> bool:
    # Reading: a recorded departure is a break, also if the next entry is at the same instant.
    return any(
        left_at is None and at_least_that_old(entered_at, args["at_least"], world)
        for entered_at, left_at in stays(args["name"], profile_id, world)
    )


def was_in(args: Row, profile_id: str, world: World) -> bool:
    beginning = beginning_of(date.fromisoformat(args["on"]), world.time_zone)
    # Reading: where she will be at the beginning of a day that has not begun is not known.
    if beginning >= world.as_of:
        return False
    # Reading: she is in from the instant of the entry on, until just before that of the departure.
    return any(
        entered_at <= beginning and (left_at is None or beginning < left_at)
        for entered_at, left_at in stays(args["name"], profile_id, world)
    )


def has_been_in_stage(args: Row, profile_id: str, world: World) -> bool:
    recorded = [
        row
        for row in world.transitions
        if row["profile_id"] == profile_id
        and row["vocabulary"] == args["vocabulary"]
        and row["transitioned_at"] < world.as_of
    ]
    if not recorded:
        return False
    newest = max(row["transitioned_at"] for row in recorded)
    # Reading: if several are the newest, one of them must lead there.
    return at_least_that_old(newest, args["at_least"], world) and any(
        row["transitioned_at"] == newest and row["to_stage"] == args["stage"] for row in recorded
    )


def hysteresis(args: Row, profile_id: str, world: World) -> bool:
    if holds(args["enter"], profile_id, world):
        return True
    was_member = any(left_at is None for _, left_at in stays(world.own_segment, profile_id, world))
    return was_member and not holds(args["leave"], profile_id, world)


# --- everything -------------------------------------------------------------------------------------------------------


CONDITIONS: dict[str, Callable[[Row, str, World], bool]] = {
    function.__name__: function
    for function in (
        prop,
        interested_in,
        anniversary,
        random_share,
        can_receive,
        did,
        did_not,
        total,
        first_time,
        last_time,
        first_was,
        last_was,
        then,
        then_not,
        sequence,
        regularly,
        stopped,
        restarted,
        trend,
        top_percent,
        bottom_percent,
        top_n,
        bottom_n,
        n_of,
        all_of,
        any_of,
        none_of,
        in_segment,
        entered,
        left,
        has_been_in,
        was_in,
        has_been_in_stage,
        hysteresis,
    )
}


def holds(condition: Call, profile_id: str, world: World) -> bool:
    """Whether a condition is true of a person."""
    return CONDITIONS[condition.name](condition.args, profile_id, world)


def members(definition: dict[str, Any], world: World) -> set[str]:
    """The members of a segment: `all_of`, `any_of`, `none_of`, and its options `capacity`, `by`, `smallest_first`."""
    found = []
    for profile_id in world.people:
        if not all(holds(one, profile_id, world) for one in definition.get("all_of") or []):
            continue
        if definition.get("any_of") and not any(holds(one, profile_id, world) for one in definition["any_of"]):
            continue
        if any(holds(one, profile_id, world) for one in definition.get("none_of") or []):
            continue
        found.append(profile_id)
    capacity = definition.get("capacity")
    if capacity is None:
        return set(found)
    values = {profile_id: world.people[profile_id].get(definition["by"]) for profile_id in found}
    ranked = in_order(
        {profile_id: value for profile_id, value in values.items() if not unknown(value)},
        not definition.get("smallest_first", False),
    )
    ranked += sorted((profile_id for profile_id, value in values.items() if unknown(value)), key=md5_text)
    return set(ranked[:capacity])
