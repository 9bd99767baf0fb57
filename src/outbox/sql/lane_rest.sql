-- Releases a closing lane that stands where it was to: it has drained its delta, none is planned, and when there is a
-- barrier it stands at that. What is stored decides, not what the holder believes.
--   $1 int  lane, $2 bigint  epoch, $3 uuid  holder: the fence
-- Gives no row when it does not stand there, is not closing, or is another's.
update waybill.lanes l
   set rests = true, holder = null, dispatcher = null
 where l.id = $1::int and l.epoch = $2::bigint and l.holder = $3::uuid and l.state = 'closing'
   and exists (
     select from waybill.reshards r
      cross join lateral (select p.delta, p.after from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
       join waybill.deltas d on d.lane_id = l.id and d.n = p.delta
      where r.destination = l.destination and r.ended_at is null and p.after >= d.ceiling
        and (r.barrier is null or r.barrier::text = d.to_snapshot::text)
        and not exists (select from waybill.planned_deltas x where x.lane_id = l.id and x.n > p.delta))
returning l.id
