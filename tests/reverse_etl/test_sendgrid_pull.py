"""What a look at the account brings: contacts of an export joined with suppressions, and suppressions alone."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from reverse_etl.destination import RemoteMember
from reverse_etl.errors import DestinationDown
from reverse_etl.limits import limit
from sandbox.twins import sendgrid_rules
from sandbox.twins.sendgrid_store import Contact
from tests.reverse_etl.sendgrid_world import SendGridWorld
from tests.reverse_etl.world import Person, hash_of


def _pull(world: SendGridWorld, since: datetime | None = None, fields: tuple[str, ...] = ()) -> list[RemoteMember]:
    target = world.destination()
    target.missing_fields([])
    pages = list(target.pull_members(since=since, fields=fields))
    target.close()
    assert all(0 < len(page) <= 1000 for page in pages)
    return [member for page in pages for member in page]


def _at(instant: datetime) -> int:
    return int(instant.replace(tzinfo=UTC).timestamp())


def test_contacts_and_suppressions_are_joined(sendgrid: SendGridWorld) -> None:
    twin = sendgrid.twin
    then = datetime(2026, 1, 2, 3, 4, 5)
    for name in ("free", "left", "spam", "hard", "typo", "both"):
        twin.put(f"{name}@shop.test")
    twin.store.suppress("unsubscribes", "left@shop.test", created=_at(then))
    twin.store.suppress("spam_reports", "spam@shop.test", created=_at(then))
    twin.store.suppress("bounces", "hard@shop.test", created=_at(then))
    twin.store.suppress("invalid_emails", "typo@shop.test", created=_at(then))
    twin.store.suppress("unsubscribes", "both@shop.test", created=_at(then - timedelta(days=9)))
    twin.store.suppress("spam_reports", "both@shop.test", created=_at(then - timedelta(days=2)))
    twin.store.suppress("bounces", "both@shop.test", created=_at(then))
    twin.store.suppress("unsubscribes", "gone@shop.test", created=_at(then))
    found = {member.email: member for member in _pull(sendgrid)}
    assert {email: member.status for email, member in found.items()} == {
        "free@shop.test": "subscribed",
        "left@shop.test": "unsubscribed",
        "spam@shop.test": "unsubscribed",
        "hard@shop.test": "cleaned",
        "typo@shop.test": "cleaned",
        "both@shop.test": "unsubscribed",
        "gone@shop.test": "unsubscribed",
    }
    free, both, gone = found["free@shop.test"], found["both@shop.test"], found["gone@shop.test"]
    contact = twin.contact("free@shop.test")
    assert contact is not None
    assert free.remote_id == contact.id
    assert free.subscriber_hash == hash_of("free@shop.test")
    assert free.last_changed_at == datetime.fromisoformat(contact.updated_at).replace(tzinfo=None)
    assert both.last_changed_at == then - timedelta(days=2)  # her own word's, not the bounce's
    assert [m.email for m in found.values() if not m.is_counted] == ["gone@shop.test"]
    assert (gone.remote_id, gone.last_changed_at) == (None, then)
    target = sendgrid.destination()
    assert target.count_members() == sum(m.is_counted for m in found.values())
    target.close()


def test_a_look_since_an_instant_sees_suppressions_alone_with_an_overlap(sendgrid: SendGridWorld) -> None:
    twin = sendgrid.twin
    since = datetime(2026, 1, 2, 3, 4, 5)
    overlap = timedelta(seconds=limit("sendgrid", "suppression_overlap_seconds"))
    contact = twin.put("new@shop.test", city="Köln")
    twin.put("free@shop.test")
    twin.store.suppress("unsubscribes", "new@shop.test", created=_at(since + timedelta(seconds=1)))
    twin.store.suppress("bounces", "late@shop.test", created=_at(since - overlap))
    twin.store.suppress("bounces", "old@shop.test", created=_at(since - overlap) - 1)
    found = {member.email: member for member in _pull(sendgrid, since, ("city",))}
    assert found.keys() == {"new@shop.test", "late@shop.test"}
    assert found["new@shop.test"].remote_id == contact.id
    assert found["new@shop.test"].is_counted
    assert found["new@shop.test"].fields == {"city": "Köln"}
    assert not found["late@shop.test"].is_counted


def test_who_leaves_while_the_export_is_made_is_not_missed(sendgrid: SendGridWorld) -> None:
    sendgrid.twin.put("ann@shop.test")
    target = sendgrid.destination()
    target._api.http._sleep = lambda _: sendgrid.twin.store.suppress("unsubscribes", "ann@shop.test")
    found = [member for page in target.pull_members() for member in page]
    target.close()
    assert [member.status for member in found] == ["unsubscribed"]


def test_a_suppression_without_a_date_is_one(sendgrid: SendGridWorld) -> None:
    """Nothing of a bounce is promised [specification]."""
    sendgrid.twin.put("ann@shop.test")
    target = sendgrid.destination()
    real = target._api.ask

    def ask(method: str, path: str, **options: object) -> object:
        undated = [{"email": "ann@shop.test"}] if path.endswith("/bounces") else None
        return undated or real(method, path, **options)

    target._api.ask = ask
    found = [member for page in target.pull_members() for member in page]
    target.close()
    assert [(member.status, member.last_changed_at) for member in found] == [("cleaned", None)]


def test_a_further_address_of_a_contact_is_not_the_contact(sendgrid: SendGridWorld) -> None:
    """The vendor finds a contact by any of her addresses; ours is the primary one."""
    contact = sendgrid.twin.put("main@shop.test")
    target = sendgrid.destination()
    shown = {**sendgrid_rules.shown(sendgrid.twin.store, contact), "alternate_emails": ["other@shop.test"]}
    target._api.send = lambda *_, **__: (200, {"result": {"other@shop.test": {"contact": shown}}})
    assert target._api.look_up(["other@shop.test"]) == {}
    assert target._api.look_up(["main@shop.test"]).keys() == {hash_of("main@shop.test")}
    target.close()


def test_a_suppressed_address_that_is_no_address_does_not_hide_the_others(sendgrid: SendGridWorld) -> None:
    """One that the vendor calls invalid refuses a whole lookup: it is halved."""
    sendgrid.twin.put("real@shop.test")
    target = sendgrid.destination()
    emails = ["no address", *(f"p{n}@shop.test" for n in range(98)), "real@shop.test"]
    assert target._api.look_up(emails).keys() == {hash_of("real@shop.test")}
    target.close()


@pytest.mark.parametrize("file_type", ["csv", "json"])
def test_files_of_either_form_and_any_number(
    sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch, file_type: str
) -> None:
    """Names with commas, quotes and line breaks; 25 contacts in three compressed files, a page per file."""
    twin = sendgrid.twin
    twin.store.contacts_per_file = 10
    field = twin.store.add_field("mw_city", "Text")
    for n in range(25):
        names = {"first_name": f'Zoë "{n}",\nthe 2nd'}
        twin.store.put_contact(Contact(f"p{n}@shop.test", names, {field["id"]: "" if n == 3 else f"C{n}"}))
    real = sendgrid_rules.export_files
    monkeypatch.setattr(sendgrid_rules, "export_files", lambda store, _: real(store, file_type))
    found = {m.email: m for m in _pull(sendgrid, fields=("first_name", "mw_city"))}
    assert len(found) == 25
    assert found["p7@shop.test"].fields == {"first_name": 'Zoë "7",\nthe 2nd', "mw_city": "C7"}
    assert found["p3@shop.test"].fields == {"first_name": 'Zoë "3",\nthe 2nd', "mw_city": ""}


def test_who_has_no_address_is_counted_and_nobody_of_ours(sendgrid: SendGridWorld) -> None:
    sendgrid.twin.store.put_contact(Contact(None, identifiers={"phone_number_id": "+4912345"}))
    sendgrid.twin.put("ann@shop.test")
    found = _pull(sendgrid)
    assert len(found) == 2
    assert [m.subscriber_hash[:3] for m in found if not m.email] == ["id:"]
    sendgrid.desire(Person("ann@shop.test", "subscribe"))
    assert sendgrid.sync().is_complete
    pulls = len(sendgrid.rows("select * from ledger.remote_pulls"))
    sendgrid.sync()
    assert len(sendgrid.rows("select * from ledger.remote_pulls")) == pulls + 1  # counts agree: one look is enough


def _cut(content: bytes) -> bytes:
    return content[:-40]


def _garbled(content: bytes) -> bytes:
    return content[:30] + b"garbage" + content[37:]


def _one_less(content: bytes) -> bytes:
    return gzip.compress(b"\n".join(gzip.decompress(content).rstrip().split(b"\n")[:-1]))


@pytest.mark.parametrize("harm", [_cut, _garbled, _one_less])
def test_a_file_that_is_cut_off_is_no_account_with_fewer_people(
    sendgrid: SendGridWorld, monkeypatch: pytest.MonkeyPatch, harm: Callable[[bytes], bytes]
) -> None:
    """Nobody may be taken for deleted because a file was not whole."""
    people = [Person(f"p{n}@shop.test", "subscribe") for n in range(50)]
    sendgrid.desire(*people)
    sendgrid.sync()
    sendgrid.rows("delete from ledger.remote_pulls")
    real = sendgrid_rules.export_files
    monkeypatch.setattr(sendgrid_rules, "export_files", lambda *a: [harm(content) for content in real(*a)])
    with pytest.raises(DestinationDown, match="export of contacts cannot be used"):
        sendgrid.sync()
    assert sendgrid.rows("select count(*) from ledger.remote_members") == [(50,)]
    monkeypatch.setattr(sendgrid_rules, "export_files", real)
    assert sendgrid.sync().writes == 0


def test_an_export_that_does_not_come_is_one_error(sendgrid: SendGridWorld) -> None:
    sendgrid.twin.store.export_looks = 10_000
    sendgrid.desire(Person("ann@shop.test"))
    with pytest.raises(DestinationDown, match="not ready after 600 seconds"):
        sendgrid.sync()
    assert sum(sendgrid.naps) == limit("sendgrid", "export_patience_seconds")


def test_suppressions_and_lists_come_in_pages(sendgrid: SendGridWorld) -> None:
    twin = sendgrid.twin
    with twin.store:
        for n in range(1203):
            twin.store.suppress("unsubscribes", f"p{n}@shop.test", created=1_700_000_000 + n // 400)
        for n in range(1001):
            twin.store.add_list(f"mw:{n}")
        twin.store.add_list("theirs")
    assert len(_pull(sendgrid)) == 1203
    target = sendgrid.destination()
    assert len(target.list_segments("mw:")) == 1001
    target.close()
