-- message_lanes($1 seq bigint, $2 xid xid8, $3 topic text): every open lane, and where it stands towards a message.
--   passed      its cursor is behind the message: what a snapshot of its position sees
--   before      the message lies before where the lane began; null: that is no longer stored
--   wanted      its routes want the topic: those by which it goes, while barriers of deployments lie ahead; else as they are now
select l.id as "laneId", l.destination, l.shard, l.shards, l.created_at as "createdAt", d.configured,
       coalesce($3::text ~ case when w.seen is null or $2::xid8 is null then d.topic_regex
                                else (select u.wants from unnest(w.seen, w.regexes) with ordinality u(seen, wants, n)
                                       where pg_visible_in_snapshot($2::xid8, u.seen) order by u.n limit 1) end, false) as wanted,
       coalesce(pg_visible_in_snapshot($2::xid8, t.from_snapshot)
                or ($1::bigint <= p.after and pg_visible_in_snapshot($2::xid8, t.to_snapshot)), false) as passed,
       pg_visible_in_snapshot($2::xid8, s.from_snapshot)
         or ($1::bigint <= s.from_floor and $2::xid8 <> all (s.running)) as before
  from waybill.lanes l
  join waybill.destinations d on d.name = l.destination
  -- offset 0: a probe for each lane, also where statistics are old
  left join lateral (select * from waybill.lane_wants y where y.lane_id = l.id offset 0) w on true
  left join lateral (select p.delta, p.after from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p on true
  left join lateral (select * from waybill.deltas y where y.lane_id = l.id and y.n = p.delta offset 0) t on true
  left join lateral (select * from waybill.deltas y where y.lane_id = l.id and y.n = 0 offset 0) s on true
 where l.state <> 'closed'
 order by l.destination, l.shards, l.shard
