"""The page of a twin shows what the twin holds, all of it and nothing else, and does no harm to whoever looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from sandbox.twins.holdings import PAGE, FieldValue
from sandbox.twins.mailchimp_store import DEFAULT_LIST, subscriber_hash
from sandbox.twins.page import products
from sandbox.twins.store import KEPT_REQUESTS, FileStore
from tests.reverse_etl.world import TwinServer
from tests.sandbox.twin_cases import CASES, Case
from warehouse.settings import PROJECT_DIR

ROOT = "/__twin__"
EVIL = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://shop.test","x")'
VOID = {"meta", "link", "input", "br", "rect", "path", "circle"}


@dataclass
class World:
    case: Case
    twin: Any
    client: httpx.Client

    def page(self, path: str) -> Page:
        answer = self.client.get(f"{ROOT}/{path}")
        assert answer.status_code == 200, answer.text
        return Page.of(answer.text)

    def data(self, path: str) -> dict[str, Any]:
        return self.client.get(f"{ROOT}/{path}").json()

    def put(self, email: str, standing: str = "subscribed", **fields: Any) -> None:
        self.case.put(self.twin, email, standing, fields)

    def key_of(self, email: str) -> str:
        return next(row["key"] for row in self.data(f"people.json?q={email}")["rows"] if row["address"] == email)

    def person(self, email: str) -> dict[str, Any]:
        return self.data(f"people/{self.key_of(email)}.json")


class Page(HTMLParser):
    """What a browser would make of a page: its elements, properly closed, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    @classmethod
    def of(cls, text: str) -> Page:
        page = cls()
        page.feed(text)
        page.close()
        assert page.open == []
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        return [str(attributes.get("href")) for attributes in self.all("a")]


@pytest.fixture(params=CASES, ids=lambda case: case.vendor)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    case: Case = request.param
    with case.serve(tmp_path / "twin.sqlite") as twin:
        base = f"http://{urlsplit(twin.url).netloc}"
        with httpx.Client(base_url=base, trust_env=False, follow_redirects=True) as client:
            yield World(case, twin, client)


def _fill(world: World) -> None:
    """Three who are subscribed, two who left, one whom mail does not reach; two segments."""
    for name in ("mw_city", "mw_r1name", "mw_r1price", "mw_r1url", "mw_r1img"):
        world.case.add_field(world.twin, name)
    for n, standing in enumerate(("subscribed",) * 3 + ("unsubscribed",) * 2 + ("suppressed",)):
        world.put(f"p{n}@shop.test", standing, mw_city=f"City {n}")
    world.twin.put_inside("mw:vip", "p0@shop.test", "p1@shop.test")
    world.twin.put_inside("theirs", "p0@shop.test")


def test_at_a_glance(world: World) -> None:
    _fill(world)
    page = world.page("")
    vendor = world.case.vendor
    assert f"It is not {vendor}, and no e-mail ever leaves it." in page.text
    data = world.data("overview.json")
    assert (data["simulated"], data["vendor"], data["total"]) == (True, vendor, 6)
    assert data["categories"] == {"subscribed": 3, "unsubscribed": 2, "suppressed": 1, "other": 0}
    sizes = {row["name"]: (row["size"], row["is_ours"]) for row in data["groups"]}
    assert sizes["mw:vip"] == (2, True)
    assert sizes["theirs"] == (1, False)
    for name in ("6 ", "3 ", "2 ", "1 ", "mw:vip", "theirs", "kept by Mailwright"):
        assert name in page.text
    assert "mw_city" in world.page("fields").text


def test_the_counts_are_those_of_the_people_behind_them(world: World) -> None:
    _fill(world)
    for category in ("subscribed", "unsubscribed", "suppressed", "other"):
        found = world.data(f"people.json?category={category}")
        assert found["total"] == len(found["rows"]) == world.data("overview.json")["categories"][category]
        assert {row["status"]["category"] for row in found["rows"]} <= {category}
    for group in world.data("segments.json")["groups"]:
        if group["id"]:
            assert world.data(f"people.json?group={group['id']}")["total"] == group["size"]
    assert world.data("people.json?category=nonsense")["total"] == 6


