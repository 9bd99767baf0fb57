-- message_find($1 id uuid): a message in the log, or still waiting for its time (runAt set, seq null). After a failover
-- two may have one id only if the publisher gave it twice. Payload and headers are read apart: not everyone may.
select m.seq::float8 as seq, m.xid::text as xid, m.id, m.topic, m.key, m.destinations, m.created_at as "createdAt", null as "runAt"
  from waybill.messages m where m.id = $1::uuid
union all
select null, null, s.id, s.topic, s.key, s.destinations, s.created_at, case when isfinite(s.run_at) then s.run_at end
  from waybill.scheduled s where s.id = $1::uuid
 order by seq
