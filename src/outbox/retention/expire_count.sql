-- expire_count($1 lane, $2 lower, $3 upper bigint): messages in a range that a lane wants and has not read, as the lane
-- itself would find them (lane_floors.sql). Of all shards: which one a key belongs to is not known here.
select count(*)::float8 as pending
  from waybill.lanes l
  cross join lateral (select * from waybill.lane_wants y where y.lane_id = l.id offset 0) w
  left join lateral (select y.delta, y.after from waybill.positions y where y.lane_id = l.id order by y.n desc limit 1) p on true
  left join lateral (select * from waybill.deltas y where y.lane_id = l.id and y.n = p.delta offset 0) t on true
 cross join waybill.messages m
 where l.id = $1::int
   and m.seq >= coalesce($2::bigint, -9223372036854775808) and m.seq < $3::bigint
   and case when m.destinations is not null then l.destination = any(m.destinations)
            else m.topic ~ case when w.seen is null then w.topic_regex
                                else (select u.wants from unnest(w.seen, w.regexes) with ordinality u(seen, wants, n)
                                       where pg_visible_in_snapshot(m.xid, u.seen) order by u.n limit 1) end end
   and case
         when t.n is null then true
         when p.after >= t.ceiling then
           (m.seq > t.to_floor and not pg_visible_in_snapshot(m.xid, t.to_snapshot))
           or exists (select from pg_snapshot_xip(t.to_snapshot) r(xid)
                        left join unnest(t.running, t.running_floors) k(xid, floor) on k.xid = r.xid
                       where r.xid = m.xid and m.seq <= t.to_floor and m.seq > coalesce(k.floor, t.from_floor))
         else
           (m.seq > greatest(p.after, t.from_floor) and not pg_visible_in_snapshot(m.xid, t.from_snapshot))
           or exists (select from unnest(t.running, t.running_floors) k(xid, floor)
                       where k.xid = m.xid and m.seq <= t.from_floor and m.seq > greatest(k.floor, p.after))
       end
