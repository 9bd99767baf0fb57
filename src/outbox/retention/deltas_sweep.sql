-- deltas_sweep($1 lane, $2 low bigint, $3 batch int): deletes deltas of a lane that no position names any more.
with kept as (select p.delta from waybill.positions p where p.lane_id = $1::int order by p.n limit 1),
old as (select d.n from waybill.deltas d, kept k
         where d.lane_id = $1::int and d.n > $2::bigint and d.n < k.delta order by d.n limit $3::int),
gone as (delete from waybill.deltas d where d.lane_id = $1::int and d.n = any(array(select o.n from old o)) returning d.n)
select count(*)::int as gone, to_json(max(g.n)) as last from gone g
