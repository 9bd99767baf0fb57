-- Waybill: another number of shards, at a barrier that keeps the order of each key.
insert into waybill.migrations (name) values ('20261122000300_reshard') on conflict do nothing;

-- A destination may come back to a number of shards that it had before: its closed lanes stay as history.
alter table waybill.lanes drop constraint lanes_destination_shards_shard_key;
create unique index lanes_open on waybill.lanes (destination, shards, shard) where state <> 'closed';

alter table waybill.lanes add column rests boolean not null default false;
comment on column waybill.lanes.rests is 'A closing lane that has delivered or parked all that it was to: nobody takes it until the next step.';

-- Changes of a destination's number of shards. While one is open its lanes are closing:
--   1. each finishes the delta that it reads, rests and is released;
--   2. when all rest: where they stand at one tick, that is the barrier; otherwise one is taken, newer than all of them,
--      and each lane gets a last delta up to it, and rests again;
--   3. when all rest at the barrier, in one transaction: they are closed, and new lanes start from it.
create table waybill.reshards (
  id            bigint      generated always as identity primary key,
  destination   text        not null references waybill.destinations (name) on delete cascade,
  from_shards   int         not null,
  to_shards     int         not null check (to_shards between 1 and 256),
  requested_at  timestamptz not null default clock_timestamp(),
  barrier       pg_snapshot,
  barrier_at    timestamptz,
  ended_at      timestamptz,
  outcome       text        check (outcome in ('done', 'cancelled'))
);
comment on column waybill.reshards.barrier is 'The tick at which all lanes are to stand; null while they finish what they read.';
create unique index reshards_open on waybill.reshards (destination) where ended_at is null;
