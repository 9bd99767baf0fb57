-- positions_sweep($1 lane, $2 low bigint, $3 keep, $4 batch int): deletes positions of a lane but for the latest `keep`.
--   last  everything up to here is gone; done  nothing is left to delete
with top as (select p.n from waybill.positions p where p.lane_id = $1::int order by p.n desc limit 1),
first as (select p.n from waybill.positions p where p.lane_id = $1::int and p.n > $2::bigint order by p.n limit 1),
bounds as (select least(f.n - 1 + $4::int, t.n - $3::int) as high, t.n - $3::int as goal from first f, top t),
gone as (
  delete from waybill.positions p using bounds b
   where p.lane_id = $1::int and p.n > $2::bigint and p.n <= b.high
  returning p.n)
select (select count(*) from gone)::int as gone, to_json(greatest($2::bigint, b.high)) as last, b.high >= b.goal as done from bounds b
