"""Small random data of the relations upstream of the features, with many instants on the edges of windows."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

AS_OF = datetime(2025, 6, 30, 15, 0)
"""In the middle of a day, so that whole local days and exact instants differ."""
ZONE = "America/New_York"
"""A zone with daylight saving, so that a local midnight is not always at the same UTC hour."""
EDGES = (0, 1, 2, 3, 6, 7, 8, 27, 28, 29, 30, 31, 89, 90, 91, 179, 180, 181, 364, 365, 366)
CATEGORIES = ("garden", "tea", "toys")

Rows = dict[str, list[dict[str, Any]]]


def local_date(instant: datetime) -> date:
    """Calendar day of a naive UTC instant in ZONE."""
    return instant.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(ZONE)).date()


def local_midnight(day: date) -> datetime:
    """Naive UTC instant at which a day of ZONE begins."""
    local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE))
    return local.astimezone(ZoneInfo("UTC")).replace(tzinfo=None)


class Store:
    """Draws one small store; everything lies before AS_OF."""

    def __init__(self, seed: int, n_profiles: int) -> None:
        self.random = random.Random(seed)
        self.rows: Rows = defaultdict(list)
        self.n = 0
        self.rows["clock"].append({"as_of": AS_OF, "known_at": AS_OF})
        self._products()
        for number in range(n_profiles):
            self._profile(number)
        self._guest_orders()
        for key in self.rows["int_identity__identifier_profiles"]:
            if self.random.random() < 0.3:
                self._other_lines(key)

    def _id(self, prefix: str) -> str:
        self.n += 1
        return f"{prefix}{self.n:06d}"

    def instant(self) -> datetime:
        """An instant before AS_OF: on the edge of a day or hour window, just before or after it, or anywhere."""
        days = self.random.choice([*EDGES, self.random.randint(0, 420)])
        nudge = timedelta(microseconds=self.random.choice([-1, 0, 1]))
        kind = self.random.random()
        if kind < 0.3:
            at = AS_OF - timedelta(days=days) + nudge
        elif kind < 0.6:
            at = local_midnight(local_date(AS_OF) - timedelta(days=days)) + nudge
        else:
            at = AS_OF - timedelta(days=days, seconds=self.random.randint(1, 86400))
        return min(at, AS_OF - timedelta(microseconds=1))

    def _known(self, at: datetime) -> datetime:
        """When it arrived: at once, or late."""
        return at if self.random.random() < 0.85 else max(at, self.instant())

    def _products(self) -> None:
        for number in range(14):
            self.rows["dim_products"].append({
                "product_id": f"p{number:02d}",
                "product_name": None if number == 13 else f"Product {number}",
                "category": None if number == 12 else CATEGORIES[number % 3],
                "price": Decimal(0) if number == 9 else Decimal(self.random.randint(1, 9000)) / 100,
                "currency": "GBP",
                "product_url": None if number == 3 else f"https://shop.test/{number}",
                "image_url": None if number == 4 else f"https://shop.test/{number}.jpg",
                "is_in_stock": number not in (1, 5),
                "is_product": number != 10,
            })  # fmt: skip
            self.rows["int_products__classified"].append({"product_id": f"p{number:02d}", "is_product": number != 10})

    def _agreed(self, number: int, address: str, purpose: str) -> None:
        """Where somebody agreed: mostly with the address in use, or with others; mail to one may come back."""
        draw = random.Random(f"{number} {purpose}")  # so that all else is as it would be without
        others = [f"other{number}@example.com", f"older{number}@example.com"]
        for at, email in enumerate([address, *others] if draw.random() < 0.7 else others[: draw.randrange(3)]):
            self.rows["int_consent__address_states"].append({
                "profile_id": f"profile{number:04d}", "email": email, "channel": "email", "purpose": purpose,
                "state": draw.choice(["granted", "granted", "granted", "unknown"]), "reason": "form",
                "decided_at": AS_OF - timedelta(days=30 + at + draw.randrange(2) * 9),
                "is_bounced": at > 0 and draw.random() < 0.3,
            })  # fmt: skip

    def _profile(self, number: int) -> None:
        chance, profile_id = self.random.random, f"profile{number:04d}"
        # a few people share one address
        address = f"user{number if chance() > 0.08 else 0}@example.com" if chance() > 0.2 else None
        self.rows["dim_profiles"].append({
            "profile_id": profile_id,
            "email": address,
            "first_name": self.random.choice([None, "Ana", "Zoë"]),
            "city": self.random.choice(["New York", " new york", "London", None]),
            "signed_up_at": self.random.choice([None, self.instant()]),
            "source": random.Random(f"{number} source").choice([None, "fair", "shop"]),
        })  # fmt: skip
        if address:
            for purpose in ("newsletter", "product_news", "profiling"):
                state = self.random.choice(["granted", "granted", "withdrawn", "suppressed", "unknown"])
                self.rows["dim_consent"].append({
                    "profile_id": profile_id, "channel": "email", "purpose": purpose, "state": state,
                    "reason": f"{state} {profile_id}", "is_mailable": state == "granted",
                })  # fmt: skip
                if state == "granted":
                    self._agreed(number, address, purpose)
        for interest in {self.random.choice(["garden", "tea", "none"]) for _ in range(2)} - {"none"}:
            self.rows["profile_interests"].append({"profile_id": profile_id, "interest": interest})
        identifiers = [("email", f"e{number}"), ("anonymous_id", f"a{number}")][: 1 if chance() < 0.4 else 2]
        for kind, value in identifiers:
            linked_at = self.random.choice([AS_OF - timedelta(days=430), self.instant()])
            self.rows["int_identity__identifier_profiles"].append({
                "identifier_type": kind, "identifier_value": value, "profile_id": profile_id, "linked_at": linked_at,
            })  # fmt: skip
            key = {"profile_id": profile_id, "identifier_type": kind, "identifier_value": value}
            for _ in range(self.random.choice([0, 0, 1, 2, 6])):
                self._order(key)
        for _ in range(60 if number % 15 == 0 else self.random.choice([0, 1, 3, 8])):
            self._session(profile_id, identifiers)
        for _ in range(self.random.choice([0, 2, 6])):
            at = self.instant()
            self.rows["fct_email_events"].append({
                "profile_id": profile_id, "identifier_type": "email", "identifier_value": f"e{number}",
                "email_event_id": self._id("m"), "occurred_at": at, "occurred_on": local_date(at),
                "event_type": self.random.choice(["sent", "delivered", "open", "open", "click", "unsubscribe"]),
                "known_at": self._known(at), "is_machine": chance() < 0.3,
            })  # fmt: skip
        self._predictions(profile_id)

    def _session(self, profile_id: str, identifiers: list[tuple[str, str]]) -> None:
        at, session_id = self.instant(), self._id("s")
        for number in range(self.random.randint(1, 4)):
            kind, value = self.random.choice(identifiers)
            product = self.random.choice(self.rows["dim_products"])
            self.rows["fct_web_events"].append({
                "profile_id": profile_id, "identifier_type": kind, "identifier_value": value,
                "web_event_id": self._id("w"), "session_id": session_id, "is_session_start": number == 0,
                "occurred_at": at, "known_at": self._known(at),
                "occurred_on": local_date(at), "product_id": product["product_id"], "category": product["category"],
                "event_name": self.random.choice([
                    "page", "Product Viewed", "Product Viewed", "Product Added", "Checkout Started", "Demo Requested",
                ]),
            })  # fmt: skip
            at = min(at + timedelta(minutes=self.random.randint(0, 25)), AS_OF - timedelta(microseconds=1))

    def _order(self, key: dict[str, Any]) -> None:
        at, order_id, lines = self.instant(), self._id("o"), []
        for number in range(self.random.randint(1, 3)):
            line_id = f"{order_id}-{number}"
            quantity, price = self.random.randint(1, 4), Decimal(self.random.randint(1, 6000)) / 100
            returned, last = 0, None
            for _ in range(self.random.choice([0, 0, 1, 2])):
                taken = min(self.random.choice([1, quantity]), quantity - returned)
                if taken == 0:
                    break
                back_at = max(at, min(self.instant(), AS_OF - timedelta(microseconds=1)))
                returned, last = returned + taken, max(last or back_at, back_at)
                self.rows["int_orders__return_matches"].append({
                    "return_line_id": self._id("r"), "order_line_id": line_id, "returned_at": back_at,
                    "quantity": taken,
                })  # fmt: skip
            lines.append({
                **key, "order_line_id": line_id, "order_id": order_id, "ordered_at": at, "ordered_on": local_date(at),
                "product_id": self.random.choice(self.rows["dim_products"])["product_id"],
                "quantity": quantity, "returned_quantity": returned, "net_quantity": quantity - returned,
                "unit_price": price, "gross_revenue": quantity * price, "returned_revenue": returned * price,
                "net_revenue": (quantity - returned) * price, "last_returned_at": last, "currency": "GBP",
            })  # fmt: skip
        self.rows["fct_order_lines"] += lines
        total = {name: sum(line[name] for line in lines) for name in ("net_quantity", "net_revenue", "gross_revenue")}
        self.rows["fct_orders"].append(
            {**key, **total, "order_id": order_id, "ordered_at": at, "ordered_on": local_date(at),
             "is_purchase": total["net_quantity"] > 0}
        )  # fmt: skip

    def _other_lines(self, key: dict[str, Any]) -> None:
        """A return that no sale was found for, or an order that was cancelled (later, mostly)."""
        at, product = self.instant(), self.random.choice(self.rows["dim_products"])["product_id"]
        line = {
            "order_line_id": self._id("x"), "order_id": self._id("o"), "ordered_at": at, "ordered_on": local_date(at),
            "product_id": product,
            "identifier_type": key["identifier_type"], "identifier_value": key["identifier_value"],
        }  # fmt: skip
        cancelled = ("sale", "cancelled_order")
        kind, reason = self.random.choice([
            ("return", None), ("return", "price_not_positive"), ("return", "cancelled_order"),
            cancelled, cancelled, ("sale", "test_order"),
        ])  # fmt: skip
        if (kind, reason) == cancelled:
            mine = ("identifier_type", "identifier_value")
            if key["identifier_type"] != "email" or any(
                all(order[name] == key[name] for name in mine) for order in self.rows["fct_orders"]
            ):
                return  # whose orders are made again from deliveries has all of them there
            quantity, price = self.random.randint(1, 4), Decimal(self.random.randint(1, 6000)) / 100
            line = {**line, "product_id": "p01", "quantity": quantity, "unit_price": price, "currency": "GBP"}
            self.rows["int_orders__cancelled_sales"].append({
                **line, "gross_revenue": quantity * price,
                "cancelled_at": max(at + timedelta(microseconds=1), self.instant()),
            })  # fmt: skip
            self._deliver(self.rows["int_orders__cancelled_sales"][-1])
        self.rows["int_orders__lines"].append({**line, "order_type": kind, "excluded_reason": reason})

    def _deliver(self, line: dict[str, Any]) -> None:
        """The delivery behind a cancelled order of one line."""
        delivery = {
            "order_id": line["order_id"], "known_at": line["ordered_at"], "loaded_at": AS_OF, "load_id": "l",
            "row_number": self.n,
        }  # fmt: skip
        self.rows["stg_shop__orders"].append({
            **delivery, "email": line["identifier_value"], "order_type": "sale", "currency": "GBP", "is_test": False,
            "is_cancelled": True, "ordered_at": line["ordered_at"], "cancelled_at": line["cancelled_at"],
        })  # fmt: skip
        self.rows["stg_shop__order_lines"].append({
            **delivery, "line_number": 1, "product_id": line["product_id"], "quantity": line["quantity"],
            "unit_price": line["unit_price"], "created_at": line["ordered_at"],
        })  # fmt: skip

    def _guest_orders(self) -> None:
        for _ in range(5):
            self._order({"profile_id": None, "identifier_type": None, "identifier_value": None})

    def _predictions(self, profile_id: str) -> None:
        if self.random.random() < 0.5:
            return
        made_at = AS_OF - timedelta(days=self.random.choice([0, 1, 6, 7, 8]))
        own = random.Random(f"{profile_id} placements")  # so that all else is as it would be without
        for placement, draw in (("email", self.random), ("cart", own), ("post_purchase", own), ("undeclared", own)):
            if placement != "email" and own.random() < 0.5:
                continue
            for rank, product in enumerate(draw.sample(self.rows["dim_products"], 5), 1):
                self.rows["ml.recommendation_candidates"].append({
                    "profile_id": profile_id, "placement": placement, "product_id": product["product_id"],
                    "rank": rank, "score": 1.0 / rank, "reason": "again", "model_version": "m1",
                    "trained_at": made_at, "as_of": made_at,
                })  # fmt: skip
        self.rows["ml.churn_predictions"].append({
            "profile_id": profile_id, "churn_probability": 0.5, "churn_band": "medium",
            "reason_1": "no purchase for 9 days", "reason_2": None, "reason_3": None, "model_version": "m1",
            "trained_at": made_at, "as_of": made_at,
        })  # fmt: skip
        for days in (30, 90, 365):
            self.rows["ml.lifetime_value_predictions"].append({
                "profile_id": profile_id, "horizon_days": days, "p_purchase": days / 1000, "expected_purchases": 0.2,
                "purchases_low": 0.0, "purchases_high": 1.0, "expected_value": days / 3, "value_low": 0.0,
                "value_high": 99.0, "value_method": "trees", "next_purchase_on": None, "model_version": "m1",
                "trained_at": made_at, "as_of": made_at,
            })  # fmt: skip
        self.rows["ml.send_time_predictions"].append({
            "profile_id": profile_id, "best_hour": 20, "best_weekday": 2, "send_hour": 20, "is_randomized": False,
            "p_click": 0.04, "p_click_population": 0.03, "n_sends": 12, "n_clicks": 1, "model_version": "m1",
            "trained_at": made_at, "as_of": made_at,
        })  # fmt: skip
        self.rows["ml.engagement_predictions"].append({
            "profile_id": profile_id, "p_open": 0.3, "p_click": 0.04, "model_version": "m1", "trained_at": made_at,
            "as_of": made_at,
        })  # fmt: skip


def draw(seed: int = 7, n_profiles: int = 150) -> Rows:
    """The rows of one small store, by relation."""
    return dict(Store(seed, n_profiles).rows)
