-- schema_objects(): what a schema that is as migrated does not have, in words, and what of it readers and publishers rely on.
-- Expressions are compared without quotes and schema: quote_all_identifiers and search_path say how they are shown.
--   kind  trigger: on a table of the log's hot path; security: rows are hidden from some; rule: writes may be swallowed;
--         index: not valid; default, privilege: of the log and its sequence; unlogged: a sequence
select 'trigger' as kind, format('trigger %I on %s', t.tgname, t.tgrelid::regclass) as what
  from pg_trigger t join pg_class c on c.oid = t.tgrelid
 where c.relnamespace = 'waybill'::regnamespace and not t.tgisinternal
   and (c.relname in ('deliveries', 'positions', 'deltas', 'lanes') or c.relname ~ '^messages')
union all
select 'security', format('row-level security is on for %s', string_agg(c.oid::regclass::text, ', ' order by c.relname))
  from pg_class c
 where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relrowsecurity
having count(*) > 0
union all
select 'rule', format('rule %I on %s', w.rulename, w.ev_class::regclass)
  from pg_rewrite w join pg_class c on c.oid = w.ev_class
 where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p')
union all
select 'index', format('index %s on %s', i.indexrelid::regclass, i.indrelid::regclass)
  from pg_index i join pg_class c on c.oid = i.indrelid
 where c.relnamespace = 'waybill'::regnamespace and not i.indisvalid
union all
select 'unlogged', format('sequence %s is unlogged', c.oid::regclass)
  from pg_class c where c.relnamespace = 'waybill'::regnamespace and c.relkind = 'S' and c.relpersistence = 'u'
union all
select 'default', format('waybill.messages.%s defaults to %s', e.name, coalesce(e.found, 'nothing'))
  from (select x.name, x.expected, btrim(regexp_replace(replace(replace(pg_get_expr(d.adbin, d.adrelid), '"', ''), 'waybill.', ''), '[[:space:]]+', ' ', 'g')) as found
          from (values ('xid', 'CASE WHEN ((pg_current_xact_id() IS NOT NULL) AND (pg_sequence_last_value(''server_start''::regclass) = ((date_part(''epoch''::text, pg_postmaster_start_time()) * (''1000000''::numeric)::double precision))::bigint) AND (pg_sequence_last_value(''asleep''::regclass) <= pg_sequence_last_value(''awake''::regclass))) THEN pg_current_xact_id() ELSE wake_dispatchers() END'),
                       ('seq', 'nextval(''message_seq''::regclass)')) x(name, expected)
          join pg_attribute a on a.attrelid = 'waybill.messages'::regclass and a.attname = x.name
          left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum) e
 where e.found is distinct from e.expected
union all
-- the owner and superusers may do anything; waybill_dispatcher moves what is due into the log
select 'privilege', format('%s may %s', g.grantee::regrole, g.privilege_type || ' ' || g.object)
  from (
    select x.grantee, x.privilege_type, 'waybill.messages' as object, c.relowner
      from pg_class c cross join lateral aclexplode(c.relacl) x
     where c.oid = 'waybill.messages'::regclass and x.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
    union all
    select x.grantee, x.privilege_type, 'waybill.messages.' || a.attname, c.relowner
      from pg_class c join pg_attribute a on a.attrelid = c.oid cross join lateral aclexplode(a.attacl) x
     where c.oid = 'waybill.messages'::regclass
       and (x.privilege_type = 'UPDATE' or x.privilege_type = 'INSERT' and a.attname in ('xid', 'seq'))
    union all
    select x.grantee, x.privilege_type, 'waybill.message_seq', c.relowner
      from pg_class c cross join lateral aclexplode(c.relacl) x
     where c.oid = 'waybill.message_seq'::regclass and x.privilege_type = 'UPDATE') g
 where g.grantee <> g.relowner
   and not exists (select from pg_class p cross join lateral aclexplode(p.relacl) x
                    where p.oid = 'waybill.positions'::regclass and x.grantee = g.grantee and x.privilege_type = 'INSERT')
 order by 1, 2
