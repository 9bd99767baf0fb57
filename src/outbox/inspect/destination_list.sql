-- destination_list(): what is deployed, with its routes, and what its open lanes have before them.
select d.name, d.kind, d.configured, d.shards, d.ordering as "order", d.on_dead as "onDead", d.settings, d.generation,
       d.created_at as "createdAt",
       coalesce((select array_agg(r.pattern order by r.pattern) from waybill.routes r where r.destination = d.name), '{}') as patterns,
       coalesce(s.lanes, 0)::float8 as lanes, to_json(coalesce(s.lag, 0)) as "lagMessages",
       coalesce(s.retrying, 0)::float8 as retrying, coalesce(s.held, 0)::float8 as held, coalesce(s.dead, 0)::float8 as dead
  from waybill.destinations d
  left join lateral (
    select count(*) as lanes, max(l.lag_messages) as lag, sum(l.retrying + l.in_flight) as retrying, sum(l.held) as held,
           sum(l.dead) as dead
      from waybill.lane_status l where l.destination = d.name) s on true
 order by d.name
