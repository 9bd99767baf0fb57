-- attempt_list($1 message uuid): every attempt that was written down, oldest first. One that succeeded at first is not.
select a.at, a.destination, a.attempt, a.outcome, a.code, a.message, a.duration_ms as "durationMs"
  from waybill.attempts a where a.message_id = $1::uuid order by a.at, a.destination
