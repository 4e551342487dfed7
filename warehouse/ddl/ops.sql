-- What was loaded, built and checked. Grain in the comment above each table.
create schema if not exists raw;
create schema if not exists ops;

-- one row per file that was brought in
create table if not exists ops.loads (
    load_id text primary key,
    table_name text not null,
    file_name text not null,
    file_sha256 text not null,
    provenance text not null,
    rows_loaded bigint not null,
    rows_quarantined bigint not null,
    loaded_at timestamp not null
);

-- one row per input row that could not be read
create table if not exists raw.quarantine (
    load_id text not null,
    table_name text not null,
    file_name text not null,
    line_number bigint,
    reason text not null,
    raw_text text,
    quarantined_at timestamp not null
);

-- one row per distinct raw identifier
create table if not exists raw.identifier_normalized (
    identifier_type text not null,
    raw_value text not null,
    normalized_value text,
    is_valid boolean not null,
    reason text,
    is_role boolean not null,
    normalized_at timestamp not null,
    primary key (identifier_type, raw_value)
);
-- tables that are there already lack these; rows without rules are done again by the next call
alter table raw.identifier_normalized add column if not exists identity_value text;
alter table raw.identifier_normalized add column if not exists is_disposable boolean;
alter table raw.identifier_normalized add column if not exists rules text;

-- one row per build of a schema
create table if not exists ops.builds (
    build_id text primary key,
    schema_name text not null,
    as_of timestamp not null,
    known_at timestamp not null,
    started_at timestamp not null,
    finished_at timestamp,
    status text not null,
    n_models bigint,
    n_tests bigint,
    n_failed bigint,
    message text
);

-- one row per build and load that it could read
create table if not exists ops.build_loads (
    build_id text not null,
    load_id text not null,
    primary key (build_id, load_id)
);

-- one row per run of a suite over one load's table or one build's table
create table if not exists ops.check_runs (
    check_run_id text primary key,
    subject_kind text not null,
    subject_id text not null,
    table_name text not null,
    suite text not null,
    success boolean not null,
    n_expectations bigint not null,
    n_failed bigint not null,
    checked_at timestamp not null,
    docs_path text
);

-- one row per expectation of such a run
create table if not exists ops.check_results (
    check_run_id text not null,
    subject_kind text not null,
    subject_id text not null,
    table_name text not null,
    suite text not null,
    expectation text not null,
    column_name text,
    success boolean not null,
    unexpected_count bigint,
    sample_row_keys text,
    message text,
    checked_at timestamp not null
);

-- at most one row: the instant at which this installation's clock stands (a data set that has ended)
create table if not exists ops.pinned_clock (as_of timestamp not null);
