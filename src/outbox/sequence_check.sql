-- sequence_check(): what readers rely on of the log's sequence, and how far it must have come.
--   last   greatest seq drawn
--   least  what it must have reached: the greatest stored seq, and all that a lane has stored of it
select case when s.is_called then s.last_value else s.last_value - 1 end::float8 as last,
       q.seqcache::float8 as cache, q.seqcycle as cycle, q.seqincrement::float8 as increment,
       greatest((select m.seq from waybill.messages m order by m.seq desc limit 1), stored.least, 0)::float8 as least
  from waybill.message_seq s
  join pg_sequence q on q.seqrelid = 'waybill.message_seq'::regclass
 cross join (
   select max(greatest(t.to_floor, t.from_floor, t.ceiling)) as least
     from waybill.lanes l
     cross join lateral (select p.delta from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
     join waybill.deltas t on t.lane_id = l.id and t.n = p.delta) stored
