-- One page of what became visible between two snapshots: what lies above the floor of the first, and what transactions wrote
-- below it that ran then. Along (seq), in seq order.
--   $1 bigint  after: greater than this
--   $2 bigint  up to and with this
--   $3 pg_snapshot  from: not visible in it
--   $4 pg_snapshot  to: visible in it
--   $5 int     rows; rows of the last seq all come (after a sequence was set back, two may share one)
--   $6 text    regular expression of wanted topics, or null for all
--   $7 text    the destination: messages that name it come whatever their topic
--   $8 int     bytes of payload and headers, uncompressed: of a message that has more they are left out, and what it has, as
--              stored, comes in their place
--   $9 uuid    nonce of the incarnation
--   $10 bigint  the floor; $11 xid8[] who may have written below it: in a log that was restored, others' xids mean nothing
-- Gives one row with seq null where nothing fits; no row at all on another incarnation, and where row-level security would
-- hide messages. A nested loop over one row keeps the inner order. A view has no tableoid: one in the table's place fails.
select m.*
  from waybill.incarnation i
  left join lateral (
    select r.seq, r.id, r.topic, r.key, case when r.small then r.payload end, case when r.small then r.headers end,
           array_to_json(r.destinations), extract(epoch from r.created_at), case when not r.small then r.stored end
      from (select m.seq, m.id, m.payload, m.headers, m.destinations, m.created_at,
                   case when octet_length(m.topic) > 255 then left(m.topic, 256) else m.topic end as topic,
                   case when octet_length(m.key) > 4096 then left(m.key, 4097) else m.key end as key,
                   pg_column_size(m.payload) + coalesce(pg_column_size(m.headers), 0) as stored,
                   -- what is compressed may be 255 times as large
                   pg_column_size(m.payload) + coalesce(pg_column_size(m.headers), 0) <= $8::int
                     and (coalesce(pg_column_compression(m.payload), pg_column_compression(m.headers)) is null
                          or octet_length(m.payload::text) + coalesce(octet_length(m.headers::text), 0) <= $8::int) as small
              from waybill.messages m
             where m.seq > $1::bigint and m.seq <= $2::bigint and m.tableoid is not null
               and (m.seq > $10::bigint or m.xid = any($11::xid8[]))
               and not pg_visible_in_snapshot(m.xid, $3::pg_snapshot) and pg_visible_in_snapshot(m.xid, $4::pg_snapshot)
               and ($6::text is null or (m.destinations is null and m.topic ~ $6::text) or $7::text = any(m.destinations))
             order by m.seq
             fetch first ($5::int) rows with ties) r) m on true
 where i.nonce = $9::uuid and not row_security_active('waybill.messages'::regclass)
