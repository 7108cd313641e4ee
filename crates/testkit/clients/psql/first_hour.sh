#!/bin/sh
# psql: what somebody types in the first hour. Connection from the usual PG* variables.
set -eu
run() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
is() { # is LABEL EXPECTED ACTUAL
    [ "$2" = "$3" ] || { printf '%s: expected\n%s\ngot\n%s\n' "$1" "$2" "$3" >&2; exit 1; }
}

run <<'SQL'
create table city (
    id       integer generated always as identity primary key,
    name     text not null unique,
    country  char(2) not null,
    people   bigint check (people >= 0),
    founded  date,
    tags     text[] default '{}',
    facts    jsonb
);
insert into city (name, country, people, founded, tags, facts) values
    ('Uruk', 'iq', 80000, '0100-01-01', '{old,river}', '{"walls": true, "gates": [1, 2]}'),
    ('Memphis', 'eg', 30000, null, '{old}', null),
    ('Oslo', 'no', 700000, '1040-01-01', '{}', '{"fjord": "Oslofjord"}');
create index city_country on city (country);
create view big_city as select name, people from city where people > 50000;
SQL
is select "Oslo|700000
Uruk|80000" "$(run -c 'select name, people from big_city order by 1')"
is jsonb "1" "$(run -c "select facts->'gates'->>0 from city where facts @> '{\"walls\": true}'")"
is array "Memphis,Uruk" "$(run -c "select string_agg(name, ',' order by name) from city where 'old' = any(tags)")"
is variables "Uruk" "$(run -v who=Uruk <<'SQL'
select name from city where name = :'who';
SQL
)"
is gset "3" "$(run <<'SQL'
select count(*) as n from city \gset
\echo :n
SQL
)"
is transaction "2" "$(run <<'SQL'
begin;
delete from city where country = 'no';
savepoint before;
delete from city;
rollback to before;
select count(*) from city;
rollback;
SQL
)"

# COPY both ways, through psql's \copy.
out=$(mktemp) && trap 'rm -f "$out"' EXIT
run -c "\\copy (select name, people, founded from city order by id) to '$out' csv header"
is "copy out" 'name,people,founded
Uruk,80000,0100-01-01
Memphis,30000,
Oslo,700000,1040-01-01' "$(cat "$out")"
run -c 'create table copied (name text, people bigint, founded date)' -c "\\copy copied from '$out' csv header"
is "copy in" 3 "$(run -c 'select count(*) from copied')"

# Mistakes are explained.
is sqlstate 42P01 "$(psql -X -q -A -t <<'SQL' 2>/dev/null
select * from no_such_table;
\echo :LAST_ERROR_SQLSTATE
SQL
)"
message=$(psql -X -q -c "insert into city (name, country) values ('Uruk', 'xx')" 2>&1 || true)
case "$message" in
*'duplicate key value violates unique constraint "city_name_key"'*'Key (name)=(Uruk) already exists.'*) ;;
*) echo "unique violation said: $message" >&2; exit 1 ;;
esac
is on_error_rollback 1 "$(psql -X -q -A -t -v ON_ERROR_ROLLBACK=on 2>/dev/null <<'SQL'
begin;
select 1/0;
select 1;
commit;
SQL
)"

# What is there.
is describe 'Table "public.city"
Column|Type|Collation|Nullable|Default
id|integer||not null|generated always as identity
name|text||not null|
country|character(2)||not null|
people|bigint|||
founded|date|||
tags|text[]|||'"'{}'"'::text[]
facts|jsonb|||
Indexes:
    "city_pkey" PRIMARY KEY, btree (id)
    "city_country" btree (country)
    "city_name_key" UNIQUE CONSTRAINT, btree (name)
Check constraints:
    "city_people_check" CHECK (people >= 0)' "$(psql -X -q -A -c '\d city')"
is tables "city
copied" "$(run -c "select tablename from pg_tables where schemaname = 'public' order by 1")"
is explain 1 "$(run -c 'explain select * from city where id = 1' | grep -c -i -E 'scan|lookup')"
is prepared "Oslo" "$(run <<'SQL'
prepare by_country (text) as select name from city where country = $1;
execute by_country('no');
deallocate by_country;
SQL
)"
run -c 'drop view big_city' -c 'drop table city, copied'
echo ok
