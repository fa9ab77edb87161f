-- What Blaupause keeps in PostgreSQL: eight tables of bytes, who may write, and how far it got.
-- Made by the server in an empty database, in one transaction; see docs/decisions/0009.

create schema blaupause;
set local search_path = blaupause;

-- One row: the version of this schema, and the server that may write. Whoever takes over raises
-- the epoch, here and in every lane.
create table site (
    one    boolean     primary key default true check (one),
    schema integer     not null,
    epoch  bigint      not null,
    owner  text        not null,
    since  timestamptz not null
);

-- One row for each connection that commits, written by each of its transactions: it fences servers
-- that were replaced, says how far the stream got, and says after a broken connection whether the
-- last transaction was committed (group_no) - whoever asks, waits here for its end.
create table lane (
    n        smallint primary key,
    epoch    bigint   not null,
    group_no bigint   not null,
    position bigint   not null,
    looks    bigint   not null default 0
) with (fillfactor = 10, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);

create table evt   (k bytea primary key, v bytea not null);
create table idx   (k bytea primary key, v bytea not null);
create table seq   (k bytea primary key, v bytea not null);
create table state (k bytea primary key, v bytea not null);
create table mem   (k bytea primary key, v bytea not null);
create table usr   (k bytea primary key, v bytea not null);
create table box   (k bytea primary key, v bytea not null);
create table meta  (k bytea primary key, v bytea not null);

-- What is large is compressed already.
alter table evt   alter v set storage external;
alter table idx   alter v set storage external;
alter table seq   alter v set storage external;
alter table state alter v set storage external;
alter table mem   alter v set storage external;
alter table usr   alter v set storage external;
alter table box   alter v set storage external;
alter table meta  alter v set storage external;

-- Heads are rewritten all the time: room for the next version in the same page.
alter table meta set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Queues are emptied from the front: scans must not wade through what is gone.
alter table box set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- Whether a row is not what a precondition wants: nothing (null), or a version. A row too short to
-- hold a version has version 0, like no row.
create function differs(present boolean, value bytea, wanted bytea) returns boolean
language sql immutable parallel safe
return case
    when wanted is null then present
    when length(value) >= 8 then substring(value from 1 for 8) <> wanted
    else wanted <> '\x0000000000000000'::bytea
end;

-- Write one group of batches: all of it if all preconditions hold, otherwise nothing (false).
-- Arrays hold the rows of the tables one after the other; table i (1 to 8, in the order above) has
-- the elements x_to[i] + 1 to x_to[i + 1]. No row is named twice among puts and deletions.
create function commit_group(
    lane_n smallint, lease bigint, grp bigint, newest bigint,
    chk_k bytea[], chk_v bytea[], chk_to integer[],
    put_k bytea[], put_v bytea[], put_to integer[],
    del_k bytea[], del_to integer[]
) returns boolean
language plpgsql as $$
begin
    update lane set group_no = grp, position = newest where n = lane_n and epoch = lease;
    if not found then
        raise exception 'another server has taken over this database' using errcode = 'BP001';
    end if;

    if chk_to[2] > chk_to[1] and exists (
        select from unnest(chk_k[chk_to[1]+1:chk_to[2]], chk_v[chk_to[1]+1:chk_to[2]]) c(k, v)
        left join evt r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[3] > chk_to[2] and exists (
        select from unnest(chk_k[chk_to[2]+1:chk_to[3]], chk_v[chk_to[2]+1:chk_to[3]]) c(k, v)
        left join idx r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[4] > chk_to[3] and exists (
        select from unnest(chk_k[chk_to[3]+1:chk_to[4]], chk_v[chk_to[3]+1:chk_to[4]]) c(k, v)
        left join seq r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[5] > chk_to[4] and exists (
        select from unnest(chk_k[chk_to[4]+1:chk_to[5]], chk_v[chk_to[4]+1:chk_to[5]]) c(k, v)
        left join state r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[6] > chk_to[5] and exists (
        select from unnest(chk_k[chk_to[5]+1:chk_to[6]], chk_v[chk_to[5]+1:chk_to[6]]) c(k, v)
        left join mem r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[7] > chk_to[6] and exists (
        select from unnest(chk_k[chk_to[6]+1:chk_to[7]], chk_v[chk_to[6]+1:chk_to[7]]) c(k, v)
        left join usr r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[8] > chk_to[7] and exists (
        select from unnest(chk_k[chk_to[7]+1:chk_to[8]], chk_v[chk_to[7]+1:chk_to[8]]) c(k, v)
        left join box r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;
    if chk_to[9] > chk_to[8] and exists (
        select from unnest(chk_k[chk_to[8]+1:chk_to[9]], chk_v[chk_to[8]+1:chk_to[9]]) c(k, v)
        left join meta r on r.k = c.k where differs(r.k is not null, r.v, c.v)) then return false; end if;

    if put_to[2] > put_to[1] then
        insert into evt select * from unnest(put_k[put_to[1]+1:put_to[2]], put_v[put_to[1]+1:put_to[2]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[3] > put_to[2] then
        insert into idx select * from unnest(put_k[put_to[2]+1:put_to[3]], put_v[put_to[2]+1:put_to[3]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[4] > put_to[3] then
        insert into seq select * from unnest(put_k[put_to[3]+1:put_to[4]], put_v[put_to[3]+1:put_to[4]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[5] > put_to[4] then
        insert into state select * from unnest(put_k[put_to[4]+1:put_to[5]], put_v[put_to[4]+1:put_to[5]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[6] > put_to[5] then
        insert into mem select * from unnest(put_k[put_to[5]+1:put_to[6]], put_v[put_to[5]+1:put_to[6]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[7] > put_to[6] then
        insert into usr select * from unnest(put_k[put_to[6]+1:put_to[7]], put_v[put_to[6]+1:put_to[7]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[8] > put_to[7] then
        insert into box select * from unnest(put_k[put_to[7]+1:put_to[8]], put_v[put_to[7]+1:put_to[8]])
        on conflict (k) do update set v = excluded.v; end if;
    if put_to[9] > put_to[8] then
        insert into meta select * from unnest(put_k[put_to[8]+1:put_to[9]], put_v[put_to[8]+1:put_to[9]])
        on conflict (k) do update set v = excluded.v; end if;

    if del_to[2] > del_to[1] then delete from evt   where k = any(del_k[del_to[1]+1:del_to[2]]); end if;
    if del_to[3] > del_to[2] then delete from idx   where k = any(del_k[del_to[2]+1:del_to[3]]); end if;
    if del_to[4] > del_to[3] then delete from seq   where k = any(del_k[del_to[3]+1:del_to[4]]); end if;
    if del_to[5] > del_to[4] then delete from state where k = any(del_k[del_to[4]+1:del_to[5]]); end if;
    if del_to[6] > del_to[5] then delete from mem   where k = any(del_k[del_to[5]+1:del_to[6]]); end if;
    if del_to[7] > del_to[6] then delete from usr   where k = any(del_k[del_to[6]+1:del_to[7]]); end if;
    if del_to[8] > del_to[7] then delete from box   where k = any(del_k[del_to[7]+1:del_to[8]]); end if;
    if del_to[9] > del_to[8] then delete from meta  where k = any(del_k[del_to[8]+1:del_to[9]]); end if;
    return true;
end;
$$;
