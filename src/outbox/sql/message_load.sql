-- Messages whose payloads are wanted: parked ones, and large ones of a page.
--   $1 bigint[]  seqs
--   $2 bigint    the least of them: bounds the partitions
--   $3 bigint    the greatest
--   $4 uuid      nonce of the incarnation
--   $5 int       bytes of payloads and headers, uncompressed: those that would begin behind so many come without
--   $6 int       bytes of one: what is larger comes without, and is never to be asked for
-- In seq order; last column: `later` and `large` for those that come without payload and headers. Gives one row with seq null
-- where all are gone, and no row at all as message_page.sql says: what is only not seen is not past retention.
select m.*
  from waybill.incarnation i
  left join lateral (
    select t.seq, t.id, t.topic, t.key, case when t.fate is null then t.payload end, case when t.fate is null then t.headers end,
           array_to_json(t.destinations), extract(epoch from t.created_at), null, t.fate
      from (select w.*, case when w.bytes > $6::bigint then 'large'
                             -- those that share a seq come together
                             when sum(w.taken) over (order by w.seq) - sum(w.taken) over (partition by w.seq) >= $5::bigint
                             then 'later' end as fate
              from (select x.*, case when x.bytes > $6::bigint then 0 else x.bytes end as taken from (
                    select m.seq, m.id, left(m.topic, 256) as topic, left(m.key, 4097) as key, m.payload, m.headers,
                           m.destinations, m.created_at,
                           case when pg_column_size(m.payload)::bigint + coalesce(pg_column_size(m.headers), 0) > $6::bigint
                                then pg_column_size(m.payload)::bigint + coalesce(pg_column_size(m.headers), 0)
                                else octet_length(m.payload::text)::bigint + coalesce(octet_length(m.headers::text), 0) end as bytes
                      from waybill.messages m
                     where m.seq = any($1::bigint[]) and m.seq >= $2::bigint and m.seq <= $3::bigint and m.tableoid is not null
                    offset 0) x) w) t
     order by t.seq, t.id) m on true
 where i.nonce = $4::uuid and not row_security_active('waybill.messages'::regclass)
