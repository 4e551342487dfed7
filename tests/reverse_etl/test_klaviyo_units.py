"""The Klaviyo destination's parts by themselves: payloads, standings, tokens, import errors, filters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.destination import FieldSpec, Record
from reverse_etl.destinations.klaviyo import Klaviyo
from reverse_etl.destinations.klaviyo_answers import Standing, instant, outcome_of_error, position_of, standing_of
from reverse_etl.destinations.klaviyo_client import filters
from reverse_etl.destinations.klaviyo_jobs import Token, hash_of
from reverse_etl.destinations.klaviyo_payload import empties, import_job, name_problem, profile, size, value_problem
from reverse_etl.errors import DestinationConfigError, RejectedClass, without_secrets
from reverse_etl.limits import limit
from tests.reverse_etl.klaviyo_world import KlaviyoWorld


def test_own_attributes_and_custom_properties() -> None:
    fields = {"first_name": "A", "location.city": "Köln", "location.zip": "", "city": "x", "score": 3, "gone": ""}
    record = Record("k", "Ann@Shop.test", fields)
    assert profile(record) == {
        "type": "profile",
        "attributes": {
            "email": "ann@shop.test",
            "first_name": "A",
            "location": {"city": "Köln"},
            "properties": {"city": "x", "score": 3},
        },
    }
    with_nulls = profile(record, with_nulls=True)["attributes"]
    assert (with_nulls["location"], with_nulls["properties"]) == (
        {"city": "Köln", "zip": None},
        {"city": "x", "score": 3, "gone": None},
    )
    assert empties(record)
    assert not empties(Record("k", "a@shop.test", {"score": 0, "flag": False}))


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=5), st.integers(1, 4))
def test_the_size_of_a_batch_is_the_sum_of_its_records(fields: dict[str, str], n: int) -> None:
    """What the engine packs by is what httpx sends, but for the envelope."""
    record = Record("k", "a@shop.test", {k: v or "x" for k, v in fields.items()})
    sent = httpx.Request("POST", "http://x", json=import_job([record] * n)).content
    envelope = httpx.Request("POST", "http://x", json=import_job([])).content
    assert len(sent) == len(envelope) + n * size(record) - 1


@pytest.mark.parametrize(
    ("key", "kind", "problem"),
    [
        ("first_name", "text", None),
        ("location.city", "text", None),
        ("location.latitude", "number", None),
        ("city", "text", None),
        ("Preferred brand", "number", None),
        ("first_name", "number", "takes text"),
        ("location.town", "text", "not a part of a location"),
        ("location", "text", "Klaviyo's own"),
        ("email", "text", "Klaviyo's own"),
        ("external_id", "text", "Klaviyo's own"),
        ("subscriptions", "text", "Klaviyo's own"),
        ("$consent", "text", "Klaviyo's own"),
        (" x", "text", "not a name"),
        ("", "text", "not a name"),
        ("a\nb", "text", "not a name"),
        ("x" * 129, "text", "more than 128"),
    ],
)
def test_names(key: str, kind: str, problem: str | None) -> None:
    found = name_problem(FieldSpec(key, key, kind))
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_numbers_that_json_does_not_have_are_refused(klaviyo_world: KlaviyoWorld) -> None:
    assert value_problem(Record("k", "a@shop.test", {"ok": 1.5, "bad": float("nan")})) == (
        "bad: not a number that JSON has."
    )
    target = klaviyo_world.destination()
    records = [Record("a", "a@shop.test", {"x": float("inf")}), Record("b", "b@shop.test", {"x": 1.0})]
    outcome = target.upsert("update", records)
    assert (outcome.of("a").rejected_class, outcome.of("b").kind) == (RejectedClass.DATA, "accepted")
    target.close()


AT = "2026-03-01T10:00:00+00:00"
WHEN = datetime(2026, 3, 1, 10)


def _attributes(consent: str | None, suppression: Any = None, **more: Any) -> dict[str, Any]:
    marketing = {"consent": consent, "suppression": suppression, "can_receive_email_marketing": not suppression, **more}
    return {"email": "a@shop.test", "subscriptions": {"email": {"marketing": marketing}}}


def _because(*reasons: str) -> list[dict[str, str]]:
    return [{"reason": reason, "timestamp": AT} for reason in reasons]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (_attributes("SUBSCRIBED"), Standing("subscribed")),
        (_attributes("SUBSCRIBED", []), Standing("subscribed")),
        (_attributes("NEVER_SUBSCRIBED"), Standing("never_subscribed")),
        (_attributes("UNSUBSCRIBED", consent_timestamp=AT), Standing("unsubscribed", WHEN)),
        (_attributes("SUBSCRIBED", _because("UNSUBSCRIBE")), Standing("unsubscribed", WHEN)),
        (_attributes("SUBSCRIBED", _because("SPAM_COMPLAINT")), Standing("unsubscribed", WHEN)),
        (_attributes("NEVER_SUBSCRIBED", _because("USER_SUPPRESSED")), Standing("unsubscribed", WHEN)),
        (_attributes("SUBSCRIBED", _because("HARD_BOUNCE")), Standing("cleaned", WHEN)),
        (_attributes("NEVER_SUBSCRIBED", _because("INVALID_EMAIL")), Standing("cleaned", WHEN)),
        (_attributes("SUBSCRIBED", _because("HARD_BOUNCE", "UNSUBSCRIBE")), Standing("unsubscribed", WHEN)),
        (_attributes("SUBSCRIBED", _because("MOON_PHASE")), Standing("suppressed")),
        (_attributes("SUBSCRIBED", can_receive_email_marketing=False), Standing("suppressed")),
        (_attributes("PERHAPS"), Standing("unknown")),
        (_attributes(None), Standing("unknown")),
        ({"email": "a@shop.test"}, Standing("unknown")),
        ({"email": "a@shop.test", "subscriptions": {"email": None}}, Standing("unknown")),
        (
            _attributes("SUBSCRIBED", list_suppressions=[{"list_id": "L", "reason": "UNSUBSCRIBE", "timestamp": AT}]),
            Standing("unsubscribed", WHEN),
        ),
        (
            _attributes("SUBSCRIBED", list_suppressions=[{"list_id": "M", "reason": "UNSUBSCRIBE", "timestamp": AT}]),
            Standing("subscribed"),
        ),
    ],
)
def test_standings(attributes: dict[str, Any], expected: Standing) -> None:
    assert standing_of(attributes, "L") == expected


def test_instants() -> None:
    assert instant(AT) == instant("2026-03-01T12:00:00+02:00") == instant("2026-03-01T10:00:00") == WHEN
    assert instant(None) is None
    assert instant("") is None


@pytest.mark.parametrize(
    "token",
    [Token("import", ("A",)), Token("import", ("A", "B")), Token("subscribe", ("A",), 5), Token("lower", (), 7)],
)
def test_tokens_come_back(token: Token) -> None:
    assert Token.parse(str(token)) == token


@pytest.mark.parametrize(
    ("pointer", "at"),
    [
        ("/data/attributes/profiles/data/7/attributes/email", 7),
        ("/data/attributes/profiles/data/0", 0),
        ("/data/12", 12),
        ("/data/attributes/profiles", None),
        ("/data/relationships/lists/data/0/id", None),
        ("", None),
    ],
)
def test_positions(pointer: str, at: int | None) -> None:
    assert position_of({"source": {"pointer": pointer}}) == at


def test_errors_are_data_unless_they_pass() -> None:
    bad = {"code": "invalid", "title": "Invalid input.", "detail": "ann@shop.test is no address."}
    outcome = outcome_of_error(bad, without_secrets)
    assert (outcome.rejected_class, "@" in outcome.message) == (RejectedClass.DATA, False)
    later = {"code": "error", "title": "Internal error", "detail": "Please try again."}
    assert outcome_of_error(later, without_secrets).rejected_class is RejectedClass.RETRYABLE


@given(st.lists(st.emails(), max_size=250, unique=True))
def test_filters_name_everybody_once_and_stay_short(emails: list[str]) -> None:
    made = list(filters(emails))
    named = [email for one in made for email in json.loads(one.removeprefix("any(email,").removesuffix(")"))]
    assert named == emails
    for one in made:
        query = httpx.QueryParams({"filter": one})
        assert len(str(query)) <= limit("klaviyo", "filter_bytes") + 40
        assert len(json.loads(one.removeprefix("any(email,").removesuffix(")"))) <= 100


# import errors, against answers made by hand


class Answers(httpx.BaseTransport):
    """Answers by path; what is not named does not exist."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api")
        if path not in self.answers:
            return httpx.Response(404, json={"errors": []})
        return httpx.Response(200, json=self.answers[path])


