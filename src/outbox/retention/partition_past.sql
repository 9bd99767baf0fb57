-- partition_past($1 lower, $2 upper bigint, $3 age in ms): whether every message of a range is older than that. By BRIN,
-- so now() and not clock_timestamp(), which no index can be searched by.
select not exists (select from waybill.messages m
                    where m.seq >= coalesce($1::bigint, -9223372036854775808) and m.seq < $2::bigint
                      and m.created_at >= now() - $3::float8 * interval '1 ms') as past
