-- delivery_list($1 message uuid, $2 destination, $3 topic, $4 key, $5 state, $6 fingerprint text, $7 rows int): parked
-- deliveries that fit all that is not null, in the order of the log. `$7 + 1` tells whether there are more.
select d.destination, d.state, d.message_id as id, to_json(d.seq) as seq, d.topic, d.key, d.attempt,
       d.next_attempt_at as "nextAttemptAt", d.error_code as "errorCode", d.error, d.fingerprint, d.parked_at as since
  from waybill.deliveries d
 where ($1::uuid is null or d.message_id = $1::uuid) and ($2::text is null or d.destination = $2::text)
   and ($3::text is null or d.topic = $3::text) and ($4::text is null or d.key = $4::text)
   and ($5::text is null or d.state = $5::text) and ($6::text is null or d.fingerprint = $6::text)
 order by d.seq, d.message_id, d.destination
 limit $7::int