def test_a_person_is_found_by_part_of_her_address(world: World) -> None:
    _fill(world)
    world.put("o_neill%_@shop.test")
    assert [row["address"] for row in world.data("people.json?q=P3@SHOP")["rows"]] == ["p3@shop.test"]
    assert world.data("people.json?q=shop.test")["total"] == 7
    assert [row["address"] for row in world.data("people.json?q=%25_")["rows"]] == ["o_neill%_@shop.test"]
    assert "Nobody has that address" in world.page("people?q=stranger@shop.test").text
    link = next(one for one in world.page("people?q=p3@").links if one.startswith(f"{ROOT}/people/"))
    assert "p3@shop.test" in world.client.get(link).text
    assert world.client.get(f"{ROOT}/people/nobody").status_code == 404
    assert world.client.get(f"{ROOT}/people/nobody.json").status_code == 404


def test_a_person_with_what_a_campaign_can_use(world: World) -> None:
    _fill(world)
    link, image = "https://shop.test/p/1?a=b&c=d", "https://cdn.shop.test/1.jpg"
    world.put(
        "q@shop.test", mw_city="Kraków", mw_r1name="Chai & more", mw_r1price="8.50", mw_r1url=link, mw_r1img=image
    )
    world.twin.put_inside("mw:tea", "q@shop.test")
    person = world.person("q@shop.test")
    assert (person["address"], person["status"]["category"], person["groups"]) == (
        "q@shop.test",
        "subscribed",
        ["mw:tea"],
    )
    assert {field["value"] for field in person["fields"]} >= {"Kraków", "Chai & more", "8.50", link, image}
    page = world.page(f"people/{world.key_of('q@shop.test')}")
    for words in ("Kraków", "Chai & more", "8.50", link, "mw:tea", "Recommended products"):
        assert words in page.text
    assert {link, image} <= set(page.links)
    assert page.all("img") == []


@pytest.mark.parametrize("sync", sorted((PROJECT_DIR / "reverse_etl/syncs").glob("*.yml")), ids=lambda path: path.stem)
def test_the_products_of_our_own_syncs_are_put_together(sync: Path) -> None:
    """However a sync names its fields: three products, each with all its parts."""
    fields = yaml.safe_load(sync.read_text(encoding="utf-8"))["fields"]
    found, others = products(FieldValue(row["field"], row["name"], row["column"]) for row in fields)
    for number, one in enumerate(found, start=1):
        parts = {part: one[part].text for part in ("name", "price", "url")}
        assert parts == {part: f"rec_{number}_{part}" for part in parts}
        assert (one["number"], one["image"].text) == (number, f"rec_{number}_image_url")
    assert len(found) == 3
    assert len(others) == len(fields) - 12


def test_her_status_has_a_history(world: World) -> None:
    world.put("a@shop.test")
    before = len(world.person("a@shop.test")["history"])
    world.case.leave(world.twin, "a@shop.test")
    person = world.person("a@shop.test")
    assert person["status"]["category"] == "unsubscribed"
    assert len(person["history"]) == before + 1
    assert "unsubscribe" in person["history"][-1]["what"].lower()
    assert person["history"][-1]["at"]


