-- transaction_oldest(): the oldest transactions of this server that keep old rows from being cleared: sessions, prepared
-- transactions, and replication slots that nobody uses. Ages in seconds. Of other users' sessions only pg_monitor sees all.
(select 'session' as kind,
        format('pid %s (user %s, application "%s", %s)', a.pid, coalesce(a.usename, '?'), a.application_name,
               coalesce(a.state, '?')) as who,
        extract(epoch from clock_timestamp() - a.xact_start)::float8 as age
   from pg_stat_activity a
  where a.xact_start is not null and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
  order by a.xact_start limit 1)
union all
(select 'prepared', format('prepared transaction %L of %s', x.gid, x.owner),
        extract(epoch from clock_timestamp() - x.prepared)::float8
   from pg_prepared_xacts x order by x.prepared limit 1)
union all
(select 'slot', format('replication slot %s, which nobody uses', s.slot_name),
        pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8
   from pg_replication_slots s where not s.active and s.restart_lsn is not null order by s.restart_lsn limit 1)
