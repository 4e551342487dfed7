-- How far a destination was asked what people did with its mail. Nothing here is ever dropped by a rebuild.
create schema if not exists ledger;

-- one row per destination and stream (a metric, a list, a type of event, a mailing): what happened until then is loaded
create table if not exists ledger.engagement_cursors (
    destination text not null,
    stream text not null,
    reached_at timestamp not null,
    pull_id text not null,
    moved_at timestamp not null,
    primary key (destination, stream)
);

-- one row per pull that came to an end, good or bad
create table if not exists ledger.engagement_pulls (
    pull_id text primary key,
    destination text not null,
    started_at timestamp not null,
    finished_at timestamp not null,
    status text not null,
    message text,
    report text not null
);
