-- Model registry and predictions. Runs and calibration are history; the prediction tables hold the newest scoring alone.
create schema if not exists {ml_schema};

create table if not exists {ml_schema}.model_runs (
    model_version varchar(120) not null primary key,
    job varchar(40) not null,
    as_of timestamp not null,
    trained_at timestamp not null,
    params text not null,
    metrics text not null,
    -- null: training was refused, and metrics say why
    artefact_sha256 varchar(64),
    n_train bigint not null,
    n_test bigint not null
);
-- whether it may score, whether its back-test could tell, and how it stood against its rivals; null: from before that
alter table {ml_schema}.model_runs add column if not exists is_live boolean;
alter table {ml_schema}.model_runs add column if not exists was_tried boolean;
alter table {ml_schema}.model_runs add column if not exists decision text;

create table if not exists {ml_schema}.calibration (
    model_version varchar(120) not null,
    bin integer not null,
    n bigint not null,
    mean_predicted double precision not null,
    observed_rate double precision not null,
    primary key (model_version, bin)
);

-- the personal rung: at most the declared number of candidates per profile
create table if not exists {ml_schema}.recommendation_candidates (
    profile_id text not null,
    product_id text not null,
    rank bigint not null,
    score double precision not null,
    reason text not null,
    model_version varchar(120) not null,
    trained_at timestamp not null,
    as_of timestamp not null
);
-- where it is shown: one ranking per person and placement
alter table {ml_schema}.recommendation_candidates add column if not exists placement varchar(40) default 'email';

-- what <home>/recommendation_rules.yml says, as of the newest build
create table if not exists {ml_schema}.recommendation_rules (
    rule_name varchar(120) not null,
    -- recommend, exclude or boost
    kind varchar(10) not null,
    position bigint not null,
    -- 0: it is about all products
    n_items bigint not null,
    -- null: at all placements
    placement varchar(40),
    from_on date,
    until_on date,
    factor double precision,
    reason text,
    within_days bigint,
    price_below double precision,
    price_above double precision
);

-- the products and categories that a rule names: bought (what calls for it) or offered (what it is about)
create table if not exists {ml_schema}.recommendation_rule_items (
    rule_name varchar(120) not null,
    role varchar(10) not null,
    position bigint not null,
    product_id text,
    category text
);

create table if not exists {ml_schema}.churn_predictions (
    profile_id text not null,
    churn_probability double precision not null,
    churn_band varchar(6) not null,
    model_version varchar(120) not null,
    trained_at timestamp not null,
    as_of timestamp not null
);

-- one row per buyer and horizon; the interval covers at least the declared share of people
create table if not exists {ml_schema}.lifetime_value_predictions (
    profile_id text not null,
    horizon_days integer not null,
    p_purchase double precision not null,
    expected_purchases double precision not null,
    purchases_low double precision not null,
    purchases_high double precision not null,
    expected_value double precision not null,
    value_low double precision not null,
    value_high double precision not null,
    -- the same in all rows of a buyer; null: not as likely as one half in ten years
    next_purchase_on date,
    model_version varchar(120) not null,
    trained_at timestamp not null,
    as_of timestamp not null
);
