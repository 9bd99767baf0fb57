-- Waybill: what maintenance remembers between its passes.
insert into waybill.migrations (name) values ('20261122000200_maintenance') on conflict do nothing;

-- One row. A lease in a row, because no lock of a transaction outlives DETACH CONCURRENTLY, and a lock of a session does
-- not pass through PgBouncer. It saves work: every task is safe when two run it.
create table waybill.maintenance (
  one     boolean     primary key default true check (one),
  holder  uuid,
  until   timestamptz not null default '-infinity',
  passes  bigint      not null default 0,
  marks   jsonb       not null default '{}'
);
comment on column waybill.maintenance.marks is 'Low-water marks: where the last pass stopped deleting.';
insert into waybill.maintenance default values;

-- Written when the sequence is first seen past a range of the log, with an xid drawn after that. Whoever has a seq of the
-- range drew its xid earlier: when nothing below passed_xid runs any more, nothing can still be committed into the range.
create table waybill.partition_marks (
  partition   text        primary key,
  upper       bigint      not null,
  passed_xid  xid8        not null default pg_current_xact_id(),
  passed_at   timestamptz not null default clock_timestamp(),
  dropping    boolean     not null default false
);
comment on column waybill.partition_marks.dropping is 'Was decided before it is detached, so that a crash in between leaves nothing behind.';

-- Functions are everybody's by default. Publishing runs with the owner's rights, so who may publish is granted by name
-- (waybill migrate --roles). Migrations that add functions do the same.
revoke execute on all functions in schema waybill from public;
