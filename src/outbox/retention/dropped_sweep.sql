-- dropped_sweep($1 batch int): forgets what operators dropped once its lane has passed it, a day after it was dropped: until
-- then a lane that is set back to read again still knows of it.
with old as (
  select g.lane_id, g.seq, g.message_id
    from waybill.dropped g
    left join lateral (select * from waybill.lane_cursor y where y.lane_id = g.lane_id offset 0) c on true
    -- offset 0: one probe for each; a join of the whole log with these few is what the planner may else take
    left join lateral (select x.seq, x.id, x.xid from waybill.messages x where x.seq = g.seq and x.id = g.message_id offset 0) m on true
   where g.dropped_at < now() - interval '1 day'
     and (c.lane_id is null or m.id is null
          or not ((m.seq > c.read_seq and not pg_visible_in_snapshot(m.xid, c.seen))
                  or exists (select from unnest(c.running, c.running_floors) r(xid, floor)
                              where r.xid = m.xid and m.seq > r.floor and m.seq <= c.read_seq)))
   limit $1::int)
delete from waybill.dropped g using old o
 where g.lane_id = o.lane_id and g.seq = o.seq and g.message_id = o.message_id
