-- delivery_count($1 … $6 as in delivery_list): how many parked deliveries fit, by destination, state and fingerprint.
select d.destination, d.state, d.fingerprint, count(*)::float8 as n
  from waybill.deliveries d
 where ($1::uuid is null or d.message_id = $1::uuid) and ($2::text is null or d.destination = $2::text)
   and ($3::text is null or d.topic = $3::text) and ($4::text is null or d.key = $4::text)
   and ($5::text is null or d.state = $5::text) and ($6::text is null or d.fingerprint = $6::text)
 group by d.destination, d.state, d.fingerprint
 order by d.destination, d.state, n desc, d.fingerprint
