"""Small random companies as raw rows, each with the instant at which everything about it arrived.

Everything that makes a past instant differ from today is frequent here: late events and sessions that they bridge
or begin, orders delivered again with other lines or another buyer, cancellations, returns with and without the name of
their order, people who turn out to be one, visitors who log in later, browsers of two people, accounts known by a
purchase alone.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

START = datetime(2025, 1, 1)
DAYS = 120
"""A company's rows happen within so many days after START."""
ARRIVAL = {"web_events": "received_at", "email_events": "received_at", "shop_orders": "_loaded_at"} | {
    "shop_order_lines": "_loaded_at", "shop_products": "_loaded_at", "shop_customers": "_loaded_at",
    "crm_contacts": "updated_at", "newsletter_signups": "submitted_at",
}  # fmt: skip
"""Column that says when a row was known: those of KNOWN_AT."""
KNOWN_AT = {
    "crm": "event_at", "newsletter": "event_at", "shop": "loaded_at", "web": "received_at", "email": "received_at",
    "consent": "event_at", "esp": "received_at",
}  # fmt: skip
"""The var known_at of the builds."""

Rows = dict[str, list[dict[str, Any]]]


class Company:
    """Draws one; every identifier begins with its name."""

    def __init__(self, name: str, seed: int, people: int = 14) -> None:
        self.random = random.Random(f"{name} {seed}")
        self.name, self.n = name, 0
        self.rows: Rows = defaultdict(list)
        for number in range(people):
            self._person(number)

    def _id(self, kind: str) -> str:
        self.n += 1
        return f"{self.name}{kind}{self.n:04d}"

    def at(self, after: datetime | None = None) -> datetime:
        """An instant, not before `after`: anywhere, or about a midnight."""
        at = START + timedelta(seconds=self.random.randint(0, DAYS * 86400))
        if self.random.random() < 0.2:
            at = at.replace(hour=0, minute=0, second=0) + timedelta(seconds=self.random.choice([-400, -1, 0, 1, 400]))
        return max(at, after) if after else at

    def arrival(self, at: datetime) -> datetime:
        """When it is known: at once, minutes, hours, or days later."""
        late = self.random.choice([0, 0, 0, 5, 90, 86400 / 2, 86400 * self.random.randint(1, 30)])
        return at + timedelta(seconds=late)

    def add(self, table: str, **row: Any) -> None:
        self.n += 1
        self.rows[table].append({"_load_id": self.name, "_row_number": self.n, **row})

    def _person(self, number: int) -> None:
        chance = self.random.random
        address = f"{self.name}p{number}@example.com"
        user, customer = self._id("u"), self._id("c")
        browsers = [self._id("b") for _ in range(self.random.randint(1, 3))]
        if chance() < 0.3 and number:
            browsers.append(f"{self.name}kiosk")
        known_as = []
        if chance() < 0.7:
            created = self.at()
            for version in range(self.random.randint(1, 3)):
                changed = created if version == 0 else self.at(created)
                # the account is named by a later version, if by any
                self.add(
                    "crm_contacts", contact_id=f"{self.name}k{number}", email=address, created_at=created,
                    updated_at=changed, _loaded_at=changed, user_id=user if version and chance() < 0.6 else None,
                )  # fmt: skip
        if chance() < 0.7:
            created = self.at()
            self.add(
                "shop_customers", customer_id=customer, created_at=created, updated_at=created,
                email=address if chance() < 0.5 else None, _loaded_at=self.arrival(created),
            )  # fmt: skip
        known_as.append({"customer_id": customer})
        if chance() < 0.5:
            known_as.append({"email": address})
        if chance() < 0.5:
            known_as.append({"user_id": user})
        if chance() < 0.3:
            # one that ties the shop's customer to the account of the web
            known_as.append({"customer_id": customer, "user_id": user})
        if chance() < 0.4:
            at = self.at()
            self.add(
                "newsletter_signups", signup_id=self._id("s"), email=address, submitted_at=at, _loaded_at=at,
                anonymous_id=browsers[0] if chance() < 0.5 else None,
            )  # fmt: skip
        for browser in browsers:
            login_at = self.at() if chance() < 0.6 else None
            for _ in range(self.random.randint(0, 5)):
                self._session(browser, user, login_at)
            if login_at and chance() < 0.4:
                self._web(login_at, "identify", None, browser, user, {"email": address}, self.arrival(login_at))
        orders = [self._order(self.random.choice(known_as)) for _ in range(self.random.choice([0, 1, 2, 5]))]
        for order_id, at, lines, buyer in orders:
            if chance() < 0.4:
                self._return(order_id if chance() < 0.5 else None, at, lines, buyer)
        for _ in range(self.random.choice([0, 3, 6])):
            self._mail(address)

    def _web(
        self, at: datetime, kind: str, event: str | None, browser: str | None, user: str | None,
        properties: dict[str, Any], received: datetime, message: str | None = None,
    ) -> None:  # fmt: skip
        self.add(
            "web_events", message_id=message or self._id("m"), type=kind, event=event, anonymous_id=browser,
            user_id=user, timestamp=at, received_at=received, properties=json.dumps(properties), context="{}",
            _loaded_at=received,
        )  # fmt: skip

    def _session(self, browser: str, user: str, login_at: datetime | None) -> None:
        at = self.at()
        device = json.dumps({"device": {"id": f"{browser}d"}}) if self.random.random() < 0.3 else "{}"
        for _ in range(self.random.randint(1, 6)):
            event = self.random.choice([None, None, "Product Viewed", "Product Added", "Demo Requested"])
            received = self.arrival(at)
            message = self._id("m")
            for again in range(self.random.choice([1, 1, 1, 2])):
                self._web(
                    at, "track" if event else "page", event, browser, user if login_at and at >= login_at else None,
                    {"product_id": "P1"}, received + timedelta(hours=30 * again), message,
                )  # fmt: skip
                self.rows["web_events"][-1]["context"] = device
            at += timedelta(minutes=self.random.choice([1, 10, 20, 29, 31]))

    def _order(
        self, buyer: dict[str, str]
    ) -> tuple[str, datetime, list[tuple[int, str, int, Decimal]], dict[str, str]]:
        order_id, at = self._id("o"), self.at()
        lines = [
            (number, self.random.choice(["P1", "P2", "POST"]), self.random.randint(1, 4),
             Decimal(self.random.randint(1, 4000)) / 100)
            for number in range(1, self.random.randint(2, 4))
        ]  # fmt: skip
        loaded = self.arrival(at)
        cancelled_at = (
            at + timedelta(days=self.random.randint(0, 40), minutes=7) if self.random.random() < 0.25 else None
        )
        versions = [(loaded, buyer, cancelled_at if self.random.random() < 0.5 else None)]
        if cancelled_at:
            versions.append((max(loaded, cancelled_at) + timedelta(minutes=3), buyer, cancelled_at))
        if self.random.random() < 0.2:
            # somebody corrected whose order it is
            other = {"customer_id": f"{self.name}corrected{self.random.randint(0, 2)}"}
            versions.append((versions[-1][0] + timedelta(days=self.random.randint(1, 20)), other, versions[-1][2]))
        for loaded_at, whose, cancelled in versions:
            self.add(
                "shop_orders", order_id=order_id, **whose, channel="web", order_type="sale", currency="GBP",
                status="cancelled" if cancelled else "placed", cancelled_at=cancelled, is_test=False, country="GB",
                ordered_at=at, _loaded_at=loaded_at,
            )  # fmt: skip
        for number, product, quantity, price in lines:
            added_at = at if self.random.random() < 0.8 else at + timedelta(days=self.random.randint(1, 9))
            self._line(order_id, number, product, quantity, price, added_at, max(loaded, added_at))
            if self.random.random() < 0.2:
                later = max(loaded, added_at) + timedelta(days=self.random.randint(1, 20))
                self._line(order_id, number, product, quantity + 1, price, added_at, later)
        return order_id, at, lines, buyer

    def _line(
        self, order_id: str, number: int, product: str, quantity: int, price: Decimal, at: datetime, loaded: datetime
    ) -> None:
        self.add(
            "shop_order_lines", order_id=order_id, line_number=number, product_id=product, description=product,
            quantity=quantity, unit_price=price, created_at=at, _loaded_at=loaded,
        )  # fmt: skip

    def _return(
        self, named: str | None, after: datetime, lines: list[tuple[int, str, int, Decimal]], buyer: dict[str, str]
    ) -> None:
        at = self.at(after + timedelta(hours=1))
        order_id, loaded = self._id("r"), self.arrival(at)
        self.add(
            "shop_orders", order_id=order_id, **buyer, channel="web", order_type="return", currency="GBP",
            original_order_id=named, status="placed", is_test=False, country="GB", ordered_at=at, _loaded_at=loaded,
        )  # fmt: skip
        for number, product, quantity, price in lines[: self.random.randint(1, 3)]:
            self._line(order_id, number, product, -self.random.randint(1, quantity), price, at, loaded)

    def _mail(self, address: str) -> None:
        at, message = self.at(), self._id("g")
        for event, after in [("sent", 0), ("delivered", 60), ("open", 4000), ("click", 5000), ("unsubscribe", 9000)]:
            if self.random.random() < 0.6:
                happened = at + timedelta(seconds=after)
                received = self.arrival(happened)
                self.add(
                    "email_events", event_id=self._id("e"), event=event, email=address, message_id=message,
                    link_url="https://shop.test/1" if event == "click" else None, occurred_at=happened,
                    received_at=received, _loaded_at=received, is_provider_flagged_machine=self.random.random() < 0.2,
                )  # fmt: skip


def products() -> Rows:
    """The catalogue that all companies share; older than any of them."""
    return {
        "shop_products": [
            {"product_id": product, "product_name": product, "price": Decimal(5), "currency": "GBP",
             "stock_quantity": 1, "updated_at": START - timedelta(days=900), "_loaded_at": START - timedelta(days=900),
             "_load_id": "products", "_row_number": number}
            for number, product in enumerate(["P1", "P2", "POST"])
        ]
    }  # fmt: skip


def arrived_by(rows: Rows, instant: datetime) -> Rows:
    """What a loader that stopped at an instant had brought."""
    return {table: [row for row in found if row[ARRIVAL[table]] <= instant] for table, found in rows.items()}


def shifted(rows: Rows, by: timedelta) -> Rows:
    """The same history at another time."""
    return {
        table: [
            {name: value + by if isinstance(value, datetime) else value for name, value in row.items()} for row in found
        ]
        for table, found in rows.items()
    }


def together(parts: Iterable[Mapping[str, list[dict[str, Any]]]]) -> Rows:
    """All rows of several."""
    out: Rows = defaultdict(list)
    for part in parts:
        for table, found in part.items():
            out[table] += found
    return out
