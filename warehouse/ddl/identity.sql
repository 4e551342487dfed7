-- What people decided about who is who, beside what was seen. Nothing here is ever dropped by a rebuild.
create schema if not exists identity;

-- one row per decision on a pair of identifiers; withdrawn ones stay. The pair is in ascending order of (type, value),
-- values as the graph has them
create table if not exists identity.rules (
    rule_id text primary key,
    action text not null check (action in ('cut', 'link')),
    left_type text not null,
    left_value text not null,
    right_type text not null,
    right_value text not null,
    reason text not null,
    created_at timestamp not null,
    -- null: the rule is in force
    withdrawn_at timestamp,
    withdrawn_reason text
);
