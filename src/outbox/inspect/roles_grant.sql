-- roles_grant(): the three group roles, and what each may do. Safe to run again; run it again after each migration.
--   waybill_publisher   publish, cancel, insert jobs; reads nothing
--   waybill_dispatcher  everything that dispatchers, workers and operators do; maintenance needs the owner of the tables
--   waybill_observer    looks at everything but payloads, headers and arguments
-- Roles belong to the server, grants to this database. Needs CREATEROLE where a role is missing, and the schema's owner.
do $waybill$
declare
  role text;
  t record;
begin
  foreach role in array array['waybill_publisher', 'waybill_dispatcher', 'waybill_observer'] loop
    if not exists (select from pg_catalog.pg_roles r where r.rolname = role) then
      execute format('create role %I nologin', role);
    end if;
    execute format('grant usage on schema waybill to %I', role);
  end loop;

  -- Publishing runs with the owner's rights. Neither INSERT nor the sequence: seqs drawn by hand lose messages.
  for t in
    select p.oid::regprocedure as signature from pg_catalog.pg_proc p
     where p.pronamespace = 'waybill'::regnamespace
       and p.proname in ('publish', 'publish_many', 'cancel', 'job_insert')
  loop
    execute format('grant execute on function %s to waybill_publisher', t.signature);
  end loop;

  grant select, insert, update, delete on all tables in schema waybill to waybill_dispatcher;
  grant usage, select, update on all sequences in schema waybill to waybill_dispatcher;
  grant execute on all functions in schema waybill to waybill_dispatcher;

  grant select on all sequences in schema waybill to waybill_observer;
  for t in
    select c.oid::regclass as name,
           string_agg(quote_ident(a.attname), ', ' order by a.attnum)
             filter (where a.attname not in ('payload', 'headers', 'args', 'result')) as columns
      from pg_catalog.pg_class c
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
     group by c.oid
  loop
    execute format('grant select (%s) on %s to waybill_observer', t.columns, t.name);
  end loop;
end
$waybill$
