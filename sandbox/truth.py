"""What was planted: who is whom, tastes, machine or human, who fell silent. Read by tests only.

Under real orders, a real customer's taste and activity follow the purchases instead of being planted:
`activity` then says nothing of their silence.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sandbox.arrays import NEVER, instants
from sandbox.catalogue import Catalogue
from sandbox.links import Identifiers, Links, distinct
from sandbox.output import Writer
from sandbox.people import People


def write_truth(writer: Writer, people: People, catalogue: Catalogue, identifiers: Identifiers, links: Links) -> None:
    """Write `truth.persons` (identifiers as written in the raw tables, telephones in normal form), `truth.links`,
    `truth.tastes` and `truth.activity`.
    """
    n = people.n
    everyone = np.arange(n)
    device_owner = np.repeat(everyone, people.device_count)
    rows = [*identifiers, (device_owner, "anonymous_id", people.device_ids.slice(0, people.kiosk_first))]
    for kind, values in (
        ("email", people.email),
        ("email", people.other_email),
        ("phone", people.phone),
        ("loyalty_card", people.loyalty_card),
    ):
        given = np.asarray(values.is_valid())
        rows.append((everyone[given], kind, values.filter(pa.array(given))))
    table = pa.table(
        {
            "person": pa.array(np.concatenate([person for person, _, _ in rows])),
            "identifier_type": pa.concat_arrays(
                [pa.array([kind] * len(person), pa.string()) for person, kind, _ in rows]
            ),
            "identifier_value": pa.concat_arrays([value for _, _, value in rows]),
        }
    )
    table = distinct(table).sort_by(
        [("person", "ascending"), ("identifier_type", "ascending"), ("identifier_value", "ascending")]
    )
    writer.truth(
        "persons",
        {
            "person_id": people.person_id.take(table["person"].combine_chunks()),
            "identifier_type": table["identifier_type"],
            "identifier_value": table["identifier_value"],
        },
    )
    linked = links.table()
    writer.truth(
        "links",
        {
            "person_id": people.person_id.take(linked["person"].combine_chunks()),
            **{name: linked[name] for name in linked.column_names if name != "person"},
        },
    )
    n_categories = len(catalogue.categories)
    writer.truth(
        "tastes",
        {
            "person_id": people.person_id.take(pa.array(np.repeat(everyone, n_categories))),
            "category": pa.array(list(catalogue.categories)).take(pa.array(np.tile(np.arange(n_categories), n))),
            "weight": pa.array(people.taste.ravel()),
        },
    )
    writer.truth(
        "activity",
        {
            "person_id": people.person_id,
            "engagement": pa.array(people.engagement),
            "is_buyer": pa.array(people.is_buyer),
            "is_silent_at_end": pa.array(people.silent_since != NEVER),
            "silent_since": instants(people.silent_since),
        },
    )
