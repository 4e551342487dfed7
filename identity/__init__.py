"""Who is who, for people: rules on pairs of identifiers, why two hang together, and a report on the graph.

The graph itself is computed by dbt (`dbt_project/models/identity`); this room reads its tables and writes
`identity.rules`.
"""
