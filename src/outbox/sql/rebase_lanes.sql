-- Lanes and where they stand, for a rebase.
--   reused  messages were published at or below what the lane had read, after it had: their seqs come from a sequence that
--           was not brought along, and they can't be told from what the lane has delivered
select l.id, exists (
         select from waybill.messages m
          where m.seq <= t.to_floor and m.created_at > t.created_at) as reused
  from waybill.lanes l
  join lateral (select p.delta from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p on true
  join waybill.deltas t on t.lane_id = l.id and t.n = p.delta
 where l.state <> 'closed'
 order by l.id
