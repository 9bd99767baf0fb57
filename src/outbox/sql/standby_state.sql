-- How far the stand-bys of one name have the write-ahead log on their disks. Changes nothing.
--   $1 text  their application_name in pg_stat_replication
-- Gives:
--   streaming  how many receive it now
--   flushed    flush_lsn: up to here all of those have it on disk, so that it is there after a promotion; null: none
--              streams, or this role may not see it
--   behind     bytes from there to what is on disk here; null like flushed
--   allowed    this role may see it: it is a superuser or has pg_read_all_stats
--   others     the names that do stream, for advice
select s.streaming, s.flushed::text as flushed,
       greatest(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.flushed), 0)::float8 as behind,
       pg_has_role('pg_read_all_stats', 'usage') as allowed, s.others
  from (select count(*) filter (where r.application_name = $1::text)::int as streaming,
               min(coalesce(r.flush_lsn, '0/0')) filter (where r.application_name = $1::text) as flushed,
               coalesce(array_agg(distinct r.application_name) filter (where r.application_name <> $1::text), '{}') as others
          from pg_stat_replication r
         where r.state in ('catchup', 'streaming')) s
