-- Lanes and where they stand, for a rebase.
--   reused  messages were published with seqs that had been drawn when the lane's last tick was taken, after it was: they
--           come from a sequence that was not brought along, and can't be told from what the lane has delivered
--   used    the greatest seq that was in use when the sequence was mended, after that tick; 0: it was not
select l.id, exists (
         select from waybill.messages m
          where m.seq <= t.ceiling and m.created_at > t.created_at) as reused,
       to_json(coalesce((
         select max((a.target ->> 'least')::bigint) from waybill.audit a
          where a.action = 'mend_sequence' and a.at > t.created_at), 0)) as used
  from waybill.lanes l
  join lateral (select p.delta from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p on true
  join lateral (select * from waybill.deltas y where y.lane_id = l.id and y.n = p.delta offset 0) t on true
 where l.state <> 'closed'
 order by l.id
