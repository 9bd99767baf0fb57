-- partition_ended($1 partition, $2 upper bigint): whether everyone who may have drawn a seq of a range has ended, so that
-- nothing can still be committed into it.
select coalesce((select k.passed_xid < pg_snapshot_xmin(pg_current_snapshot())
                   from waybill.partition_marks k where k.partition = $1 and k.upper = $2::bigint), false) as ended