def _job(status: str = "complete", total: int = 3) -> dict[str, Any]:
    return {"data": {"id": "J", "attributes": {"status": status, "total_count": total}}}


def _error(at: int | None = None, email: str | None = None, inner: bool = True) -> dict[str, Any]:
    payload = None if email is None else ({"attributes": {"email": email}} if inner else {"email": email})
    pointer = "/data" if at is None else f"/data/attributes/profiles/data/{at}/attributes/email"
    detail = {"code": "invalid", "title": "Invalid", "detail": "no", "source": {"pointer": pointer}}
    return {"type": "import-error", "id": "E", "attributes": {**detail, "original_payload": payload}}


def _poll(
    errors: list[dict[str, Any]], *, job: dict[str, Any] | None = None, done: tuple[str, ...] = (), n: int = 3
) -> Any:
    base = "/profile-bulk-import-jobs/J"
    answers = {
        base: job or _job(),
        f"{base}/import-errors": {"data": errors},
        f"{base}/profiles": {"data": [{"id": e, "attributes": {"email": e}} for e in done]},
    }
    target = Klaviyo("pk", "L1", base_url="http://127.0.0.1:9/api", transport=Answers(answers), sleep=lambda _: None)
    records = [Record(f"k{i}", "", subscriber_hash=hash_of(f"p{i}@shop.test")) for i in range(n)]
    outcome = target.poll("import:J", "update", records)
    target.close()
    return outcome and {r.key: outcome.of(r.key).kind for r in records}


