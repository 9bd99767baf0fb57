-- pending_list($1 destination, $2 topic, $3 key text): the first message before the cursor of each lane that is behind.
-- `messages` is how far the lane is behind: an upper bound of what it has to deliver. Where nothing is deployed, the first
-- message of the log (state undeployed), whatever is asked for.
select u.destination, u.state, u.message_id as id, to_json(u.seq) as seq, u.topic, u.key, u.error_code as "errorCode", u.error,
       u.since, to_json(u.messages) as messages
  from waybill.undelivered u
 where u.state = 'undeployed'
    or u.state = 'pending' and ($1::text is null or u.destination = $1::text)
       and ($2::text is null or u.topic = $2::text) and ($3::text is null or u.key = $3::text)
 order by u.destination, u.seq