def test_nothing_that_people_are_called_gets_into_the_page(world: World) -> None:
    world.case.add_field(world.twin, "mw_city")
    world.put("evil@shop.test", mw_city=EVIL)
    world.put("formula@shop.test", mw_city=FORMULA)
    world.put("link@shop.test", mw_city="javascript:alert(1)")
    world.put("nested@shop.test", mw_city={"a": [EVIL]} if world.case.vendor == "Klaviyo" else '{"a": 1}')
    world.twin.put_inside(EVIL, "evil@shop.test")
    pages = [
        world.page(f"people/{world.key_of(f'{name}@shop.test')}") for name in ("evil", "formula", "link", "nested")
    ]
    search = world.page("people?q=%22%3E%3Cscript%3E&group=%3Cscript%3E")
    for page in (*pages, world.page(""), world.page("segments"), search):
        assert page.all("script") == []
        assert all(not one.startswith("javascript") for one in page.links)
    assert EVIL in pages[0].text
    assert FORMULA in pages[1].text
    answer = world.client.get(f"{ROOT}/people/{world.key_of('evil@shop.test')}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_long_value_opens_on_demand(world: World) -> None:
    world.case.add_field(world.twin, "mw_city")
    world.put("long@shop.test", mw_city="x" * 10_000)
    page = world.page(f"people/{world.key_of('long@shop.test')}")
    starts = [word for word in page.words if word.startswith("xxx")]
    assert [len(word) <= 300 for word in starts] == [True, False]
    assert "all 10,000 characters" in page.text
    assert page.all("details")


def test_everybody_is_on_one_page_and_no_page_is_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 2 * PAGE + 7
    for number in range(n):
        world.put(f"p{number:03}@shop.test", "unsubscribed" if number % 2 else "subscribed")
    most = [0]
    read = FileStore.read

    def counted(self: FileStore, sql: str, *values: Any) -> list[dict[str, Any]]:
        rows = read(self, sql, *values)
        most[0] = max(most[0], len(rows))
        return rows

    monkeypatch.setattr(FileStore, "read", counted)
    for query, total in (("", n), ("q=p0&", 100), ("category=unsubscribed&", n // 2)):
        pages = [world.data(f"people.json?{query}")]
        while pages[-1]["before"] is not None:
            pages.append(world.data(f"people.json?{query}before={pages[-1]['before']}"))
        seen = [row["address"] for page in pages for row in page["rows"]]
        assert len(seen) == len(set(seen)) == total == pages[0]["total"]
        assert seen == sorted(seen, reverse=True)
        back = [pages[-1]]
        while back[-1]["after"] is not None:
            back.append(world.data(f"people.json?{query}after={back[-1]['after']}"))
        assert [page["rows"] for page in back[::-1]] == [page["rows"] for page in pages]
    assert most[0] <= PAGE + 1
    for junk in ("before=x", "after=-1", "before=99999999999999999999"):
        assert world.data(f"people.json?{junk}")["total"] == n


def test_looking_is_no_traffic_and_needs_no_key(world: World) -> None:
    _fill(world)
    before = world.client.get(f"{ROOT}/stats").json()
    paths = ("", "people", "segments", "fields", "requests", "overview.json", "people.json", "requests.json", "nothing")
    for path in paths:
        world.client.get(f"{ROOT}/{path}")
    assert world.client.get("/", follow_redirects=False).headers["location"] == f"{ROOT}/"
    assert world.client.get("/").status_code == 200
    assert world.client.get(f"{ROOT}/stats").json() == before
    assert before["requests"] == 0
    assert world.data("requests.json")["requests"] == []


def test_only_this_machine_may_look(world: World) -> None:
    """Another name that points here (DNS rebinding), and another page that sends something here, are refused."""
    ours = ("127.0.0.1", "127.0.0.1:8000", "localhost:80", "LocalHost", "[::1]:8000")
    others = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "127.0.0.1@evil.example", "")
    for host in (*ours, *others):
        for path in ("/", f"{ROOT}/", f"{ROOT}/people.json", f"{ROOT}/stats"):
            answer = world.client.get(path, headers={"host": host}, follow_redirects=False)
            assert (answer.status_code != 421) is (host in ours)
        for headers in ({"host": host}, {"origin": f"https://{host}"}):
            answer = world.client.post(f"{ROOT}/faults", json=[], headers=headers)
            assert answer.status_code == (200 if host in ours else 421)
    assert world.client.get(f"{ROOT}/stats", headers={"origin": "null"}).status_code == 421


def test_the_log_tells_what_was_asked(world: World) -> None:
    first = world.case.send(world.client, "a@shop.test", "b@shop.test")
    assert first in {200, 202}
    world.twin.faults.add("429")
    assert world.case.send(world.client, "c@shop.test") == 429
    world.twin.faults.add("close_after")
    assert world.case.send(world.client, "d@shop.test") is None
    assert world.case.send(world.client, "e@shop.test", authorization="Bearer other") == 401
    rows = world.data("requests.json")["requests"]
    shown = [(row["status"], row["records"], row["is_throttled"], row["fault"]) for row in rows]
    assert shown == [(401, None, 0, ""), (None, 1, 0, "close_after"), (429, None, 1, "429"), (first, 2, 0, "")]
    assert {(row["method"], row["path"]) for row in rows} == {(world.case.method, world.case.path)}
    stats = world.client.get(f"{ROOT}/stats").json()
    assert (stats["requests"], stats["writes"], stats["throttled"]) == (4, 2, 1)
    text = world.page("requests").text
    for words in ("no answer", "took effect, connection broken before the answer", "429 too busy", "401 refused"):
        assert words in text


def test_the_log_holds_no_key_and_nobody(world: World) -> None:
    world.case.send(world.client, "a@shop.test")
    world.case.send(world.client, "a@shop.test", authorization="Bearer sold-elsewhere")
    key, prefix = world.case.key, world.case.path.rsplit("/", 1)[0]
    world.client.get(f"{prefix}/{key}/someone@shop.test?apikey={key}", headers=world.case.headers())
    logged = [str(tuple(row)) for row in world.twin.store._rows("select * from request_log")]
    assert len(logged) == 3
    assert f"{prefix}/…/…" in logged[-1]
    for secret in (key, "sold-elsewhere", "@shop.test", "apikey"):
        assert secret not in "".join(logged)
    dump = "\n".join(world.twin.store._con.iterdump())
    assert key not in dump
    assert "sold-elsewhere" not in dump


def test_the_log_is_paged_newest_first_and_forgets(tmp_path: Path) -> None:
    with closing(FileStore(tmp_path / "log.sqlite", "", clock=lambda: 0.0)) as store:
        with store:
            for number in range(KEPT_REQUESTS + 1000):
                store.log_request("GET", f"/{number}")
        assert store._rows("select count(*) as n from request_log")[0]["n"] == KEPT_REQUESTS
        newest = store.requests(limit=3)
        assert [row["path"] for row in newest] == ["/10999", "/10998", "/10997"]
        assert [row["path"] for row in store.requests(newest[-1]["seq"], limit=1)] == ["/10996"]


def test_the_log_on_pages(world: World) -> None:
    for number in range(60):
        world.twin.store.log_request("GET", f"/{number}")
    first = world.data("requests.json")
    assert (len(first["requests"]), first["requests"][0]["path"]) == (50, "/59")
    rest = world.data(f"requests.json?before={first['before']}")
    assert ([row["path"] for row in rest["requests"]], rest["before"]) == ([f"/{n}" for n in range(9, -1, -1)], None)
    link = next(one for one in world.page("requests").links if "before=" in one)
    assert "/9" in world.client.get(link).text


def test_who_cannot_see_the_page_can_use_it(world: World) -> None:
    """One heading of the first rank; tables say what they are; all that is asked for has a label; no script at all."""
    _fill(world)
    world.case.send(world.client, "a@shop.test")
    paths = ("", "people", f"people/{world.key_of('p0@shop.test')}", "segments", "fields", "requests")
    for path in paths:
        page = world.page(path)
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
        assert len(page.all("caption")) == len(page.all("table"))
        assert all(attributes.get("scope") in {"col", "row"} for attributes in page.all("th"))
        labelled = {attributes["for"] for attributes in page.all("label")}
        assert {attributes["id"] for attributes in page.all("input")} <= labelled
        assert all(one.get("aria-hidden") == "true" for one in page.all("svg"))
        for tag, attributes in page.elements:
            assert tag not in {"script", "img", "iframe", "object"}
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            assert not str(attributes.get("src", "")).startswith("http")
        links = page.all("link")
        assert [one["href"] for one in links] == ["data:,"]


def test_an_address_that_nobody_has_can_be_known_all_the_same(world: World) -> None:
    """Where a vendor keeps refusals by address, a person who looks must find them."""
    vendor, store = world.case.vendor, world.twin.store
    world.put("gone@shop.test", "unsubscribed")
    if vendor == "Mailchimp":
        store.forget(DEFAULT_LIST, subscriber_hash("gone@shop.test"))
    elif vendor == "Klaviyo":
        store.drop_profile("gone@shop.test")
    elif vendor == "SendGrid":
        store.suppress("other_list", "gone@shop.test")
        store.drop_contact(store.contact("gone@shop.test").id)
    else:
        store.delete_contact("gone@shop.test")
    page = world.page("people?q=gone@shop.test")
    assert "Nobody has that address" in page.text
    expected = {"Mailchimp": "deleted for good", "SendGrid": "unsubscribed from everything", "HubSpot": "unsubscribed"}
    if vendor in expected:
        assert expected[vendor] in page.text.partition("The account knows the address all the same")[2]
        counted = {row["label"]: row["n"] for row in world.data("overview.json")["beside_people"]}
        assert counted.get(expected[vendor]) == (None if vendor == "HubSpot" else 1)
    else:  # which forgets it with the profile
        assert "The account knows" not in page.text


def test_a_file_of_before_is_still_read(tmp_path: Path) -> None:
    """The state of an earlier version has neither log nor history."""
    with TwinServer(tmp_path / "old.sqlite") as twin:
        for trigger in ("members_changed", "members_forgotten"):
            twin.store._con.execute(f"drop trigger {trigger}")
        for table in ("request_log", "status_history"):
            twin.store._con.execute(f"drop table {table}")
    with TwinServer(tmp_path / "old.sqlite") as twin:
        twin.put("a@shop.test")
        twin.put("a@shop.test", "unsubscribed")
        assert "unsubscribed" in httpx.get(twin.url.replace("/3.0", f"{ROOT}/people"), trust_env=False).text
