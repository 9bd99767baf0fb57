-- Waybill: knowing that the database was restored from a logical dump, or switched over by logical replication. Stored
-- snapshots and xids are then another server's, and say nothing about transactions of this one.
insert into waybill.migrations (name) values ('20261122000400_cluster') on conflict do nothing;

-- One row that carries the transaction and the table that wrote it. A dump, COPY and logical replication carry values and
-- not the row's own xmin and tableoid: then they differ. pg_upgrade, physical copies and VACUUM FULL keep both. Written
-- again from time to time, so that a physical copy that is fed by logical replication later is known too.
create table waybill.cluster (
  one         boolean     primary key default true check (one),
  xid         xid8        not null,
  relation    oid         not null,
  boundary    bigint      not null default 0,
  noted_at    timestamptz not null default clock_timestamp(),
  rebased_at  timestamptz
);
comment on column waybill.cluster.boundary is 'Up to this seq messages may carry xids of another server; 0: it never changed.';
insert into waybill.cluster (xid, relation) values (pg_current_xact_id(), 'waybill.cluster'::regclass);

create view waybill.cluster_mark as
select c.boundary, c.xmin = c.xid::xid and c.relation = c.tableoid as own, c.noted_at, c.rebased_at from waybill.cluster c;

-- pg_dump dumps the rows of unlogged tables too. With the same nonce, epoch and holder, a dispatcher that was switched to
-- the restored server would pass every fence, with ticks of the old one in its memory. So the nonce counts only on the
-- server that drew it.
alter table waybill.incarnation rename to incarnations;
alter table waybill.incarnations rename constraint incarnation_pkey to incarnations_pkey;
alter table waybill.incarnations rename constraint incarnation_one_check to incarnations_one_check;
delete from waybill.incarnations;
alter table waybill.incarnations add column xid xid8 not null, add column relation oid not null;

-- Not there yet while a restore loads data: what was dumped comes in as it was, and does not count.
create function waybill.incarnation_drawn() returns trigger
language plpgsql
as $$
begin
  delete from waybill.incarnations i where i.xmin <> i.xid::xid or i.relation <> i.tableoid;
  new.xid := pg_current_xact_id();
  new.relation := tg_relid;
  return new;
end
$$;
create trigger incarnation_drawn before insert on waybill.incarnations
  for each row execute function waybill.incarnation_drawn();
-- Also where session_replication_role is replica, as some set it for a whole database: without it nothing could be dispatched.
alter table waybill.incarnations enable always trigger incarnation_drawn;

create view waybill.incarnation as
select i.one, i.nonce from waybill.incarnations i where i.xmin = i.xid::xid and i.relation = i.tableoid;

-- What these see decides what is delivered, taken back, or believed to be done. Where row-level security would hide rows from
-- whoever calls them, PostgreSQL now raises 42501, which names the table, in place of leaving rows out.
alter function waybill.stage_scheduled set row_security = off;
alter function waybill.dispatcher_beat set row_security = off;
alter function waybill.lanes_commit set row_security = off;
alter function waybill.lane_command set row_security = off;
alter function waybill.lock_lanes set row_security = off;
alter function waybill.lanes_before set row_security = off;
alter function waybill.lane_figures set row_security = off;
alter function waybill.first_pending set row_security = off;
alter function waybill.retry set row_security = off;
alter function waybill.drop_deliveries set row_security = off;
alter function waybill.worker_register set row_security = off;
alter function waybill.job_take_back set row_security = off;
alter function waybill.worker_beat set row_security = off;
alter function waybill.worker_reconcile set row_security = off;
alter function waybill.worker_end set row_security = off;
alter function waybill.job_fetch set row_security = off;
alter function waybill.job_start set row_security = off;
alter function waybill.job_release set row_security = off;
alter function waybill.job_ack set row_security = off;
alter function waybill.job_maintain set row_security = off;
alter function waybill.job_retry set row_security = off;
alter function waybill.job_cancel set row_security = off;

revoke execute on all functions in schema waybill from public;
