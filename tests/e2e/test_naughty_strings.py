"""Strings that break software, as names, cities, addresses and products, through the whole job.

Real models, checks, HTTP and audience; a store of a few hundred people, one per string. What is stored is what was
given, what reaches a person is what is stored, and what is of no use is null.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli import pipeline
from cli.report.data import read_report_data
from cli.report.render import render_html
from ingest.emails import normalize_email
from reverse_etl.report import SyncReport
from sandbox.twins.mailchimp_store import DEFAULT_LIST, Member
from tests.dbt.names_oracle import greets
from tests.reverse_etl.world import API_KEY, TwinServer
from warehouse.connection import connect
from warehouse.settings import Settings

pytestmark = pytest.mark.e2e

NUL = ("nul\x00inside", "\x00")
"""A name with U+0000 is kept in the warehouse, and a blank stands for it in what is sent."""
HALF = "half \ud800 sign"
"""Half of a surrogate pair is no text: neither a Parquet nor a UTF-8 file can hold it, and a JSON line that escapes one
goes to quarantine."""
MOST_BYTES = 100
WIDE_AND_NARROW = "".join(map(chr, [0x20, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000]))
UNUSABLE_WORDS = {
    "undefined", "undef", "null", "NULL", "(null)", "nil", "NIL", "None", "NaN",
    "true", "True", "TRUE", "false", "False", "FALSE",
}  # fmt: skip
"""Of the list's words, those that are nobody's name (beside what holds a sign that no name has)."""
AS_OF = datetime(2026, 6, 1)


@dataclass(frozen=True)
class Sent:
    """The store after two syncs, and what the audience has."""

    settings: Settings
    texts: list[str]
    members: dict[str, Member]
    first: SyncReport
    second: SyncReport
    page: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.settings, read_only=True) as con:
            return con.execute(sql).fetchall()


def address_of(at: int) -> str:
    return f"person{at:04d}@inbox.example.com"


def _write_store(folder: Path, texts: list[str]) -> None:
    """The same strings through every reader: JSON lines, CSV, Parquet."""
    folder.mkdir()
    at = "2026-05-01 10:00:00"

    def lines(name: str, rows: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")

    everywhere = ["phone", "first_name", "last_name", "city", "country", "time_zone", "interests", "source", "referrer"]
    contacts = [
        {"contact_id": f"K{n:04d}", "email": address_of(n), "gender": None, "birth_year": None, "user_id": None}
        | dict.fromkeys(everywhere, text)
        | {"created_at": at, "updated_at": at}
        for n, text in enumerate([*texts, HALF])
    ]
    lines("crm_contacts", contacts)
    lines(
        "shop_products",
        [
            {"product_id": f"P{n:04d}", "product_name": text, "category": text, "price": "10.00", "currency": "EUR"}
            | {"product_url": f"https://shop.example.com/p/{n}", "image_url": f"https://cdn.example.com/{n}"}
            | {"stock_quantity": 100, "updated_at": at}
            for n, text in enumerate(texts)
        ],
    )
    # the address alone, and the string as its part before the @
    spoken_of = [
        address for n, text in enumerate(texts) for address in (address_of(n), f"{text}@post.example.net", text)
    ]
    lines(
        "consent_events",
        [
            {"consent_event_id": f"E{n}", "email": address, "channel": "email", "purpose": "newsletter"}
            | {"state": "granted", "source": "double_opt_in", "wording_version": "1"}
            | {"evidence": json.dumps({"page": address}), "occurred_at": at, "received_at": at}
            for n, address in enumerate(spoken_of)
        ],
    )
    lines(
        "web_events",
        [
            {"message_id": f"M{n}", "type": kind, "event": text, "anonymous_id": f"A{n}", "user_id": None}
            | {"timestamp": at, "sent_at": at, "received_at": at}
            | {"properties": json.dumps({"email": f"{text}@post.example.net", "url": text, "category": text})}
            | {"context": json.dumps({"campaign": {"name": text}, "device": {"id": text}})}
            for n, text in enumerate(texts)
            for kind in ["track" if n % 2 else "identify"]
        ],
    )

    def table(name: str, columns: str, rows: list[list[Any]]) -> None:
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns.split(), *rows])

    earlier = "2026-04-01 10:00:00"
    table(
        "shop_customers",
        "customer_id user_id email phone first_name last_name city country created_at updated_at",
        [[f"C{n:04d}", "", address_of(n), *[text] * 5, earlier, earlier] for n, text in enumerate(texts)],
    )
    table(
        "shop_orders",
        "order_id customer_id user_id email channel order_type status is_test country currency ordered_at "
        "original_order_id cancelled_at",
        [
            # more addresses that are none would stop the sync at the checks, and rightly
            [f"O{n:04d}", f"C{n:04d}", "", address if n % 3 else text, *typical, text, "EUR", at, "", ""]
            for typical in [["web", "sale", "placed", "false"]]
            for n, text in enumerate(texts)
            for address in [address_of(n)]
        ],
    )
    # everybody buys what is called like themselves, and what looks like markup or a template: that is recommended
    loved = [n for n, text in enumerate(texts) if any(sign in text for sign in ("<script", "{{", "${"))][:6]
    table(
        "shop_order_lines",
        "order_id line_number product_id description quantity unit_price created_at",
        [
            [f"O{n:04d}", position, f"P{product:04d}", texts[product], 1, "10.00", at]
            for n in range(len(texts))
            for position, product in enumerate([n, loved[n % len(loved)]], start=1)
        ],
    )
    texts_of = {
        "email": [f"{text}@post.example.net" for text in texts],
        **dict.fromkeys(["first_name", "interests", "form_id", "hidden_source", "hidden_referrer", "page_url"], texts),
    }
    signups = {
        "signup_id": pa.array([f"S{n}" for n in range(len(texts))]),
        **{name: pa.array(values, pa.string()) for name, values in texts_of.items()},
        "anonymous_id": pa.array([f"A{n}" for n in range(len(texts))]),
        "consent_newsletter": pa.array([True] * len(texts)),
        "consent_profiling": pa.array([False] * len(texts)),
        "wording_version": pa.array(["1"] * len(texts)),
        "submitted_at": pa.array([datetime(2026, 5, 2)] * len(texts), pa.timestamp("us")),
    }
    pq.write_table(pa.table(signups), folder / "newsletter_signups.parquet")


@pytest.fixture(scope="module")
def sent(shared_dir: Callable[[str], Path], one_place: Callable[[], Path]) -> Iterator[Sent]:
    naughty = json.loads(shared_dir("data/naughty_strings/blns.json").read_text(encoding="utf-8"))
    texts = [*naughty, *NUL]
    assert len(texts) > 500
    home = one_place()
    settings = Settings(home=home, target="prod", lock_timeout_seconds=30)
    _write_store(home / "files", texts)
    pipeline.load_files(settings, home / "files")
    pipeline.check_loads(settings)
    pipeline.pin(settings, AS_OF)
    pipeline.normalize(settings)
    pipeline.build_models(settings)
    pipeline.check_activation(settings)
    with TwinServer(home / "twin.sqlite") as twin, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAILCHIMP_API_KEY", API_KEY)
        patch.setenv("MAILCHIMP_LIST_ID", DEFAULT_LIST)
        patch.setenv("MAILCHIMP_BASE_URL", twin.url)
        first = pipeline.apply_sync(settings, "mailchimp", plan=pipeline.plan_sync(settings, "mailchimp"))
        second = pipeline.apply_sync(settings, "mailchimp")
        members, total = twin.store.members(DEFAULT_LIST)
        assert len(members) == total
        page = render_html(read_report_data(settings), {"mailchimp": second.to_dict()}, {})
        yield Sent(settings, texts, {member.email_address: member for member in members}, first, second, page)


@pytest.mark.parametrize(
    ("table", "key", "columns"),
    [
        ("crm_contacts", "contact_id", ("phone", "first_name", "last_name", "city", "country", "interests")),
        ("shop_customers", "customer_id", ("phone", "first_name", "last_name", "city", "country")),
        ("shop_products", "product_id", ("product_name", "category")),
        ("newsletter_signups", "cast(substr(signup_id, 2) as int)", ("first_name", "interests", "hidden_source")),
    ],
)
def test_what_is_loaded_is_what_was_given(sent: Sent, table: str, key: str, columns: tuple[str, ...]) -> None:
    rows = sent.rows(f"select {', '.join(columns)} from raw.{table} order by {key}")
    # an empty field of a CSV is null, as docs/loading.md says
    expected = [None if table == "shop_customers" and text == "" else text for text in sent.texts]
    for at, column in enumerate(columns):
        assert [row[at] for row in rows] == expected, column


def test_half_a_sign_goes_to_quarantine_and_nothing_else_does(sent: Sent) -> None:
    assert sent.rows("select table_name, line_number, reason from raw.quarantine") == [
        ("crm_contacts", len(sent.texts) + 1, "not valid JSON")
    ]


def test_identifiers_are_normal_or_set_aside_with_a_reason(sent: Sent) -> None:
    rows = sent.rows("select identifier_type, raw_value, normalized_value, reason from raw.identifier_normalized")
    given = set(sent.texts) | {f"{text}@post.example.net" for text in sent.texts}
    assert {raw for kind, raw, _, _ in rows if kind == "email"} >= given - {""}
    assert {raw for kind, raw, _, _ in rows if kind == "phone"} >= set(sent.texts) - {""}
    assert [row for row in rows if (row[2] is None) == (row[3] is None)] == []
    # nothing of the list is an address or a number by itself
    assert [row for row in rows if row[2] is not None and row[1] in sent.texts] == []
    odd = {raw: normal for _, raw, normal, _ in rows if normal is not None and raw.endswith("@post.example.net")}
    assert len(odd) > 50
    assert odd["田中さんにあげて下さい@post.example.net"] == "田中さんにあげて下さい@post.example.net"


def stored_form(text: str) -> str | None:
    """Outer blanks of any width away, line ends and tabs as blanks: all that staging does to a text."""
    return text.translate(dict.fromkeys(map(ord, "\xa0\t\n\r"), " ")).strip(WIDE_AND_NARROW) or None


def test_profiles_hold_what_was_given(sent: Sent) -> None:
    stored = {
        row[0]: row[1:]
        for row in sent.rows("select email, first_name, last_name, city, country from analytics.dim_profiles")
    }
    no_names: set[str] = set()
    for at, text in enumerate(sent.texts):
        first, last, city, country = stored[address_of(at)]
        assert (last, city, country) == (stored_form(text),) * 3, at
        if first is None:
            no_names.add(text)
        else:
            assert first == stored_form(text), at
    assert no_names == {text for text in sent.texts if not greets(stored_form(text))}
    assert no_names >= UNUSABLE_WORDS
    assert {text for text in no_names if text.isalpha() and len(text) > 1} == UNUSABLE_WORDS - {"(null)"}
    assert 40 < len(set(sent.texts) - no_names) < 60


def test_a_word_for_no_value_names_no_device(sent: Sent) -> None:
    blocked = sent.rows("select identifier_value from analytics.int_identity__quarantine where reason = 'blocked'")
    words = {word for word in UNUSABLE_WORDS if word.lower() not in {"undef", "true", "false"}}
    assert len(words) > 5
    assert words <= {value for (value,) in blocked}


def _signs(text: str) -> str:
    """Without blanks and control characters: what a reader sees, and the marks that tell how to show it."""
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in {"Cc", "Zl", "Zp"})


@pytest.mark.parametrize(("column", "field", "at_least"), [("first_name", "FNAME", 20), ("city", "MW_CITY", 200)])
def test_a_merge_field_holds_what_is_stored(sent: Sent, column: str, field: str, at_least: int) -> None:
    rows = sent.rows(f"select email, {column} from analytics.sync_esp__members")
    assert {email for email, _ in rows} == sent.members.keys()
    n_equal = n_cut = n_cleaned = 0
    for email, stored in rows:
        shown = sent.members[email].merge_fields.get(field)
        if stored is None or not _signs(stored):
            assert shown == ("there" if column == "first_name" else None), "the fallback, or nothing"
            continue
        assert isinstance(shown, str)
        assert len(shown.encode()) <= MOST_BYTES
        if stored.isprintable() and "  " not in stored and len(stored.encode()) <= MOST_BYTES:
            assert shown == stored
            n_equal += 1
        elif len(_signs(stored).encode()) <= MOST_BYTES - 10:
            assert _signs(shown) == _signs(stored), "no sign is lost"
            n_cleaned += 1
        else:
            assert _signs(stored).startswith(_signs(shown)), "cut, not changed"
            assert len(shown.encode()) > MOST_BYTES - 40
            n_cut += 1
    assert min(n_equal - at_least, n_cut, n_cleaned) > 0, (n_equal, n_cut, n_cleaned)


def test_a_nul_is_a_blank_in_what_is_sent(sent: Sent) -> None:
    at = sent.texts.index(NUL[0])
    assert sent.rows(f"select city from analytics.dim_profiles where email = '{address_of(at)}'") == [(NUL[0],)]
    assert sent.members[address_of(at)].merge_fields["MW_CITY"] == "nul inside"
    assert "MW_CITY" not in sent.members[address_of(at + 1)].merge_fields, "nothing is left of the other"


def test_everybody_with_an_address_is_there_once_by_the_address_that_mail_goes_to(sent: Sent) -> None:
    odd = {normalize_email(f"{text}@post.example.net").value for text in sent.texts} - {None}
    assert sent.members.keys() == odd | {address_of(at) for at in range(len(sent.texts))}
    assert {member.status for member in sent.members.values()} == {"subscribed"}
    assert sent.first.to_dict()["rejected"] == {}


def test_a_second_sync_finds_nothing_to_change(sent: Sent) -> None:
    """What was sent comes back equal, so no string was changed on its way there or back."""
    assert sent.first.writes > 0
    assert sent.second.writes == 0


def test_recommended_products_are_called_what_they_are(sent: Sent) -> None:
    names = {name for (name,) in sent.rows("select distinct rec_1_name from analytics.sync_esp__members")}
    assert names - {None} <= set(sent.texts)
    shown = {
        str(member.merge_fields["MW_R1NAME"]) for member in sent.members.values() if "MW_R1NAME" in member.merge_fields
    }
    assert any("<script" in name or "{{" in name for name in names if name)
    assert {name for name in shown if len(name.encode()) < 200} <= {" ".join(name.split()) for name in names if name}


def test_no_string_is_markup_in_the_report(sent: Sent) -> None:
    bought = [name for (name,) in sent.rows("select product_name from analytics.dim_products") if "<" in (name or "")]
    on_page = [name for name in bought if escape(name, quote=False)[:30] in sent.page or escape(name)[:30] in sent.page]
    assert on_page, "the best-selling products are shown"
    for name in bought:
        assert name not in sent.page
    assert "<script" not in sent.page.lower()
