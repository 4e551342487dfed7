-- Model registry, predictions and feedback. The prediction tables hold the newest scoring alone; all others are history.
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

-- the numbers of model_runs.metrics, one a row, so that a history of them is a select
create table if not exists {ml_schema}.metrics (
    model_version varchar(120) not null,
    metric varchar(120) not null,
    -- part of the people that it was measured on; '': all of them
    segment varchar(120) not null default '',
    value double precision not null,
    -- 95 % interval; null where none was measured
    low double precision,
    high double precision,
    n bigint not null,
    primary key (model_version, metric, segment)
);

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

-- when to send a person mail, by the clocks where they live
create table if not exists {ml_schema}.send_time_predictions (
    profile_id text not null,
    best_hour integer not null,
    best_weekday integer not null,
    send_hour integer not null,
    is_randomized boolean not null,
    p_click double precision not null,
    p_click_population double precision not null,
    n_sends bigint not null,
    n_clicks bigint not null,
    model_version varchar(120) not null,
    trained_at timestamp not null,
    as_of timestamp not null
);

create table if not exists {ml_schema}.engagement_predictions (
    profile_id text not null,
    p_open double precision not null,
    p_click double precision not null,
    model_version varchar(120) not null,
    trained_at timestamp not null,
    as_of timestamp not null
);
-- whose expectation of money it is: bg_nbd or trees; null: from before there were trees
alter table {ml_schema}.lifetime_value_predictions add column if not exists value_method varchar(10);
-- what raises the probability most, in words, strongest first; null: nothing more does, or the band is low
alter table {ml_schema}.churn_predictions add column if not exists reason_1 text;
alter table {ml_schema}.churn_predictions add column if not exists reason_2 text;
alter table {ml_schema}.churn_predictions add column if not exists reason_3 text;

-- what was predicted, by day: the last scoring of a day stands, and days leave after the declared time
create table if not exists {ml_schema}.prediction_log (
    job varchar(40) not null,
    model_version varchar(120) not null,
    -- UTC day of the last instant before as_of
    as_of_on date not null,
    as_of timestamp not null,
    profile_id text not null,
    -- days after as_of in which it comes true; null: the model does not say
    horizon_days integer,
    -- the product that was offered; '': the prediction is of the person alone
    subject text not null,
    rank bigint not null,
    value double precision not null
);

-- distributions of the day on which a model first scored
create table if not exists {ml_schema}.feature_profiles (
    model_version varchar(120) not null,
    -- feature or score
    kind varchar(10) not null,
    name varchar(120) not null,
    -- 0: nulls
    bin integer not null,
    -- null in the last bin, which ends nowhere, and in that of the nulls
    upper double precision,
    n bigint not null,
    primary key (model_version, kind, name, bin)
);

-- each day beside the first of the model that scored it
create table if not exists {ml_schema}.drift (
    job varchar(40) not null,
    model_version varchar(120) not null,
    as_of_on date not null,
    as_of timestamp not null,
    -- feature, score or coverage
    kind varchar(10) not null,
    name varchar(120) not null,
    -- population stability index; of coverage, the share of people who are no longer scored
    value double precision not null,
    limit_value double precision not null,
    n_first bigint not null,
    n bigint not null,
    is_over boolean not null,
    primary key (job, as_of_on, kind, name)
);
-- between the two distribution functions at the edges of the bins: the Kolmogorov-Smirnov statistic is this or more. Null: of coverage,
-- and of days from before it was measured
alter table {ml_schema}.drift add column if not exists largest_gap double precision;
