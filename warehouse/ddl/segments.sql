-- Lists of people that somebody made: the members of static segments. Nothing here is ever dropped by a rebuild.
create schema if not exists segments;

-- one row per identifier and time on a list; an identifier follows its person through merges
create table if not exists segments.static_members (
    segment_name text not null,
    identifier_type text not null,
    identifier_value text not null,
    added_at timestamp not null,
    -- null: still on the list
    removed_at timestamp,
    -- where it came from: the name of a file, or of the segment that was frozen
    origin text not null,
    primary key (segment_name, identifier_type, identifier_value, added_at)
);
