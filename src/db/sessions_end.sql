-- $1 int[]: process ids of sessions that we have hung up on.
select pg_terminate_backend(a.pid)
  from pg_stat_activity a
 where a.pid = any ($1::int[]) and a.datname = current_database() and a.usename = current_user
   and a.application_name like '%waybill%'
