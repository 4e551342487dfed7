"""Mail that a twin says was sent, and what became of it: planted by a test, or **simulated**. Nobody ever got any.

A twin sends nothing. Its vendor's reports have to tell something all the same, so events are put here, and each twin
shows them as its vendor does.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_TABLES = """
create table if not exists mailings (id text primary key, sent_at integer not null, audience text not null);
create table if not exists mail_events (
    seq integer primary key autoincrement, id text not null unique, mailing text not null, kind text not null,
    email text not null, at integer not null, detail text not null);
"""
Effect = Callable[[str, str, datetime, dict[str, Any]], None]
"""(kind, address, instant, detail): what an event does to the person at this vendor."""
LINKS = ("https://shop.test/", "https://shop.test/sale", "https://shop.test/new")
# of a hundred thousand who are mailed; the rest get it and do nothing
_SHARES = {"hard": 800, "soft": 1_500, "open": 32_000, "click": 7_000, "unsubscribe": 400, "complaint": 60}


@dataclass(frozen=True)
class MailEvent:
    """`kind` is sent, delivered, open, click, bounce, complaint or unsubscribe; `at` is UTC, to the millisecond.

    `detail` may have url, ip, user_agent, type (hard or soft, of a bounce) and is_machine.
    """

    seq: int
    id: str
    mailing: str
    kind: str
    email: str
    at: datetime
    detail: dict[str, Any]


@dataclass(frozen=True)
class Mailing:
    id: str
    sent_at: datetime
    audience: str
    """The list that it went to, where the vendor's reports say so."""


def _millis(at: datetime) -> int:
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def _instant(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


class Mail:
    """The two tables, in the file of a twin's store."""

    def __init__(self, con: sqlite3.Connection, lock: threading.RLock) -> None:
        self._con, self._lock = con, lock
        con.executescript(_TABLES)
        self.effect: Effect = lambda kind, email, at, detail: None

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._con.execute(sql, values).fetchall()

    def send(self, mailing: str, at: datetime, audience: str = "") -> None:
        """A mailing that went out."""
        self._rows("insert or ignore into mailings values (?, ?, ?)", mailing, _millis(at), audience)

    def plant(self, kind: str, email: str, at: datetime, mailing: str = "m1", **detail: Any) -> str:
        """One event, which the vendor shows from now on, however long ago it was. Returns its id."""
        self.send(mailing, at)
        with self._lock:
            n = self._rows("select coalesce(max(seq), 0) + 1 as n from mail_events")[0]["n"]
            digest = hashlib.md5(f"{n}/{kind}/{email}".encode(), usedforsecurity=False).hexdigest()
            self._rows(
                "insert into mail_events (id, mailing, kind, email, at, detail) values (?, ?, ?, ?, ?, ?)",
                digest, mailing, kind, email, _millis(at), json.dumps(detail),
            )  # fmt: skip
        self.effect(kind, email, at, detail)
        return digest

    def mailings(self) -> list[Mailing]:
        rows = self._rows("select * from mailings order by sent_at desc, id")
        return [Mailing(row["id"], _instant(row["sent_at"]), row["audience"]) for row in rows]

    def events(self, *kinds: str, mailing: str | None = None) -> list[MailEvent]:
        """In the order in which they were put here."""
        rows = self._rows("select * from mail_events where ? is null or mailing = ? order by seq", mailing, mailing)
        return [
            MailEvent(
                row["seq"], row["id"], row["mailing"], row["kind"], row["email"], _instant(row["at"]),
                json.loads(row["detail"]),
            )
            for row in rows
            if row["kind"] in kinds
        ]  # fmt: skip

    def simulate(
        self, mailing: str, emails: list[str], at: datetime, audience: str = "", seed: int = 0
    ) -> Counter[str]:
        """A mailing to these people, and what they do with it within a day: the same for the same arguments."""
        self.send(mailing, at, audience)
        counts: Counter[str] = Counter()
        for email in sorted(emails):
            for kind, seconds, detail in _story(f"{seed}/{mailing}/{email}"):
                self.plant(kind, email, at + timedelta(seconds=seconds), mailing, **detail)
                counts[kind] += 1
        return counts


def _story(of: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """What one person's copy went through: (kind, seconds after the mailing went out, detail)."""

    def draw(what: str, below: int) -> int:
        digest = hashlib.sha256(f"{of}/{what}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % below

    def happens(what: str) -> bool:
        return draw(what, 100_000) < _SHARES[what]

    yield "sent", 0, {}
    if happens("hard") or happens("soft"):
        yield "bounce", 5 + draw("bounced", 60), {"type": "hard" if happens("hard") else "soft"}
        return
    delivered = 1 + draw("delivered", 120)
    yield "delivered", delivered, {}
    if happens("complaint"):
        yield "complaint", delivered + 60 + draw("complained", 36_000), {}
    if not happens("open"):
        return
    opened = delivered + 30 + draw("opened", 43_200)
    request = {"ip": f"192.0.2.{1 + draw('ip', 250)}", "user_agent": "Mozilla/5.0 (simulated)"}
    yield "open", opened, request
    if happens("click"):
        yield "click", opened + 5 + draw("clicked", 300), {**request, "url": LINKS[draw("link", len(LINKS))]}
    if happens("unsubscribe"):
        yield "unsubscribe", opened + 20 + draw("left", 600), {}


def campaign_route(mail: Mail, audience: Callable[[str | None], list[str]], to: str = "") -> Route:
    """`POST /__twin__/campaign {"id", "segment", "at", "seed"}`: a simulated mailing, a day ago unless `at` says when.

    `audience`: whom the vendor would mail of a segment, or of everybody; `to`: the list that reports name.
    """

    async def campaign(request: Request) -> Response:
        given = await request.json()
        at = datetime.fromisoformat(given["at"]) if given.get("at") else datetime.now(UTC) - timedelta(days=1)
        people = audience(given.get("segment"))
        counts = mail.simulate(given.get("id") or "simulated", people, at, to, int(given.get("seed") or 0))
        return JSONResponse({"simulated": True, "recipients": len(people), "events": dict(counts)})

    return Route("/__twin__/campaign", campaign, methods=["POST"])
