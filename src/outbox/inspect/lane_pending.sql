-- lane_pending($1 lane int, $2 low bigint, $3 snapshot pg_snapshot, $4 high bigint, $5 rows int, $6 nonce uuid): what a lane
-- has still to settle, by what it has stored, of all that a snapshot sees. In seq order. Messages of the destination's other
-- shards come too: the hash is not known here.
--   low    nothing up to here is pending: the lane's floor, or what an earlier call gave
--   high   nothing above this is asked about
--   nonce  of the incarnation that the snapshot is of
-- Gives one row with seq null where nothing is; no row at all on another incarnation, and where rows are hidden.
select m.*
  from waybill.incarnation i
  left join lateral (
    select to_json(m.seq) as seq, m.id, m.key, l.shard, l.shards
      from waybill.lanes l
     cross join lateral (select * from waybill.lane_wants y where y.lane_id = l.id offset 0) w
     cross join lateral (select p.delta, p.after from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
     cross join lateral (select * from waybill.deltas y where y.lane_id = l.id and y.n = p.delta offset 0) t
      join waybill.messages m
        on m.seq > $2::bigint and m.seq <= $4::bigint and pg_visible_in_snapshot(m.xid, $3::pg_snapshot)
       and not pg_visible_in_snapshot(m.xid, t.from_snapshot)
       and not (m.seq <= p.after and pg_visible_in_snapshot(m.xid, t.to_snapshot))
       -- before a barrier by the routes of before, behind it as deployed
       and case when m.destinations is not null then l.destination = any(m.destinations)
                else m.topic ~ case when w.seen is null then w.topic_regex
                                    else (select u.wants from unnest(w.seen, w.regexes) with ordinality u(seen, wants, n)
                                           where pg_visible_in_snapshot(m.xid, u.seen) order by u.n limit 1) end end
     where l.id = $1::int
       -- parked ahead of the cursor
       and not exists (select from waybill.deliveries x
                        where x.destination = l.destination and x.seq = m.seq and x.message_id = m.id)
       and not exists (select from waybill.dropped g where g.lane_id = l.id and g.seq = m.seq and g.message_id = m.id)
     order by m.seq
     limit $5::int) m on true
 where i.nonce = $6::uuid
   and not (row_security_active('waybill.messages'::regclass) or row_security_active('waybill.lanes'::regclass)
            or row_security_active('waybill.positions'::regclass) or row_security_active('waybill.deltas'::regclass)
            or row_security_active('waybill.deliveries'::regclass) or row_security_active('waybill.destinations'::regclass)
            or row_security_active('waybill.dropped'::regclass) or row_security_active('waybill.barriers'::regclass))
