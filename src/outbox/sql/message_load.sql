-- The payloads of parked deliveries.
--   $1 bigint[]  seqs
--   $2 bigint    the least of them: bounds the partitions
--   $3 bigint    the greatest
select m.seq, m.id, m.topic, m.key, m.payload, m.headers, array_to_json(m.destinations),
       date_part('epoch', m.created_at)
  from waybill.messages m
 where m.seq = any($1::bigint[]) and m.seq >= $2::bigint and m.seq <= $3::bigint
