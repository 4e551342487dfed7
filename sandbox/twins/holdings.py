"""What a twin holds, for somebody who wants to look: people with their standing, lists and segments, fields.

Each vendor says in SQL where its people are; counting, finding and paging is done once, here, in the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sandbox.twins.store import FileStore

Category = Literal["subscribed", "unsubscribed", "suppressed", "other"]
CATEGORIES: tuple[Category, ...] = ("subscribed", "unsubscribed", "suppressed", "other")
PAGE = 50


@dataclass(frozen=True)
class Standing:
    """One of the states in which a vendor keeps people."""

    label: str
    category: Category
    meaning: str


@dataclass(frozen=True)
class Group:
    """A list, tag or segment, and how many people are in it, whatever their standing."""

    id: str
    name: str
    kind: str
    size: int
    is_main: bool = False
    """The one that people subscribe to."""


@dataclass(frozen=True)
class FieldDefinition:
    name: str
    label: str
    type: str


@dataclass(frozen=True)
class FieldValue:
    name: str
    label: str
    value: Any


@dataclass(frozen=True)
class Fact:
    """Something the vendor knows about a person or an address, `at` when, if that is known."""

    what: str
    at: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Person:
    key: str
    address: str
    standing: str
    facts: Sequence[Fact]
    fields: Sequence[FieldValue]
    groups: Sequence[str]
    history: Sequence[Fact]


@dataclass(frozen=True)
class PeoplePage:
    """Last come first. `before` and `after`: where the pages on either side begin, None if there is none."""

    rows: Sequence[Mapping[str, Any]]
    total: int
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Count:
    """How many of something are kept apart from people, such as addresses that nobody may write to."""

    label: str
    n: int
    meaning: str = ""


class Holdings:
    """Read only: looking changes nothing. SQL is in terms of one person, `p`."""

    vendor: ClassVar[str]
    people: ClassVar[str]
    """What the vendor calls them."""
    standings: ClassVar[Mapping[str, Standing]]
    category_labels: ClassVar[Mapping[Category, str]] = {
        "subscribed": "subscribed",
        "unsubscribed": "unsubscribed",
        "suppressed": "suppressed",
        "other": "never subscribed",
    }

    source: ClassVar[str]
    place: ClassVar[str]
    """A whole number that grows with each who comes: pages are cut by it."""
    key: ClassVar[str]
    address: ClassVar[str]
    standing: ClassVar[str]
    """One of `standings`."""
    changed: ClassVar[str]
    inside: ClassVar[str]
    """Whether she is in the group whose id is bound."""

    def __init__(self, store: FileStore) -> None:
        self.store: Any = store

    # what each vendor says itself

    def groups(self) -> list[Group]:
        raise NotImplementedError

    def fields(self) -> list[FieldDefinition]:
        raise NotImplementedError

    def person(self, key: str) -> Person | None:
        raise NotImplementedError

    def words_about(self, address: str) -> list[Fact]:
        """What is known about an address that no person has."""
        return []

    def beside_people(self) -> list[Count]:
        return []

    # what all do

    def standing_counts(self) -> dict[str, int]:
        # the limit keeps whole rows out of the sort: SQLite would move them about, and take several times as long
        inner = f"select {self.standing} as standing from {self.source} limit -1"
        rows = self.store.read(f"select standing, count(*) as n from ({inner}) group by standing")
        found = {row["standing"]: row["n"] for row in rows}
        return {name: found.get(name, 0) for name in [*self.standings, *(n for n in found if n not in self.standings)]}

    def find(
        self,
        *,
        search: str = "",
        category: str = "",
        group: str = "",
        before: int | None = None,
        after: int | None = None,
    ) -> PeoplePage:
        """People whose address has `search` in it, of one category, in one group; at most `PAGE` of them."""
        where, values = ["true"], []
        if search:
            where.append(f"instr(lower({self.address}), ?) > 0")
            values.append(search.lower())
        if category:
            names = [name for name, one in self.standings.items() if one.category == category]
            where.append(f"{self.standing} in ({', '.join('?' for _ in names)})")
            values += names
        if group:
            where.append(self.inside)
            values.append(group)
        known = " and ".join(where)
        total = self.store.read(f"select count(*) as n from {self.source} where {known}", *values)[0]["n"]
        border = f"{self.place} > ?" if after is not None else f"{self.place} < ?"
        rows = self.store.read(
            f"""select {self.place} as place, {self.key} as key, {self.address} as address,
                    {self.standing} as standing, {self.changed} as changed
                from {self.source} where {known} and {border}
                order by {self.place} {"asc" if after is not None else "desc"} limit ?""",
            *values, after if after is not None else before if before is not None else 2**62, PAGE + 1,
        )  # fmt: skip
        has_more = len(rows) > PAGE
        rows = rows[:PAGE] if after is None else rows[:PAGE][::-1]
        if not rows:
            return PeoplePage([], total)
        is_first = not has_more if after is not None else before is None
        is_last = not has_more if after is None else False
        return PeoplePage(rows, total, None if is_last else rows[-1]["place"], None if is_first else rows[0]["place"])

    def standing_of(self, name: str) -> Standing:
        return self.standings.get(name) or Standing(name, "other", "")

    def by_category(self, standings: Mapping[str, int]) -> dict[Category, int]:
        counts: dict[Category, int] = dict.fromkeys(CATEGORIES, 0)
        for name, n in standings.items():
            counts[self.standing_of(name).category] += n
        return counts

    def changes(self, person: str) -> list[Fact]:
        return [Fact(row["status"], row["at"], row["detail"]) for row in self.store.history(person)]
