-- strangers(): what a role owns in the schema waybill, or has put onto its tables, that this user is not and is not a member
-- of: a migration would run its code with this user's rights. Superusers count as known: they have those rights already.
-- Membership as granted: has_role() says yes to a superuser for each role there is.
with recursive known(oid) as (
  select r.oid from pg_catalog.pg_roles r where r.rolname = current_user or r.rolsuper
  union
  select m.roleid from pg_catalog.pg_auth_members m join known k on k.oid = m.member
   where not exists (select from pg_catalog.pg_roles r where r.oid = k.oid and r.rolsuper and r.rolname <> current_user)
), ours as (
  select n.oid from pg_catalog.pg_namespace n where n.nspname = 'waybill'
), found(what, owner) as (
  select 'schema waybill', n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'waybill'
   -- a database's owner may make it in the name of this role, which has no login
   and not (n.nspowner = (select r.oid from pg_catalog.pg_roles r where r.rolname = 'pg_database_owner')
            and exists (select from pg_catalog.pg_database d join known k on k.oid = d.datdba
                         where d.datname = pg_catalog.current_database()))
  union all
  select case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view' else 'table' end
         || ' waybill.' || c.relname, c.relowner
    from pg_catalog.pg_class c where c.relnamespace in (select o.oid from ours o) and c.relkind in ('r', 'p', 'S', 'v', 'm', 'f')
  union all
  select 'function waybill.' || p.proname, p.proowner from pg_catalog.pg_proc p where p.pronamespace in (select o.oid from ours o)
  union all
  select 'type waybill.' || t.typname, t.typowner from pg_catalog.pg_type t
   where t.typnamespace in (select o.oid from ours o) and t.typrelid = 0 and t.typelem = 0
  union all
  select 'operator waybill.' || o.oprname, o.oprowner from pg_catalog.pg_operator o where o.oprnamespace in (select x.oid from ours x)
  union all
  select 'the function of trigger ' || t.tgname || ' on waybill.' || c.relname, p.proowner
    from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid join pg_catalog.pg_proc p on p.oid = t.tgfoid
   where c.relnamespace in (select o.oid from ours o) and not t.tgisinternal
)
select f.what, pg_catalog.pg_get_userbyid(f.owner)::text as owner
  from found f where f.owner not in (select k.oid from known k)
 order by f.what not like 'schema%', f.what limit 10
