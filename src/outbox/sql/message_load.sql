-- The payloads of parked deliveries.
--   $1 bigint[]  seqs
--   $2 bigint    the least of them: bounds the partitions
--   $3 bigint    the greatest
--   $4 uuid      nonce of the incarnation
-- Gives one row with seq null where all are gone, and no row at all as message_page.sql says: what is only not seen is not
-- past retention.
select m.*
  from waybill.incarnation i
  left join lateral (
    select m.seq, m.id, m.topic, m.key, m.payload, m.headers, array_to_json(m.destinations),
           extract(epoch from m.created_at)
      from waybill.messages m
     where m.seq = any($1::bigint[]) and m.seq >= $2::bigint and m.seq <= $3::bigint and m.tableoid is not null) m on true
 where i.nonce = $4::uuid and not row_security_active('waybill.messages'::regclass)
