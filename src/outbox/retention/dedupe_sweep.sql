-- dedupe_sweep($1 low timestamptz, $2 batch int): deletes keys that have expired since `low`. A key that is being renewed is
-- left alone.
with old as (
  select k.topic, k.dedupe_key from waybill.dedupe_keys k
   where k.expires_at >= $1::timestamptz and k.expires_at <= now()
   order by k.expires_at limit $2::int for update skip locked
), gone as (
  delete from waybill.dedupe_keys k using old o where k.topic = o.topic and k.dedupe_key = o.dedupe_key returning k.expires_at
)
select count(*)::int as gone, max(g.expires_at)::text as last from gone g
