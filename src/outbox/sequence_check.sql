-- sequence_check(): what readers rely on of the log's sequence, and how far it must have come.
--   last   greatest seq drawn
--   least  what it must have reached: the greatest stored seq, and all that a lane has stored of it
select to_json(case when s.is_called then s.last_value else s.last_value - 1 end) as last,
       to_json(q.seqcache) as cache, q.seqcycle as cycle, to_json(q.seqincrement) as increment,
       to_json(u.seq) as least
  from waybill.message_seq s
  join pg_sequence q on q.seqrelid = 'waybill.message_seq'::regclass
 cross join waybill.message_seq_used u
