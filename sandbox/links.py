"""Which identifiers of a person the sources show together: the evidence that `truth.links` keeps.

A link is written as it would be had nothing been damaged on the way. `damage` says what befell it in the raw tables:

- null: it stands there (values up to case, blanks and spelling);
- `invalid`, `missing`: no address in the place of the real one; `placeholder`: a filler in its place;
- `tagged`: a `+tag` made another address of it (which has a link of its own);
- `national`: a telephone without country code; `lost`: a script that was blocked.

What was never said is no link: a telephone that was not given, a login that the CRM never heard of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pyarrow as pa

from sandbox.arrays import Bools, Ints, keep, pc, pick

Side = tuple[str, pa.Array]
"""(identifier type, value per row in normal form; null where there is none)"""
Identifiers = list[tuple[Ints, str, pa.Array]]
"""(person, identifier type, value): what goes to `truth.persons`."""
DAMAGES = ("invalid", "missing", "placeholder", "tagged", "national", "lost")


@dataclass
class Links:
    """Collects the links of all tables."""

    _parts: list[pa.Table] = field(default_factory=list)

    def add(self, source: str, person: Ints, left: Side, right: Side, damage: pa.Array | None = None) -> None:
        """One link per row where both sides are there."""
        there = np.asarray(left[1].is_valid()) & np.asarray(right[1].is_valid()) & (person >= 0)
        n = len(person)
        table = pa.table(
            {
                "person": pa.array(person),
                "left_type": pick([left[0]], np.zeros(n, dtype=np.int64)),
                "left_value": left[1],
                "right_type": pick([right[0]], np.zeros(n, dtype=np.int64)),
                "right_value": right[1],
                "source": pick([source], np.zeros(n, dtype=np.int64)),
                "damage": pa.nulls(n, pa.string()) if damage is None else damage,
            }
        )
        self._parts.append(distinct(table.filter(pa.array(there))))

    def add_all(self, source: str, person: Ints, *sides: Side) -> None:
        """The undamaged links between any two identifiers of a row."""
        for left, right in combinations(sides, 2):
            self.add(source, person, left, right)

    def add_addresses(
        self, source: str, person: Ints, other: Side, address: pa.Array, written: pa.Array, damage: pa.Array | None
    ) -> None:
        """Links of an address as people typed it: with a `+tag` it is another one, and the untagged link is damaged.

        Args:
            source: the table.
            person: whose row.
            other: what stands beside the address.
            address: the person's address.
            written: as typed, before any other damage.
            damage: what befell it beside; null where nothing.
        """
        tagged = np.asarray(pc.match_substring(written, "+").fill_null(False))
        tags = keep(pick(["tagged"], np.zeros(len(person), dtype=np.int64)), tagged)
        damage = tags if damage is None else pc.coalesce(damage, tags)
        self.add(source, person, other, ("email", address), damage)
        as_tagged = keep(normal_address(written), tagged & np.asarray(pc.equal(damage, "tagged").fill_null(False)))
        self.add(source, person, other, ("email", as_tagged))

    def table(self) -> pa.Table:
        """All of them, each once, in a fixed order."""
        table = distinct(pa.concat_tables(self._parts))
        return table.sort_by([(name, "ascending") for name in table.column_names])


def distinct(table: pa.Table) -> pa.Table:
    """Each row once."""
    return table.group_by(table.column_names, use_threads=False).aggregate([])


def normal_address(typed: pa.Array) -> pa.Array:
    """Without blanks and capitals."""
    return pc.utf8_lower(pc.utf8_trim_whitespace(typed))


def damages(**where: Bools) -> pa.Array:
    """The first of the named damages that holds, per row; null where none does."""
    names = list(where)
    index = np.select(list(where.values()), list(range(len(names))), -1)
    return pick(names, index)
