-- lock_holders($1 table regclass, $2 age interval): who has had the table locked for longer than that, in words. Those
-- that wait for us to finish are not among them, nor is vacuum, which gives way.
select distinct format('pid %s (user %s, application "%s", %s, since %s)', l.pid, a.usename, a.application_name,
                       coalesce(a.state, 'prepared transaction'),
                       to_char(coalesce(a.xact_start, x.prepared) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) as holder
  from pg_locks l
  left join pg_stat_activity a on a.pid = l.pid
  left join pg_prepared_xacts x on l.pid is null and l.virtualtransaction = '-1/' || x.transaction::text
 where l.locktype = 'relation' and l.relation = $1::regclass and l.granted
   and l.database = (select d.oid from pg_database d where d.datname = current_database())
   and (l.pid is null or l.pid <> pg_backend_pid())
   and coalesce(a.backend_type, '') <> 'autovacuum worker'
   and coalesce(a.xact_start, x.prepared, '-infinity') < clock_timestamp() - $2::interval
 limit 5
