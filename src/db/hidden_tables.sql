-- hidden_tables(): tables of Waybill's of which the current user would not be shown every row, and would not be told.
--   name  the table
--   role  the current user
--   view  something else stands in its place; else row-level security applies to this user
-- A partition's own row-level security has no say where the whole table is asked.
select c.relname::text as name, c.relkind not in ('r', 'p') as view, quote_ident(current_user) as role
  from pg_namespace n
  join pg_class c on c.relnamespace = n.oid
 where n.nspname = 'waybill'
   and c.relname = any($1::name[])
   and (c.relkind not in ('r', 'p') or row_security_active(c.oid))
 order by 1
