-- $1 int[]: process ids. $2 float8: milliseconds. Who asks, as the server knows it; which of $1 are at work; and whether
-- any session of Waybill's has been at work on one statement for longer than $2. One that waits for us to read its answer
-- (ClientWrite) is not at work; one whose state we may not see, or that is not tracked, counts as being at work.
select pg_backend_pid() as own,
       coalesce(array_agg(a.pid) filter (where a.pid = any ($1::int[])), '{}') as at_work,
       coalesce(bool_or(a.query_start is null or clock_timestamp() - a.query_start > $2::float8 * interval '1 ms')
                filter (where a.application_name like '%waybill%'), false) as others
  from pg_stat_activity a
 where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
   and (a.state is null or a.state in ('active', 'fastpath function call', 'disabled'))
   and a.wait_event is distinct from 'ClientWrite'
