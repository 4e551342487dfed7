"""The state of the identity graph in numbers: how much it merges, what it refuses, what the newest builds changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from identity.graph import Graph
from identity.identifiers import masked

Row = dict[str, Any]
LARGEST = 10
TOP_VALUES = 5
BUILDS = 5
SPLITS = 20

_PROFILES = """
    select
        p.profile_id,
        count(*) as n_identifiers,
        count(*) filter (where i.tier = 'bridge') as n_bridge
    from {schema}.int_identity__identifier_profiles as p
    left join {schema}.int_identity__identifiers as i
        on p.identifier_type = i.identifier_type and p.identifier_value = i.identifier_value
    group by p.profile_id"""
_COMPONENTS = """
    select coalesce(c.component_key, i.node_key) as component_key, min(i.node_key) as node_key, count(*) as size
    from {schema}.int_identity__identifiers as i
    inner join {schema}.int_identity__identifier_profiles as p
        on i.identifier_type = p.identifier_type and i.identifier_value = p.identifier_value
    left join {schema}.int_identity__components as c on i.node_key = c.node_key
    where i.tier = 'bridge'
    group by coalesce(c.component_key, i.node_key)"""

QUERIES: dict[str, str] = {
    "totals": f"""
        select
            count(*) as profiles,
            coalesce(cast(sum(n_identifiers) as bigint), 0) as identifiers,
            sum(n_identifiers) / nullif(count(*), 0) as identifiers_per_profile,
            count(*) filter (where n_bridge > 1) as merged_profiles,
            count(*) filter (where n_bridge > 1) / nullif(count(*), 0) as merged_share,
            count(*) filter (where n_identifiers = 1) as singletons,
            count(*) filter (where n_identifiers = 1) / nullif(count(*), 0) as singleton_share
        from ({_PROFILES}) as profiles""",
    "sizes": f"""
        with sized as (select case
            when size <= 5 then size when size <= 10 then 6 when size <= 20 then 11 when size <= 50 then 21
            when size <= 100 then 51 when size <= 200 then 101 else 201
        end as least_size from ({_COMPONENTS}) as components)

        select
            least_size,
            case least_size when 6 then 10 when 11 then 20 when 21 then 50 when 51 then 100 when 101 then 200
                when 201 then null else least_size end as greatest_size,
            count(*) as components
        from sized
        group by least_size
        order by least_size""",
    "largest": f"""
        select p.profile_id, c.size as n_bridge, coalesce(t.n_identifiers, c.size) as n_identifiers, t.types
        from (select * from ({_COMPONENTS}) as sized order by size desc, node_key limit {LARGEST}) as c
        inner join {{schema}}.int_identity__identifiers as i on c.node_key = i.node_key
        inner join {{schema}}.int_identity__identifier_profiles as p
            on i.identifier_type = p.identifier_type and i.identifier_value = p.identifier_value
        left join (
            select
                profile_id,
                cast(sum(n) as bigint) as n_identifiers,
                string_agg(n || ' ' || identifier_type, ', ' order by n desc, identifier_type) as types
            from (
                select profile_id, identifier_type, count(*) as n
                from {{schema}}.int_identity__identifier_profiles
                group by profile_id, identifier_type
            ) as by_type
            group by profile_id
        ) as t on p.profile_id = t.profile_id
        order by c.size desc, c.node_key""",
    "quarantine": """
        select
            reason, limit_name, identifier_type, count(*) as identifiers,
            cast(sum(coalesce(n_partners, 0)) as bigint) as partners
        from {schema}.int_identity__quarantine
        group by reason, limit_name, identifier_type
        order by identifiers desc, reason, limit_name, identifier_type""",
    "quarantined_values": f"""
        select reason, limit_name, identifier_type, identifier_value, n_partners
        from (
            select
                q.*,
                row_number() over (
                    partition by reason order by n_partners desc nulls last, identifier_type, identifier_value
                ) as place
            from {{schema}}.int_identity__quarantine as q
        ) as ranked
        where place <= {TOP_VALUES}
        order by reason, place""",
    "splits": f"""
        select limit_kind, limit_name, count(*) as edges
        from {{schema}}.identity_splits
        group by limit_kind, limit_name
        order by edges desc, limit_kind, limit_name
        limit {SPLITS}""",
    "changes": f"""
        with builds as (
            select distinct changed_at from {{schema}}.identity_changes order by changed_at desc limit {BUILDS}
        )

        select
            changed_at, kind, cause, count(*) as changes, cast(sum(n_identifiers) as bigint) as identifiers
        from {{schema}}.identity_changes
        where changed_at in (select changed_at from builds)
        group by changed_at, kind, cause
        order by changed_at desc, kind, cause""",
    "health": """
        select metric, value, threshold, is_ok from {schema}.identity_health order by is_ok, metric""",
}


@dataclass(frozen=True)
class IdentityReport:
    """Rows of every query, by its name."""

    schema: str
    tables: dict[str, list[Row]]

    @property
    def totals(self) -> Mapping[str, Any]:
        return self.tables["totals"][0]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_report(graph: Graph, *, values: bool = False) -> IdentityReport:
    """Everything, from one connection; addresses as hashes unless `values`.

    Raises:
        DataError: the graph was not built in that schema.
    """
    tables = {name: graph.rows(sql) for name, sql in QUERIES.items()}
    if not values:
        for row in tables["quarantined_values"]:
            row["identifier_value"] = masked(row["identifier_type"], row["identifier_value"])
    return IdentityReport(graph.schema, tables)