GOOD = {"k0": "confirmed", "k1": "confirmed", "k2": "confirmed"}


@pytest.mark.parametrize("inner", [True, False])
def test_import_errors_by_address(inner: bool) -> None:
    assert _poll([_error(0, "P1@shop.test", inner)]) == {**GOOD, "k1": "rejected"}


def test_import_errors_by_position_only_where_the_batch_is_whole() -> None:
    assert _poll([_error(2)]) == {**GOOD, "k2": "rejected"}
    # one of the batch is not in it any more, so positions mean nothing: the job's profiles say who was done
    assert _poll([_error(1)], job=_job(total=4), done=("p0@shop.test", "p1@shop.test")) == {**GOOD, "k2": "rejected"}


def test_import_errors_that_name_nobody_confirm_nobody_else() -> None:
    assert _poll([_error()], done=("p0@shop.test",)) == {"k0": "confirmed", "k1": "rejected", "k2": "rejected"}
    assert _poll([_error(None, "stranger@shop.test")]) == GOOD


@pytest.mark.parametrize(("status", "expected"), [("queued", None), ("processing", None), ("complete", GOOD)])
def test_states_of_a_job(status: str, expected: Any) -> None:
    assert _poll([], job=_job(status)) == expected


@pytest.mark.parametrize(
    "counts",
    [{}, {"failed_count": 1, "completed_count": 2}, {"failed_count": None, "completed_count": None},
     {"failed_count": 0, "completed_count": 2}, {"failed_count": 0, "completed_count": None},
     {"failed_count": None, "completed_count": 3}],
)  # fmt: skip
def test_errors_are_asked_for_unless_a_job_is_sure_that_there_are_none(counts: dict[str, Any]) -> None:
    """Its counts may be null [specification], and one that is still at its default says nothing."""
    job = _job()
    job["data"]["attributes"] |= counts
    assert _poll([_error(0, "p1@shop.test")], job=job) == {**GOOD, "k1": "rejected"}


def test_a_job_that_did_everybody_is_not_asked_for_errors() -> None:
    job = _job()
    job["data"]["attributes"] |= {"failed_count": 0, "completed_count": 3}
    assert _poll([_error(0, "p1@shop.test")], job=job) == GOOD


def _row(name: str, status: str = "complete", failed: int | None = 0, completed: int | None = 2) -> dict[str, Any]:
    counts = {"total_count": 2, "failed_count": failed, "completed_count": completed}
    return {"id": name, "attributes": {"status": status, **counts}}


@pytest.fixture
def listing() -> Iterator[Klaviyo]:
    """A: done; B: under way; C, D and E: not to be believed without a look; F is not in the list."""
    rows = [_row("A"), _row("B", "processing"), _row("C", failed=1), _row("D", completed=None), _row("E", "cancelled")]
    answers = {"/profile-bulk-import-jobs": {"data": [*rows, _row("THEIRS", "queued")]}}
    target = Klaviyo("pk", "L1", base_url="http://127.0.0.1:9/api", transport=Answers(answers), sleep=lambda _: None)
    yield target
    target.close()


def test_imports_that_are_listed_as_under_way_need_no_look(listing: Klaviyo) -> None:
    assert listing.still_running(["import:A", "import:A,B", "import:F", "subscribe:B:5", "lower::5"]) == {"import:A,B"}
    assert listing.traffic.requests == 1
    assert listing.still_running(["subscribe:B:5"]) == set()
    assert listing.traffic.requests == 1


