-- partition_ended($1 partition, $2 upper bigint): whether everyone who may have drawn a seq of a range has ended, so that
-- nothing can still be committed into it. They drew their xid before passed_xid, and hold ROW EXCLUSIVE on the log until
-- their end. Snapshots alone would answer too, but they know transactions of all databases of the cluster, and those
-- that never published. pg_locks has the low 32 bits of an xid: older means less than half a turn behind.
select exists (select from waybill.partition_marks k where k.partition = $1 and k.upper = $2::bigint)
   and not exists (
     select from waybill.partition_marks k
       join pg_locks r on r.locktype = 'relation' and r.relation = 'waybill.messages'::regclass and r.granted
        and r.database = (select d.oid from pg_database d where d.datname = current_database())
       join pg_locks t on t.locktype = 'transactionid' and t.granted and t.virtualtransaction = r.virtualtransaction
        and t.pid is not distinct from r.pid
      where k.partition = $1 and k.upper = $2::bigint and r.mode not in ('AccessShareLock', 'RowShareLock')
        and (k.passed_xid::text::numeric - t.transactionid::text::numeric + 4294967296) % 4294967296
            between 1 and 2147483647) as ended
