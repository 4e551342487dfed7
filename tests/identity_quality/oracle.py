"""How well profiles agree with the planted people, over pairs of identifiers; shares no code with the models.

An identifier that two people hold (a family's telephone, a kiosk, a role address) is nobody's alone: a profile that
joins it to one of them is not wrong, but no recall is asked of it, and nothing is known by way of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]
ATTACHED = ("phone", "device_id", "anonymous_id")
"""Types of which several people may have the same value."""
MADE = ("phone_and_name",)
"""Types made of others: nobody holds them, and they count for nothing."""
ROLES = r"(info|sales|office|support)@"
"""Addresses that several colleagues read, each with an own profile."""


def pairs_of(sizes: Iterable[int]) -> int:
    """Unordered pairs within groups of these sizes."""
    return int(sum(size * (size - 1) // 2 for size in sizes))


def agreement(predicted: Sequence[Any], true: Sequence[Any]) -> tuple[float, float]:
    """Pairwise (precision, recall) of one clustering against another."""
    frame = pd.DataFrame({"predicted": predicted, "true": true})
    both = pairs_of(frame.value_counts())
    return (
        both / max(1, pairs_of(frame["predicted"].value_counts())),
        both / max(1, pairs_of(frame["true"].value_counts())),
    )


def normal(kind: pd.Series, value: pd.Series) -> pd.Series:
    """Planted values as people typed them, without capitals and blanks of addresses."""
    return value.where(kind != "email", value.str.strip().str.lower())


@dataclass(frozen=True)
class Case:
    """Truth and profiles of one store over numbered identifiers."""

    names: pd.DataFrame
    """identifier_type, identifier_value per identifier."""
    profile: Ints
    """Profile of each identifier; -1 where it belongs to none."""
    holders: csr_array
    """(identifiers x people)"""
    links: pd.DataFrame
    """left, right (identifiers), damage."""
    in_store: NDArray[np.bool_]
    """Whether the identifier stands in the raw tables."""

    @classmethod
    def of(cls, profiles: pd.DataFrame, persons: pd.DataFrame, links: pd.DataFrame) -> Case:
        """From int_identity__identifier_profiles, truth.persons and truth.links."""
        profiles = profiles[~profiles["identifier_type"].isin(MADE)]
        key = ["identifier_type", "identifier_value"]
        persons = persons.assign(identifier_value=normal(persons["identifier_type"], persons["identifier_value"]))
        ends = [
            pd.DataFrame({key[0]: links[f"{side}_type"], key[1]: links[f"{side}_value"]}) for side in ("left", "right")
        ]
        undamaged = links["damage"].isna()
        names = pd.concat([profiles[key], persons[key], *ends]).drop_duplicates(ignore_index=True)
        index = pd.MultiIndex.from_frame(names)
        profile = np.full(len(names), -1)
        profile[index.get_indexer(pd.MultiIndex.from_frame(profiles[key]))] = pd.factorize(profiles["profile_id"])[0]
        held = index.get_indexer(pd.MultiIndex.from_frame(persons[key]))
        person = pd.factorize(persons["person_id"])[0]
        holders = coo_array((np.ones(len(held)), (held, person)), shape=(len(names), person.max() + 1)).tocsr()
        holders.data[:] = 1  # a value typed in two ways is held once
        left, right = (index.get_indexer(pd.MultiIndex.from_frame(end)) for end in ends)
        in_store = profile >= 0
        in_store[left[undamaged]] = True
        in_store[right[undamaged]] = True
        return cls(
            names, profile, holders, pd.DataFrame({"left": left, "right": right, "damage": links["damage"]}), in_store
        )

    @property
    def n_holders(self) -> Ints:
        """People who hold each identifier; 0 for a filler."""
        return np.diff(self.holders.indptr)

    @property
    def is_ones_own(self) -> NDArray[np.bool_]:
        """Held by one person, and in the store."""
        return (self.n_holders == 1) & self.in_store

    def known(self, *, damaged: bool = True, without: Collection[str] = ()) -> Ints:
        """Component of each identifier by links between identifiers that one person holds alone.

        Args:
            damaged: also by links that were damaged on their way into the store.
            without: not by way of identifiers of these types.
        """
        usable = (self.n_holders == 1) & ~self.names["identifier_type"].isin(list(without)).to_numpy()
        links = self.links if damaged else self.links[self.links["damage"].isna()]
        links = links[usable[links["left"]] & usable[links["right"]]]
        n = len(self.names)
        graph = coo_array((np.ones(len(links)), (links["left"], links["right"])), shape=(n, n))
        return connected_components(graph, directed=False)[1].astype(np.int64)

    def recall(self, component: Ints) -> tuple[int, int]:
        """(pairs of one component that share a profile, pairs of one component) among identifiers held alone."""
        own = self.is_ones_own
        frame = pd.DataFrame({"component": component[own], "profile": self.profile[own]})
        in_profile = frame[frame["profile"] >= 0]
        return pairs_of(in_profile.value_counts()), pairs_of(frame["component"].value_counts())

    def n_pairs_of_one_person(self) -> int:
        """Pairs of identifiers that one person holds alone."""
        return pairs_of(np.bincount(self.holders[self.is_ones_own].indices))

    def one_per_mailbox(self) -> Case:
        """The same where people who share a mailbox, by one or over several, are one person: its profile is theirs."""
        mailbox = (self.names["identifier_type"] == "email") & ~self.names["identifier_value"].str.match(ROLES)
        held = self.holders[(mailbox & (self.n_holders > 1)).to_numpy()]
        one = connected_components(held.T @ held, directed=False)[1]
        people = len(one)
        belongs = coo_array((np.ones(people), (np.arange(people), one)), shape=(people, people)).tocsr()
        holders = (self.holders @ belongs).tocsr()
        holders.data[:] = 1
        return replace(self, holders=holders)

    def precision(self) -> tuple[int, int]:
        """(pairs of one profile that some person holds both of, pairs of one profile)."""
        placed = self.profile >= 0
        shared = (self.holders @ self.holders.T).tocoo()
        upper = shared.row < shared.col
        row, col = shared.row[upper], shared.col[upper]
        correct = int((placed[row] & (self.profile[row] == self.profile[col])).sum())
        return correct, pairs_of(np.bincount(self.profile[placed]))

    # -- causes, for people -----------------------------------------------------------------------------

    def missed(self) -> Counter[str]:
        """Knowable pairs that lie in two profiles, by the likeliest cause."""
        knowable, intact = self.known(), self.known(damaged=False)
        weaker = {kind: self.known(damaged=False, without=[kind]) for kind in ATTACHED}
        strong = self.known(damaged=False, without=ATTACHED)
        broken: dict[int, Counter[str]] = {}
        for left, right, damage in self.links.dropna().itertuples(index=False):
            if knowable[left] == knowable[right] and intact[left] != intact[right]:
                broken.setdefault(int(knowable[left]), Counter())[damage] += 1
        causes: Counter[str] = Counter()
        kinds = self.names["identifier_type"].to_numpy()
        for members in _groups(knowable, np.flatnonzero(self.is_ones_own)):
            for a, i in enumerate(members):
                for j in members[a + 1 :]:
                    if self.profile[i] == self.profile[j] and self.profile[i] >= 0:
                        continue
                    if intact[i] != intact[j]:
                        damages = broken.get(int(knowable[i]), Counter())
                        cause = "damaged: " + ", ".join(sorted(damages)) if damages else "shared identifier between"
                    elif min(self.profile[i], self.profile[j]) < 0:
                        nobodys = i if self.profile[i] < 0 else j
                        cause = f"a {kinds[nobodys]} belongs to nobody"
                    else:
                        by = [kind for kind, other in weaker.items() if other[i] != other[j]]
                        cause = f"only by way of {' and '.join(by)}" if by else "only by way of either of several"
                        cause = cause if strong[i] != strong[j] else "not by any of these"
                    causes[cause] += 1
        return causes

    def wrongly_joined(self) -> Counter[str]:
        """Pairs of one profile that no person holds both of, by what joins the people in it."""
        causes: Counter[str] = Counter()
        kinds = self.names["identifier_type"].to_numpy()
        for members in _groups(self.profile, np.flatnonzero(self.profile >= 0)):
            held = self.holders[members]
            wrong = pairs_of([len(members)]) - int(((held @ held.T).nnz - np.diff(held.indptr).astype(bool).sum()) / 2)
            shared = sorted({f"{kinds[i]} of {self.n_holders[i]} people" for i in members if self.n_holders[i] != 1})
            causes[", ".join(shared) or "nothing that is shared"] += wrong
        return +causes


def _groups(label: Ints, rows: Ints) -> Iterator[list[int]]:
    """Rows of each label, in groups of two or more."""
    order = rows[np.argsort(label[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    for group in np.split(order, cuts):
        if len(group) > 1:
            yield group.tolist()