@pytest.mark.parametrize(("name", "requests"), [("A", 0), ("C", 1), ("D", 1), ("E", 1), ("F", 1)])
def test_an_import_that_is_listed_as_done_is_not_asked_about_again(listing: Klaviyo, name: str, requests: int) -> None:
    """Whoever is not listed as flawless is asked about: here the vendor knows none of them any more."""
    listing.still_running([f"import:{name}"])
    before = listing.traffic.requests
    outcome = listing.poll(f"import:{name}", "update", [Record("k", "", subscriber_hash=hash_of("p@shop.test"))])
    assert listing.traffic.requests - before == requests
    assert outcome is not None
    assert outcome.of("k").kind == ("in_doubt" if requests else "confirmed")


def test_a_job_that_was_called_off_confirms_whom_it_had_done() -> None:
    found = _poll([], job=_job("cancelled"), done=("p2@shop.test",))
    assert found == {"k0": "rejected", "k1": "rejected", "k2": "confirmed"}


@pytest.mark.parametrize("job", ["import:X", "import:", "subscribe:X:5", "nonsense"])
def test_a_job_that_is_not_known_leaves_doubt(job: str) -> None:
    target = Klaviyo("pk", "L1", base_url="http://127.0.0.1:9/api", transport=Answers({}), sleep=lambda _: None)
    record = Record("k", "a@shop.test" if job == "nonsense" else "", subscriber_hash=hash_of("a@shop.test"))
    outcome = target.poll(job, "create", [record])
    target.close()
    assert outcome is not None
    assert outcome.of("k").kind == "in_doubt"


@pytest.fixture
def slow_world(klaviyo_world: KlaviyoWorld) -> KlaviyoWorld:
    klaviyo_world.twin.door.worker.polls = 10**6
    return klaviyo_world


def test_a_subscription_that_is_never_taken_ends_as_refused(slow_world: KlaviyoWorld) -> None:
    world = slow_world
    world.twin.put("a@shop.test", "NEVER_SUBSCRIBED")
    target = world.destination()
    record = Record("k", "a@shop.test", subscriber_hash=hash_of("a@shop.test"))
    job = str(Token("subscribe", ("IMP1",), int(world.clock.now)))
    assert target.poll(job, "create", [record]) is None
    world.clock.now += 25 * 3600
    outcome = target.poll(job, "create", [record])
    target.close()
    assert outcome is not None
    assert outcome.of("k").rejected_class is RejectedClass.CONSENT


def test_imports_under_way_are_waited_for_and_not_for_ever(slow_world: KlaviyoWorld) -> None:
    """An import whose id nobody wrote down could overwrite what is sent now."""
    world = slow_world
    lost = world.destination()
    lost.upsert("update", [Record("k", "a@shop.test", {"mw_city": "old"})])
    lost.close()
    target = world.destination()
    record = Record("k", "a@shop.test", {"mw_city": ""})
    assert target.upsert("update", [record]).of("k").rejected_class is RejectedClass.RETRYABLE
    assert sum(world.clock.naps) >= 600
    target.close()
    world.twin.door.worker.polls = 0
    world.twin.store._run("update jobs set polls_left = 3")
    target = world.destination()
    assert target.upsert("update", [record]).of("k").kind == "confirmed"
    target.close()
    assert world.twin.city("a@shop.test") is None


def test_a_profile_that_is_gone_costs_the_others_no_segment(klaviyo_world: KlaviyoWorld) -> None:
    world = klaviyo_world
    people = [world.twin.put(f"p{n}@shop.test") for n in range(5)]
    world.twin.store.drop_profile("p3@shop.test")
    list_id = world.twin.store.add_list("mw:vip", "double_opt_in")
    target = world.destination()
    records = [Record(f"k{n}", p.email or "", {}, p.id) for n, p in enumerate(people)]
    unseen = Record("k9", "new@shop.test")
    outcome = target.set_membership(list_id, "add", [*records, unseen])
    assert world.twin.store.inside(list_id) == {f"p{n}@shop.test" for n in (0, 1, 2, 4)}
    assert {r.key: outcome.of(r.key).rejected_class for r in (records[3], unseen)} == dict.fromkeys(
        ("k3", "k9"), RejectedClass.RETRYABLE
    )
    gone = target.set_membership(list_id, "remove", records)
    assert {gone.of(r.key).kind for r in records} == {"confirmed"}
    world.twin.store.drop_list(list_id)
    assert isinstance(target.set_membership(list_id, "add", records).stop, DestinationConfigError)
    target.close()


def test_an_update_that_brings_somebody_into_being_is_counted(klaviyo_world: KlaviyoWorld) -> None:
    target = klaviyo_world.destination()
    outcome = target.upsert("clear", [Record("k", "deleted@shop.test", {"mw_city": ""})])
    target.close()
    assert (outcome.of("k").kind, outcome.unexpected) == ("confirmed", 1)
