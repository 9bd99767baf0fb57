-- One page of what transactions wrote that were running in `from` and have ended in `to`, each from its own floor up to
-- the floor of `from`. Along (xid, seq): the comparison of rows keeps the planner from (seq) where its statistics know
-- one huge transaction (253 ms against 0.1 ms). The plain bounds on seq prune partitions.
--   $1 bigint  after: greater than this
--   $2 bigint  up to and with this: the floor of `from`
--   $3 xid8[]  the transactions
--   $4 bigint[]  the floor of each
--   $5 int     rows; rows of the last seq all come
--   $6 text    regular expression of wanted topics, or null for all
--   $7 text    the destination: messages that name it come whatever their topic
--   $8 int     bytes of payload and headers, uncompressed: of a message that has more they are left out, and what it has, as
--              stored, comes in their place
--   $9 uuid    nonce of the incarnation
-- Gives one row with seq null where nothing fits, and no row at all as message_page.sql says.
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
              from unnest($3::xid8[], $4::bigint[]) x(xid, floor)
             cross join lateral (
               select m.* from waybill.messages m
                where m.xid = x.xid and m.seq > $1::bigint and m.seq <= $2::bigint and m.tableoid is not null
                  and (m.xid, m.seq) > (x.xid, greatest(x.floor, $1::bigint)) and (m.xid, m.seq) <= (x.xid, $2::bigint)
                  and ($6::text is null or (m.destinations is null and m.topic ~ $6::text) or $7::text = any(m.destinations))
                order by m.seq fetch first ($5::int) rows with ties) m
             order by m.seq
             fetch first ($5::int) rows with ties) r) m on true
 where i.nonce = $9::uuid and not row_security_active('waybill.messages'::regclass)
