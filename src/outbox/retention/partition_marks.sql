-- partition_marks($1 names text[], $2 uppers bigint[]): writes down the ranges of the log that the sequence has passed, as
-- the caller has seen; the xid that goes with each is drawn here, after that. Never overwrites.
insert into waybill.partition_marks (partition, upper)
select p.name, p.upper from unnest($1::text[], $2::bigint[]) p(name, upper)
on conflict (partition) do nothing
