-- Changes of shards under way.
--   ready    all lanes rest
--   resting  lanes that nobody is to take
select r.id::text, r.destination, coalesce(bool_and(l.rests and l.holder is null), false) as ready,
       coalesce(array_agg(l.id) filter (where l.rests), '{}') as resting
  from waybill.reshards r
  left join waybill.lanes l on l.destination = r.destination and l.state = 'closing'
 where r.ended_at is null
 group by r.id, r.destination
