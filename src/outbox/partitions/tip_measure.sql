-- tip_measure(): where the sequence stands, and for some distances back the first visible row from there and its age.
with s as (select case when q.is_called then q.last_value else q.last_value - 1 end as tip from waybill.message_seq q)
select s.tip::text, (s.tip - m.seq)::text as back,
       (extract(epoch from clock_timestamp() - m.created_at) * 1000)::float8 as age_ms
  from s
  cross join unnest(array[50000, 500000, 5000000, 20000000]::bigint[]) d(distance)
  left join lateral (select x.seq, x.created_at from waybill.messages x
                      where x.seq >= greatest(1, s.tip - d.distance) and x.seq <= s.tip
                      order by x.seq limit 1) m on true
