-- Waybill: the log, its lanes, and publishing. PostgreSQL 14 and later.
-- The outbox is a log: messages are only ever inserted; each lane stores how far it has read.

create schema if not exists waybill;

create table if not exists waybill.migrations (
  name        text primary key,
  checksum    text,
  applied_at  timestamptz not null default clock_timestamp()
);
insert into waybill.migrations (name) values ('20261122000000_log') on conflict do nothing;

-- One row for each task that one session does at a time: that session has the row locked until its transaction ends. Rows,
-- not advisory locks: any login may take one of those and keep it; a row takes the right to write to this table.
create table if not exists waybill.locks (
  name  text primary key
);
insert into waybill.locks (name)
values ('stage'), ('jobs'), ('partitions'), ('sequence'), ('roles'), ('rebase') on conflict do nothing;

-- For what PostgreSQL's times reach and nothing of ours does: a hundred years are further ahead than any plan.
create function waybill.is_time(t timestamptz) returns boolean language sql stable as $$
  select isfinite(t) and t <= clock_timestamp() + interval '100 years'
$$;
-- So many milliseconds from now; what is no number, or is further ahead, is a hundred years.
create function waybill.time_in(ms float8) returns timestamptz language sql volatile as $$
  select case when ms is not null
              then clock_timestamp() + greatest(least(ms, 3155760000000), 0) * interval '1 ms' end
$$;

-- ── The log ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- cache 1 and no cycle: a reader's floor relies on seq being drawn in order (with cache 20, 3,008 of 5,442 were lost).
create sequence waybill.message_seq as bigint cache 1 no cycle;

-- What no publisher can exceed and every reader counts on: 64 MiB and 1 MiB. (What is stored in so much less is compressed, and
-- never more than 255 times as large.) Domains and not CHECKs of the tables, which PostgreSQL reads anew for each statement:
-- 2 µs an insert in place of 32.
create domain waybill.payload as json
  constraint payload_size check (pg_column_size(value) <= 262144 or octet_length(value::text) <= 67108864);
create domain waybill.headers as json
  constraint headers_size check (pg_column_size(value) <= 4096 or octet_length(value::text) <= 1048576);

-- xid before seq: whoever writes draws the xid first, so a later xid always has a later seq.
create table waybill.messages (
  xid           xid8        not null, -- its default is below: it asks who sleeps
  seq           bigint      not null default nextval('waybill.message_seq'),
  id            uuid        not null,
  topic         text        not null,
  key           text,
  payload       waybill.payload not null,
  headers       waybill.headers,
  destinations  text[],
  created_at    timestamptz not null default clock_timestamp()
) partition by range (seq);
comment on table waybill.messages is 'The log. Insert-only. Read it within bounds on seq.';
comment on column waybill.messages.destinations is 'When set, the message goes to exactly these; routes are not asked.';

create index messages_seq on waybill.messages (seq);
create index messages_xid_seq on waybill.messages (xid, seq);
create index messages_id on waybill.messages (id);
create index messages_created_at on waybill.messages using brin (created_at);

-- Ranges are made ahead by maintenance; the tail behind them is an ordinary partition, so an insert never fails.
create table waybill.messages_p1 partition of waybill.messages for values from (minvalue) to (1000001);
create table waybill.messages_p1000001 partition of waybill.messages for values from (1000001) to (2000001);
create table waybill.messages_p2000001 partition of waybill.messages for values from (2000001) to (3000001);
create table waybill.messages_tail partition of waybill.messages for values from (3000001) to (maxvalue);

-- Messages for later. The stager moves what is due into the log.
create table waybill.scheduled (
  id            uuid        primary key,
  run_at        timestamptz not null check (isfinite(run_at)),
  topic         text        not null,
  key           text,
  payload       waybill.payload not null,
  headers       waybill.headers,
  destinations  text[],
  ordinal       bigint      generated always as identity,
  created_at    timestamptz not null default clock_timestamp()
);
create index scheduled_run_at on waybill.scheduled (run_at, ordinal);

create table waybill.dedupe_keys (
  topic       text        not null,
  dedupe_key  text        not null check (octet_length(dedupe_key) <= 1024),
  message_id  uuid        not null,
  expires_at  timestamptz not null,
  primary key (topic, dedupe_key)
);
create index dedupe_keys_expires_at on waybill.dedupe_keys (expires_at);

-- ── Who sleeps ───────────────────────────────────────────────────────────────────────────────────────────────────
-- Sequences, because a REPEATABLE READ publisher must see them too. A dispatcher that goes to sleep draws a ticket from
-- asleep; whoever hears a notification sets awake to the ticket that it names. Publishers notify while asleep is ahead.
create sequence waybill.asleep as bigint minvalue 0 start 0 cache 1 no cycle;
create sequence waybill.awake as bigint minvalue 0 start 0 cache 1 no cycle;
-- When the server started, in µs, on which message_seq was last found right: publishers compare it with their server's own
-- start. After a start, a crash, a promotion, in a physical copy and a restored dump it is another; where logical
-- replication brought the tables without sequences it was never set. There guard_sequence() is asked before anything is
-- published. None of the three is unlogged: such a sequence is zeros on a stand-by that is promoted before its next
-- restartpoint, and nothing repairs it.
create sequence waybill.server_start as bigint minvalue 0 start 0 cache 1 no cycle;
select nextval('waybill.asleep'), nextval('waybill.awake'),
       setval('waybill.server_start', (date_part('epoch', pg_postmaster_start_time()) * 1e6)::bigint);

-- ── Configuration as last deployed ───────────────────────────────────────────────────────────────────────────────

create table waybill.configurations (
  fingerprint  text        primary key,
  generation   int         not null unique,
  explicit     boolean     not null default false,
  first_seen   timestamptz not null default clock_timestamp()
);

create table waybill.destinations (
  name           text        primary key,
  kind           text        not null,
  settings       jsonb       not null default '{}',
  shards         int         not null default 1 check (shards between 1 and 256),
  ordering       text        not null default 'key' check (ordering in ('key', 'none')),
  on_dead        text        not null default 'hold' check (on_dead in ('hold', 'release')),
  topic_regex    text,
  generation     int         not null,
  configured     boolean     not null default true,
  created_at     timestamptz not null default clock_timestamp()
);
comment on column waybill.destinations.settings is 'As configured, secrets redacted.';
comment on column waybill.destinations.topic_regex is 'What its routes want; null when none does.';
comment on column waybill.destinations.configured is 'False when the configuration no longer names it: its lanes wait until it is removed by hand.';

create table waybill.routes (
  pattern      text not null,
  destination  text not null references waybill.destinations (name) on delete cascade,
  primary key (pattern, destination)
);

create table waybill.unrouted (
  topic       text        not null,
  n           bigint      not null,
  counted_at  timestamptz not null default clock_timestamp()
);

-- Up to which seq messages that no route wants have been counted.
create table waybill.unrouted_cursor (
  one  boolean primary key default true check (one),
  seq  bigint  not null
);

-- ── Dispatchers and lanes ────────────────────────────────────────────────────────────────────────────────────────

create table waybill.dispatchers (
  id          uuid        primary key,
  name        text        not null,
  host        text        not null,
  pid         int         not null,
  version     text        not null,
  generation  int         not null,
  lease_ms    int         not null,
  beat        bigint      not null default 0,
  started_at  timestamptz not null default clock_timestamp(),
  seen_at     timestamptz not null default clock_timestamp()
);

create table waybill.lanes (
  id            int         generated always as identity primary key,
  destination   text        not null references waybill.destinations (name) on delete cascade,
  shard         int         not null,
  shards        int         not null,
  epoch         bigint      not null default 0,
  holder        uuid,
  dispatcher    uuid,
  acquired_at   timestamptz,
  state         text        not null default 'active' check (state in ('active', 'paused', 'closing', 'closed')),
  pause_kind    text,
  pause_reason  text,
  paused_at     timestamptz,
  commands      bigint      not null default 0,
  created_at    timestamptz not null default clock_timestamp(),
  unique (destination, shards, shard)
);
comment on column waybill.lanes.epoch is 'Goes up with each acquisition.';
comment on column waybill.lanes.holder is 'A uuid drawn for each acquisition: an epoch can be used again after a failover, this cannot.';
comment on column waybill.lanes.commands is 'Goes up with each act of an operator on its parked deliveries: the holder reads them again.';

-- PostgreSQL itself empties an unlogged table at crash recovery and at promotion. A commit that names another nonce
-- stems from before: its snapshots may name xids that are now used again.
create unlogged table waybill.incarnation (
  one    boolean primary key default true check (one),
  nonce  uuid    not null
);

-- The two ticks between which a lane reads, stored once for each delta; then one position for each commit. Inserted,
-- never updated: under a held-open transaction an update of one hot row walks all its dead versions.
create table waybill.deltas (
  lane_id         int         not null references waybill.lanes (id) on delete cascade,
  n               bigint      not null,
  from_snapshot   pg_snapshot not null,
  from_floor      bigint      not null,
  running         xid8[]      not null default '{}',
  running_floors  bigint[]    not null default '{}',
  to_snapshot     pg_snapshot not null,
  to_floor        bigint      not null,
  ceiling         bigint      not null,
  generation      int         not null default 0,
  created_at      timestamptz not null default clock_timestamp(),
  primary key (lane_id, n)
);
comment on column waybill.deltas.running is 'xids that were running in from_snapshot; running_floors has the floor of each.';
comment on column waybill.deltas.generation is 'Of the configuration whose routes and order it was read under.';

-- Deltas that a lane reads next, in place of one up to a fresh tick: n follows the n of the one before. Written while
-- nobody holds the lane; a holder reads them when it takes the lane.
create table waybill.planned_deltas (
  lane_id         int         not null references waybill.lanes (id) on delete cascade,
  n               bigint      not null,
  from_snapshot   pg_snapshot not null,
  from_floor      bigint      not null,
  running         xid8[]      not null default '{}',
  running_floors  bigint[]    not null default '{}',
  to_snapshot     pg_snapshot not null,
  to_floor        bigint      not null,
  ceiling         bigint      not null,
  generation      int         not null default 0,
  primary key (lane_id, n)
);

-- Deployments that changed what a destination wants, or how it orders. Everything that the tick sees is treated as before
-- the deployment, by what is written here; everything else as deployed. A lane computes from these rows where it must stop
-- and change over: a row holds for it until it has read a delta of this generation, or stands at the tick.
create table waybill.barriers (
  destination  text        not null references waybill.destinations (name) on delete cascade,
  generation   int         not null,
  patterns     text[]      not null,
  topic_regex  text,
  ordering     text        not null,
  on_dead      text        not null,
  snapshot     pg_snapshot not null,
  floor        bigint      not null,
  ceiling      bigint      not null,
  created_at   timestamptz not null default clock_timestamp(),
  primary key (destination, generation)
);
comment on column waybill.barriers.generation is 'The deployed configuration, which holds behind the tick.';
comment on column waybill.barriers.patterns is 'What the routes wanted before; ordering and on_dead likewise.';

create table waybill.positions (
  lane_id       int         not null references waybill.lanes (id) on delete cascade,
  n             bigint      not null,
  delta         bigint      not null,
  after         bigint      not null,
  epoch         bigint      not null,
  delivered     bigint      not null default 0,
  committed_at  timestamptz not null default clock_timestamp(),
  primary key (lane_id, n)
);
comment on column waybill.positions.after is 'Read up to here within the delta; the delta is drained when it is its ceiling.';
comment on column waybill.positions.delivered is 'Messages delivered by this lane since it began.';

-- What message_seq must have reached: the greatest stored seq, and all that a lane has stored of it.
-- Here and below, offset 0 makes a subquery a probe for each row. Where statistics are old the planner takes a table that has
-- grown for a small one, and joins all of it with all: 3,400,000 blocks for lanes_before in place of 4,000.
create view waybill.message_seq_used as
select greatest((select m.seq from waybill.messages m order by m.seq desc limit 1), stored.least, 0) as seq
  from (select max(greatest(t.to_floor, t.from_floor, t.ceiling)) as least
          from waybill.lanes l
          cross join lateral (select p.delta from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
          join lateral (select * from waybill.deltas d where d.lane_id = l.id and d.n = p.delta offset 0) t on true) stored;

-- Only what left the fast path.
create table waybill.deliveries (
  destination      text        not null,
  lane_id          int         not null references waybill.lanes (id) on delete cascade,
  seq              bigint      not null,
  message_id       uuid        not null,
  topic            text        not null,
  key              text,
  state            text        not null check (state in ('in_flight', 'retrying', 'held', 'dead')),
  attempt          int         not null default 0,
  next_attempt_at  timestamptz,
  error_code       text,
  error            text,
  fingerprint      text,
  parked_at        timestamptz not null default clock_timestamp(),
  updated_at       timestamptz not null default clock_timestamp(),
  primary key (destination, seq, message_id)
) with (fillfactor = 80);
create index deliveries_lane on waybill.deliveries (lane_id, seq);
create index deliveries_message on waybill.deliveries (message_id);
create index deliveries_seq on waybill.deliveries (seq);
comment on column waybill.deliveries.attempt is 'Attempts charged so far.';

-- What operators dropped, and may lie ahead of its lane's cursor: a holder that reads its message must know, and so must
-- the one after it. Goes a day after the cursor has passed it, or with its range of the log.
create table waybill.dropped (
  lane_id     int         not null references waybill.lanes (id) on delete cascade,
  seq         bigint      not null,
  message_id  uuid        not null,
  dropped_at  timestamptz not null default clock_timestamp(),
  primary key (lane_id, seq, message_id)
);
create index dropped_seq on waybill.dropped (seq);

-- Insert-only, by their own time. As in the log, a tail takes what no range was made for.
create table waybill.attempts (
  at           timestamptz not null default clock_timestamp(),
  destination  text        not null,
  message_id   uuid        not null,
  seq          bigint      not null,
  attempt      int         not null,
  outcome      text        not null,
  code         text,
  message      text,
  duration_ms  int
) partition by range (at);
create index attempts_message on waybill.attempts (message_id);
create table waybill.attempts_tail partition of waybill.attempts for values from (minvalue) to (maxvalue);

create table waybill.receipts (
  at           timestamptz not null default clock_timestamp(),
  destination  text        not null,
  message_id   uuid        not null,
  seq          bigint      not null,
  attempt      int         not null,
  duration_ms  int,
  receipt      json
) partition by range (at);
create index receipts_message on waybill.receipts (message_id);
create table waybill.receipts_tail partition of waybill.receipts for values from (minvalue) to (maxvalue);

create table waybill.audit (
  id      bigint      generated always as identity primary key,
  at      timestamptz not null default clock_timestamp(),
  actor   text        not null default session_user,
  on_behalf_of  text,
  action  text        not null,
  target  jsonb       not null default '{}',
  reason  text
);

comment on column waybill.audit.actor is 'The login. No role but the owner can write another.';
comment on column waybill.audit.on_behalf_of is 'Whom it said it acted for (p_actor, --actor); null: itself.';

-- ── Publishing ───────────────────────────────────────────────────────────────────────────────────────────────────

-- A uuid v7 (RFC 9562): 48 bits of milliseconds, then random.
create function waybill.uuid_v7() returns uuid
language sql volatile parallel safe
as $$
  select encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

-- What may be published. Plain SQL, which the planner takes into the expression that asks. No text with a backslash that is not
-- marked E: where a session has standard_conforming_strings off, '\.' is any character.
create function waybill.is_topic(topic text) returns boolean language sql immutable as $$
  select length(topic) <= 255 and topic ~ '^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$'
$$;
create function waybill.is_key(key text) returns boolean language sql immutable as $$
  select key is null or (key <> '' and octet_length(key) <= 1024 and key !~ E'[\\x01-\\x1f\\x7f-\\x9f]')
$$;
-- Limits of publish. Constants, which cost nothing where they are asked, and which only the owner can replace: set_limits.
create function waybill.max_payload_bytes() returns int language sql immutable as $$ select 1048576 $$;
create function waybill.max_header_bytes() returns int language sql immutable as $$ select 65536 $$;

-- Sets the limits of publish, from now on and for all; null leaves one as it is. For the owner of the schema. What is
-- inserted without publish is held to the greatest that can be set here.
create function waybill.set_limits(payload_bytes int default null, header_bytes int default null) returns void
language plpgsql volatile
as $$
begin
  if payload_bytes not between 1 and 67108864 or header_bytes not between 0 and 1048576 then
    raise exception using errcode = '22023', message = format('waybill.set_limits: %s bytes of payload, %s of headers', payload_bytes, header_bytes),
      hint = 'Give 1 to 67108864 bytes of payload, 0 to 1048576 of headers.';
  end if;
  if payload_bytes is not null then
    execute format('create or replace function waybill.max_payload_bytes() returns int language sql immutable as $f$ select %s $f$', payload_bytes);
  end if;
  if header_bytes is not null then
    execute format('create or replace function waybill.max_header_bytes() returns int language sql immutable as $f$ select %s $f$', header_bytes);
  end if;
end
$$;

-- Raises 22023 (invalid_parameter_value) with the field, what it got and the remedy. Takes what is to be published;
-- writes nothing.
create function waybill.check_message(
  topic text, payload json, key text, headers json, destinations text[]
) returns void
language plpgsql stable
as $$
declare
  max_bytes constant int := waybill.max_payload_bytes();
  bad text;
begin
  if waybill.is_topic(topic) is not true then
    raise exception using errcode = '22023', message = format('waybill.publish: topic %L is not valid', left(topic, 300)),
      hint = 'Use 1 to 255 characters: words of letters, digits, "_" and "-" joined by dots, as in order.created.';
  end if;
  if payload is null then
    raise exception using errcode = '22023', message = 'waybill.publish: payload is null',
      hint = 'Give JSON; to publish the JSON value null, give the text null cast to json.';
  end if;
  if octet_length(payload::text) > max_bytes then
    raise exception using errcode = '22023',
      message = format('waybill.publish: payload of %s bytes is larger than %s', octet_length(payload::text), max_bytes),
      hint = 'Publish a reference to the data, or raise the limit, as the owner: select waybill.set_limits(payload_bytes => …).';
  end if;
  if not waybill.is_key(key) then
    raise exception using errcode = '22023', message = format('waybill.publish: key %L is not valid', left(key, 300)),
      hint = 'Use 1 to 1024 bytes without control characters, or null for no order.';
  end if;
  if headers is not null then
    if json_typeof(headers) <> 'object' then
      raise exception using errcode = '22023', message = format('waybill.publish: headers are a JSON %s', json_typeof(headers)),
        hint = 'Give an object whose values are strings.';
    end if;
    if octet_length(headers::text) > waybill.max_header_bytes() then
      raise exception using errcode = '22023',
        message = format('waybill.publish: headers of %s bytes are larger than %s', octet_length(headers::text), waybill.max_header_bytes()),
        hint = 'Put it into the payload, or raise the limit, as the owner: select waybill.set_limits(header_bytes => …).';
    end if;
    -- an escape of U+0000, which is behind an even number of backslashes: text can't hold it
    if headers::text ~ E'(^|[^\\\\])(\\\\\\\\)*\\\\u0000' then
      raise exception using errcode = '22023', message = 'waybill.publish: headers have U+0000', hint = 'Remove or encode it.';
    end if;
    if (select count(*) from json_object_keys(headers)) > 128 then
      raise exception using errcode = '22023', message = 'waybill.publish: more than 128 headers', hint = 'Put them into the payload.';
    end if;
    select h.key into bad from json_each(headers) h
     where h.key !~ '^[a-z0-9!#$%&''*+.^_`|~-]{1,128}$' or json_typeof(h.value) <> 'string' limit 1;
    if found then
      raise exception using errcode = '22023', message = format('waybill.publish: header %L is not valid', left(bad, 300)),
        hint = 'Names are lower-case HTTP tokens of up to 128 characters; values are strings.';
    end if;
  end if;
  if cardinality(destinations) > 1000 then
    raise exception using errcode = '22023', message = 'waybill.publish: more than 1000 destinations',
      hint = 'Name each of them once.';
  end if;
  if destinations is not null then
    select d into bad from unnest(destinations) d
     where not exists (select from waybill.destinations x where x.name = d and x.configured) limit 1;
    if found or cardinality(destinations) = 0 then
      raise exception using errcode = '22023', message = format('waybill.publish: destination %L is not known', bad),
        hint = 'Name destinations of the deployed configuration (waybill destinations lists them).';
    end if;
  end if;
end
$$;

-- Likewise for when it is published, and once.
create function waybill.check_times(run_at timestamptz, dedupe_key text, dedupe_window interval) returns void
language plpgsql stable
as $$
begin
  if not waybill.is_time(run_at) then
    raise exception using errcode = '22023', message = format('waybill.publish: run_at %s is not valid', run_at),
      hint = 'Give a time within a hundred years from now, or null for at once.';
  end if;
  if dedupe_key = '' or octet_length(dedupe_key) > 1024 then
    raise exception using errcode = '22023',
      message = format('waybill.publish: dedupe_key has %s bytes', octet_length(dedupe_key)),
      hint = 'Use 1 to 1024 bytes, or null to publish each time; a hash of a longer text will do.';
  end if;
  if dedupe_key is not null and (dedupe_window < interval '0' or dedupe_window > interval '100 years') then
    raise exception using errcode = '22023',
      message = format('waybill.publish: dedupe_window %s is not valid', dedupe_window),
      hint = 'Give an interval of up to a hundred years, or null for 24 hours.';
  end if;
end
$$;

-- Whether message_seq was found right since this server started, and the sequences of who sleeps were drawn from here or
-- came along. The default of messages.xid asks the same.
create function waybill.is_guarded() returns boolean
language sql volatile
as $$
  select (pg_sequence_last_value('waybill.server_start') = (date_part('epoch', pg_postmaster_start_time()) * 1e6)::bigint
          and pg_sequence_last_value('waybill.asleep') is not null
          and pg_sequence_last_value('waybill.awake') is not null) is true
$$;

-- For a server that has started since message_seq was last found right: before the first publish there it is set ahead of
-- all that was used. A message with a seq that was used before would overtake older ones of its key, and a lane that knows
-- that seq would have to read all of the log again. One session at a time; what it does is there at once, for all.
create function waybill.guard_sequence() returns void
language plpgsql volatile
as $$
declare
  mine boolean;
  found_right boolean;
  mended jsonb;
  last bigint;
  used bigint;
  first bigint;
  ticket bigint;
begin
  while not waybill.is_guarded() loop
    mended := null;
    begin
      -- The lock ends with this block, as the transaction may be long. It is not waited for: that could end in a deadlock.
      perform from waybill.locks k where k.name = 'sequence' for update skip locked;
      mine := found;
      found_right := waybill.is_guarded();
      if mine and not found_right then
        select s.last_value - case when s.is_called then 0 else 1 end, u.seq into last, used
          from waybill.message_seq s, waybill.message_seq_used u;
        if last < used then
          perform setval('waybill.message_seq', used + 1000);
          mended := jsonb_build_object('from', last, 'least', used, 'to', used + 1000);
        end if;
        -- Tickets of the old server, which may have drawn more than came along, must silence no one who falls asleep here.
        select min(d.t), max(d.t) into first, ticket
          from (select nextval('waybill.asleep') as t from generate_series(1, 1000)) d;
        if pg_sequence_last_value('waybill.awake') is null then perform nextval('waybill.awake'); end if;
        if ticket <= pg_sequence_last_value('waybill.awake') then
          -- a dump reads the two one after the other
          perform setval('waybill.asleep', pg_sequence_last_value('waybill.awake') + 1000);
        elsif first = pg_sequence_last_value('waybill.awake') + 1 and ticket = first + 999
              and (select m.own from waybill.cluster_mark m) then
          -- All came along, and no one has drawn a ticket since the last answer. Else asleep stays ahead, and publishers
          -- notify until there is an answer. (After a crash too: what a sequence logs is up to 32 ahead.)
          perform setval('waybill.awake', ticket);
        end if;
        -- last: what is drawn by those who see it is right
        perform setval('waybill.server_start', (date_part('epoch', pg_postmaster_start_time()) * 1e6)::bigint);
      end if;
      -- what was set stays: sequences take nothing back
      raise exception using errcode = 'WB000';
    exception when sqlstate 'WB000' then null;
    end;
    if mended is not null then
      insert into waybill.audit (action, target, reason)
      values ('mend_sequence', mended, 'waybill.message_seq did not come along to this server');
    end if;
    if not (mine or found_right) then
      if not exists (select from waybill.locks k where k.name = 'sequence') then
        raise exception using errcode = '55000', message = 'waybill.locks has no row "sequence"',
          hint = 'Put it back: insert into waybill.locks values (''sequence'').';
      end if;
      perform pg_sleep(0.005);
    end if;
  end loop;
end
$$;

-- For a message's xid where somebody sleeps, or where the sequence was not looked at since the server started: puts it right
-- before a seq is drawn, and notifies, unless the transaction says set local waybill.notify = off. Gives the xid.
create function waybill.wake_dispatchers() returns xid8
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not waybill.is_guarded() then perform waybill.guard_sequence(); end if;
  if pg_sequence_last_value('waybill.asleep') > pg_sequence_last_value('waybill.awake')
     and coalesce(current_setting('waybill.notify', true), '') <> 'off' then
    perform pg_notify('waybill_wake', pg_sequence_last_value('waybill.asleep')::text);
  end if;
  return pg_current_xact_id();
end
$$;

-- Every message asks whether somebody sleeps, whoever inserts it: a default is part of the insert's plan, and costs a tenth
-- of what a function around the insert does. The xid is drawn first: a dispatcher that falls asleep now finds this
-- transaction running and waits for its end. seq is the next column, so what is wrong with its sequence is mended first.
alter table waybill.messages alter column xid set default
  case when pg_current_xact_id() is not null
        and pg_sequence_last_value('waybill.server_start') = (date_part('epoch', pg_postmaster_start_time()) * 1e6)::bigint
        and pg_sequence_last_value('waybill.asleep') <= pg_sequence_last_value('waybill.awake')
       then pg_current_xact_id() else waybill.wake_dispatchers() end;

-- Raises 22023 for a message that was inserted and is not there: a trigger or a rule, which are none of ours, kept it out.
create function waybill.refuse_kept_out(p_table text) returns uuid
language plpgsql volatile
as $$
begin
  raise exception using errcode = '22023',
    message = format('waybill.publish: a trigger or a rule on %s keeps the message out', p_table),
    hint = 'Waybill puts none there: drop it, or let it leave the row as it is';
end
$$;

-- Publishes in the caller's transaction. Any language; EXECUTE is all that it takes.
--   topic         what the message is about: order.created
--   payload       JSON, kept byte for byte; at most 1 MiB (waybill.set_limits)
--   key           messages with equal keys reach each destination in publish order; null: no order
--   headers       JSON object of up to 128 strings, names in lower case; at most 64 KiB (waybill.set_limits)
--   id            uuid; drawn (v7) when null
--   run_at        not before this time, of the next hundred years; null or past: at once
--   dedupe_key    up to 1024 bytes: a second publish of the topic with it, within dedupe_window, writes nothing and returns the first id
--   destinations  exactly these, in place of the routes
--   key_lock      take an advisory lock on the key until the transaction ends, so that publish order is commit order. Not a
--                 row: it would be one for each key, and fail at REPEATABLE READ. Only those who ask for it wait for it
-- Returns the id. Raises 22023 for what is not valid, and then has written nothing.
create function waybill.publish(
  topic text,
  payload json,
  key text default null,
  headers json default null,
  id uuid default null,
  run_at timestamptz default null,
  dedupe_key text default null,
  dedupe_window interval default '24 hours',
  destinations text[] default null,
  key_lock boolean default false
) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  first_id uuid;
begin
  -- Expressions and not PERFORM: they start no executor (5 to 20 µs each). And few of them: each is set up anew in each
  -- transaction (1 to 5 µs). Most publishes ask this one question: a plain message, and valid.
  if id is null then id := waybill.uuid_v7(); end if;
  if (headers is null and destinations is null and dedupe_key is null and run_at is null and not key_lock
      and waybill.is_topic(topic) and waybill.is_key(key)
      and octet_length(payload::text) <= waybill.max_payload_bytes()) is true then
    insert into waybill.messages (id, topic, key, payload) values (id, topic, key, payload);
    return case when found then id else waybill.refuse_kept_out('waybill.messages') end;
  end if;
  if waybill.check_message(topic, payload, key, headers, destinations) is null then end if;
  if waybill.check_times(run_at, dedupe_key, dedupe_window) is null then end if;
  if dedupe_key is not null then
    insert into waybill.dedupe_keys as k (topic, dedupe_key, message_id, expires_at)
    values (topic, dedupe_key, id, clock_timestamp() + coalesce(dedupe_window, interval '24 hours'))
    on conflict on constraint dedupe_keys_pkey do update
      set message_id = excluded.message_id, expires_at = excluded.expires_at
      where k.expires_at <= clock_timestamp();
    if not found then
      select k.message_id into first_id from waybill.dedupe_keys k
       where k.topic = publish.topic and k.dedupe_key = publish.dedupe_key;
      return first_id;
    end if;
  end if;
  if key_lock and key is not null then
    perform pg_advisory_xact_lock(hashtextextended(key, 7718266));
  end if;
  if run_at > clock_timestamp() then
    insert into waybill.scheduled (id, run_at, topic, key, payload, headers, destinations)
    values (id, run_at, topic, key, payload, headers, destinations);
    if not found then return waybill.refuse_kept_out('waybill.scheduled'); end if;
    perform waybill.wake_dispatchers();
  else
    insert into waybill.messages (id, topic, key, payload, headers, destinations)
    values (id, topic, key, payload, headers, destinations);
    if not found then return waybill.refuse_kept_out('waybill.messages'); end if;
  end if;
  return id;
end
$$;

-- The same for many, in one statement. Arrays of one length; element i of each belongs to message i. destinations holds
-- a JSON array of names for each, or null. Dedupe keys are taken in one order, so that two calls can't deadlock.
-- Returns an id for each message, in order. Raises 22023 with the number of the element (1 for the first) in the error's
-- column field, and then has written nothing.
create function waybill.publish_many(
  topics text[],
  payloads json[],
  keys text[],
  headers json[],
  ids uuid[],
  run_ats timestamptz[],
  dedupe_keys text[],
  dedupe_windows interval[],
  destinations json[],
  key_locks boolean[]
) returns uuid[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  n constant int := coalesce(cardinality(topics), 0);
  result uuid[] := ids;
  skip boolean[] := array_fill(false, array[n]);
  later boolean[] := array_fill(false, array[n]);
  inserted int;
  now_at constant timestamptz := clock_timestamp();
  targets json;
  named text[];
  first_id uuid;
  at_element int;
  refusal text;
  remedy text;
  r record;
begin
  if n = 0 then return '{}'; end if;
  begin
    for i in 1 .. n loop
      at_element := i;
      targets := destinations[i];
      named := case when targets is null then null else array(select json_array_elements_text(targets)) end;
      if waybill.check_message(topics[i], payloads[i], keys[i], headers[i], named) is null then end if;
      if waybill.check_times(run_ats[i], dedupe_keys[i], dedupe_windows[i]) is null then end if;
      result[i] := coalesce(ids[i], waybill.uuid_v7());
      later[i] := coalesce(run_ats[i] > now_at, false);
    end loop;
  exception when invalid_parameter_value then
    get stacked diagnostics refusal = message_text, remedy = pg_exception_hint;
    raise exception using errcode = '22023', message = format('%s (element %s of %s)', refusal, at_element, n),
      hint = remedy, column = at_element::text;
  end;
  for r in
    select i::int as i from unnest(dedupe_keys) with ordinality d(k, i)
     where d.k is not null order by topics[d.i::int] collate "C", d.k collate "C", d.i
  loop
    insert into waybill.dedupe_keys as k (topic, dedupe_key, message_id, expires_at)
    values (topics[r.i], dedupe_keys[r.i], result[r.i],
            clock_timestamp() + coalesce(dedupe_windows[r.i], interval '24 hours'))
    on conflict on constraint dedupe_keys_pkey do update
      set message_id = excluded.message_id, expires_at = excluded.expires_at
      where k.expires_at <= clock_timestamp();
    if not found then
      select k.message_id into first_id from waybill.dedupe_keys k
       where k.topic = topics[r.i] and k.dedupe_key = dedupe_keys[r.i];
      result[r.i] := first_id;
      skip[r.i] := true;
    end if;
  end loop;
  perform pg_advisory_xact_lock(l.h) from (
    select distinct hashtextextended(k.key, 7718266) as h
      from unnest(keys, key_locks) k(key, locked) where k.locked and k.key is not null order by 1
  ) l;
  insert into waybill.scheduled (id, run_at, topic, key, payload, headers, destinations)
  select m.id, m.run_at, m.topic, m.key, m.payload, m.headers,
         case when m.destinations is null then null else array(select json_array_elements_text(m.destinations)) end
    from unnest(result, topics, keys, payloads, headers, destinations, run_ats, skip, later) with ordinality
         m(id, topic, key, payload, headers, destinations, run_at, skipped, later, i)
   where not m.skipped and m.later
   order by m.i;
  get diagnostics inserted = row_count;
  if inserted < (select count(*) from unnest(skip, later) m(skipped, later) where not m.skipped and m.later) then
    return array[waybill.refuse_kept_out('waybill.scheduled')];
  end if;
  if inserted > 0 then perform waybill.wake_dispatchers(); end if;
  insert into waybill.messages (id, topic, key, payload, headers, destinations)
  select m.id, m.topic, m.key, m.payload, m.headers,
         case when m.destinations is null then null else array(select json_array_elements_text(m.destinations)) end
    from unnest(result, topics, keys, payloads, headers, destinations, skip, later) with ordinality
         m(id, topic, key, payload, headers, destinations, skipped, later, i)
   where not m.skipped and not m.later
   order by m.i;
  get diagnostics inserted = row_count;
  if inserted < (select count(*) from unnest(skip, later) m(skipped, later) where not m.skipped and not m.later) then
    return array[waybill.refuse_kept_out('waybill.messages')];
  end if;
  return result;
end
$$;

-- Takes back a message that is still scheduled. Returns false when there is none: already in the log, or never there.
create function waybill.cancel(id uuid) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from waybill.scheduled s where s.id = cancel.id;
  return found;
end
$$;

-- Moves what is due into the log, in order of its time. One stager at a time; others move nothing.
--   batch      rows at most
--   due_after  a low-water mark: rows due before it are not looked at (under a held snapshot the index is full of dead
--              rows there: 38 ms for an empty look after 150,000 staged ones)
-- Returns how many were moved, the time up to which all was looked at (null where another stager was at it: nothing was), and
-- the milliseconds until the next is due.
create function waybill.stage_scheduled(batch int, due_after timestamptz default '-infinity')
returns table (staged int, staged_to timestamptz, next_in_ms float8)
language plpgsql volatile
as $$
declare
  at constant timestamptz := clock_timestamp();
begin
  staged := 0;
  staged_to := at;
  -- asked first: a lock writes to its row
  if exists (select from waybill.scheduled s where s.run_at >= due_after and s.run_at <= at) then
    perform from waybill.locks k where k.name = 'stage' for update skip locked;
    if found then
      with due as (
        delete from waybill.scheduled d
         where d.id in (
           select s.id from waybill.scheduled s where s.run_at >= due_after and s.run_at <= at
            order by s.run_at, s.ordinal limit batch)
        returning d.*
      )
      insert into waybill.messages (id, topic, key, payload, headers, destinations)
      select d.id, d.topic, d.key, d.payload, d.headers, d.destinations from due d order by d.run_at, d.ordinal;
      get diagnostics staged = row_count;
    else
      staged_to := null;
    end if;
  end if;
  -- an infinite time can't be subtracted from before PostgreSQL 17: a day is soon enough to look again
  select extract(epoch from least(greatest(s.run_at, at - interval '1 day'), at + interval '1 day') - clock_timestamp()) * 1000
    into next_in_ms
    from waybill.scheduled s
   where s.run_at >= due_after order by s.run_at, s.ordinal limit 1;
  return next;
end
$$;

-- ── Dispatching ──────────────────────────────────────────────────────────────────────────────────────────────────

-- A dispatcher's heartbeat: renews the leases of all its lanes (a lease lives as long as its holder's beat moves), and
-- answers with everything that it must know, in one round trip. Its commit has an xid.
create function waybill.dispatcher_beat(
  p_id uuid, p_name text, p_host text, p_pid int, p_version text, p_generation int, p_lease_ms int
) returns jsonb
language plpgsql volatile
as $$
declare
  n uuid;
begin
  if pg_is_in_recovery() then
    raise exception using errcode = 'WB003', message = 'the database is in recovery: a stand-by cannot be dispatched from';
  end if;
  select i.nonce into n from waybill.incarnation i;
  if not found then
    insert into waybill.incarnation (nonce) values (gen_random_uuid()) on conflict do nothing;
    select i.nonce into n from waybill.incarnation i;
  end if;
  insert into waybill.dispatchers as d (id, name, host, pid, version, generation, lease_ms)
  values (p_id, p_name, p_host, p_pid, p_version, p_generation, p_lease_ms)
  on conflict (id) do update set beat = d.beat + 1, seen_at = clock_timestamp(), generation = excluded.generation;
  -- comes back to its own listener: proof that notifications arrive (through a pooler they silently do not)
  perform pg_notify('waybill_lanes', 'beat:' || p_id);
  return jsonb_build_object(
    'nonce', n,
    'isolation', current_setting('transaction_isolation'),
    'sequence', (select jsonb_build_object('last', case when s.is_called then s.last_value else s.last_value - 1 end)
                   from waybill.message_seq s),
    'sequenceCache', (select q.seqcache from pg_sequence q where q.seqrelid = 'waybill.message_seq'::regclass),
    'storedFloor', (select coalesce(max(greatest(t.to_floor, t.from_floor)), 0) from waybill.lanes l
                     cross join lateral (select p.delta from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
                     join lateral (select * from waybill.deltas d where d.lane_id = l.id and d.n = p.delta offset 0) t on true),
    'generation', (select coalesce(max(c.generation), 0) from waybill.configurations c),
    'dispatchers', (select coalesce(jsonb_agg(jsonb_build_object('id', d.id, 'beat', d.beat, 'leaseMs', d.lease_ms,
                     'generation', d.generation) order by d.id), '[]') from waybill.dispatchers d),
    'lanes', (select coalesce(jsonb_agg(jsonb_build_object('id', l.id, 'destination', l.destination, 'shard', l.shard,
                'shards', l.shards, 'epoch', l.epoch, 'holder', l.holder, 'dispatcher', l.dispatcher,
                'state', l.state, 'commands', l.commands) order by l.id), '[]')
                from waybill.lanes l where l.state <> 'closed')
  );
end
$$;

-- Commits what lanes of one dispatcher did: for each its position, and what left or rejoined the fast path, together or not
-- at all. One statement for all of them: 12 lanes that each committed alone cost the database six times as much.
--   p_wait        true: waits for a lane's row that is locked, and raises WB001 when a lane is another's, WB002 after a crash
--                 or a promotion of the database. False: leaves such lanes out, so that no lane waits for another's sake
--   p_lanes, p_epochs, p_holders, p_nonces   the lanes, each with its fence
--   p_ns          number of a lane's position, one more than its last; -1 when its cursor did not move (a null in an array's
--                 text depends on the session's array_nulls)
--   p_deltas, p_afters, p_delivered          the positions
--   p_new_deltas  the deltas that p_deltas names and are not stored yet: [{lane, n, …}]
--   p_parked      [{lane, seq, id, topic, key, state, attempt, in, code, error, fingerprint}] leave the fast path; in: ms
--   p_updated     [{lane, seq, id, was, state, attempt, in, code, error, fingerprint}] were parked with `was` attempts
--   p_settled     [{lane, seq, id, was}] are delivered
--   p_attempts    [{lane, id, seq, attempt, outcome, code, error, ms}]
--   p_receipt_lanes, …  a receipt from each place of six lists: 3 µs each, where a list of objects took 5;
--                 p_receipt_ms: -1 for none; p_receipts: JSON texts, one a line, as JSON text has no line breaks of its own;
--                 null: without
-- Returns for each of p_lanes how many of its p_updated and p_settled were still as the lane knew them: fewer means that an
-- operator acted. Null: nothing of that lane was written.
create function waybill.lanes_commit(
  p_wait boolean, p_lanes int[], p_epochs bigint[], p_holders uuid[], p_nonces uuid[],
  p_ns bigint[], p_deltas bigint[], p_afters bigint[], p_delivered bigint[],
  p_new_deltas jsonb default null, p_parked jsonb default null, p_updated jsonb default null,
  p_settled jsonb default null, p_attempts jsonb default null, p_receipt_lanes int[] default null,
  p_receipt_ids uuid[] default null, p_receipt_seqs bigint[] default null, p_receipt_attempts int[] default null,
  p_receipt_ms int[] default null, p_receipts text default null
) returns int[]
language plpgsql volatile
as $$
declare
  held int[];
  dests text[];
  here uuid;
  changed int[] := '{}';
  more int[];
begin
  perform set_config('synchronous_commit', 'on', true);
  if p_wait then
    select array_agg(x.id), array_agg(x.destination) into held, dests
      from (select l.id, l.destination
              from unnest(p_lanes, p_epochs, p_holders) c(id, epoch, holder)
              join waybill.lanes l on l.id = c.id and l.epoch = c.epoch and l.holder = c.holder for share of l) x;
  else
    select array_agg(x.id), array_agg(x.destination) into held, dests
      from (select l.id, l.destination
              from unnest(p_lanes, p_epochs, p_holders) c(id, epoch, holder)
              join waybill.lanes l on l.id = c.id and l.epoch = c.epoch and l.holder = c.holder
               for share of l skip locked) x;
  end if;
  select i.nonce into here from waybill.incarnation i;
  if p_wait and held @> p_lanes is not true then
    raise exception using errcode = 'WB001', message = format('lanes %s are no longer held as %s', p_lanes, p_holders);
  end if;
  if here = all (p_nonces) is not true then
    if p_wait then
      raise exception using errcode = 'WB002', message = 'the database crashed or was promoted since this lane read from it';
    end if;
    select array_agg(h.lane), array_agg(h.destination) into held, dests
      from unnest(held, dests) h(lane, destination)
      join unnest(p_lanes, p_nonces) c(lane, nonce) using (lane)
     where c.nonce = here;
  end if;
  if p_new_deltas is not null then
    insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, running, running_floors, to_snapshot, to_floor, ceiling,
                                generation)
    select d.lane, d.n, d.from_snapshot, d.from_floor, d.running, d.running_floors, d.to_snapshot, d.to_floor, d.ceiling,
           d.generation
      from jsonb_to_recordset(p_new_deltas) d(lane int, n bigint, from_snapshot pg_snapshot, from_floor bigint, running xid8[],
           running_floors bigint[], to_snapshot pg_snapshot, to_floor bigint, ceiling bigint, generation int)
     where d.lane = any (held);
  end if;
  insert into waybill.positions (lane_id, n, delta, after, epoch, delivered)
  select c.lane, c.n, c.delta, c.after, c.epoch, c.delivered
    from unnest(p_lanes, p_ns, p_deltas, p_afters, p_epochs, p_delivered) c(lane, n, delta, after, epoch, delivered)
   where c.n >= 0 and c.lane = any (held);
  if p_parked is not null then
    insert into waybill.deliveries (destination, lane_id, seq, message_id, topic, key, state, attempt, next_attempt_at,
                                    error_code, error, fingerprint)
    select h.destination, d.lane, d.seq, d.id, d.topic, d.key, d.state, d.attempt,
           waybill.time_in(d."in"), d.code, d.error, d.fingerprint
      from jsonb_to_recordset(p_parked) d(lane int, seq bigint, id uuid, topic text, key text, state text, attempt int,
           "in" float8, code text, error text, fingerprint text)
      join unnest(held, dests) h(lane, destination) using (lane)
     -- an operator was faster
     where not exists (select from waybill.dropped g where g.lane_id = d.lane and g.seq = d.seq and g.message_id = d.id);
  end if;
  if p_updated is not null then
    with done as (
      update waybill.deliveries x
         set state = d.state, attempt = d.attempt, next_attempt_at = waybill.time_in(d."in"),
             error_code = d.code, error = d.error, fingerprint = d.fingerprint, updated_at = clock_timestamp()
        from jsonb_to_recordset(p_updated) d(lane int, seq bigint, id uuid, was int, state text, attempt int, "in" float8,
             code text, error text, fingerprint text)
        join unnest(held, dests) h(lane, destination) using (lane)
       where x.destination = h.destination and x.seq = d.seq and x.message_id = d.id and x.attempt = d.was
      returning d.lane
    )
    select array_agg(done.lane) into more from done;
    changed := changed || more;
  end if;
  if p_settled is not null then
    with done as (
      delete from waybill.deliveries x
       using jsonb_to_recordset(p_settled) d(lane int, seq bigint, id uuid, was int)
        join unnest(held, dests) h(lane, destination) using (lane)
       where x.destination = h.destination and x.seq = d.seq and x.message_id = d.id and x.attempt = d.was
      returning d.lane
    )
    select array_agg(done.lane) into more from done;
    changed := changed || more;
  end if;
  if p_attempts is not null then
    insert into waybill.attempts (destination, message_id, seq, attempt, outcome, code, message, duration_ms)
    select h.destination, d.id, d.seq, d.attempt, d.outcome, d.code, d.error, d.ms
      from jsonb_to_recordset(p_attempts) d(lane int, id uuid, seq bigint, attempt int, outcome text, code text, error text,
           ms int)
      join unnest(held, dests) h(lane, destination) using (lane);
  end if;
  if p_receipts is not null then
    insert into waybill.receipts (destination, message_id, seq, attempt, duration_ms, receipt)
    select h.destination, d.id, d.seq, d.attempt, nullif(d.ms, -1), d.receipt::json
      from unnest(p_receipt_lanes, p_receipt_ids, p_receipt_seqs, p_receipt_attempts, p_receipt_ms,
                  string_to_array(p_receipts, E'\n', 'null')) d(lane, id, seq, attempt, ms, receipt)
      join unnest(held, dests) h(lane, destination) using (lane);
  end if;
  return (select array_agg(case when c.lane = any (held) then (select count(*) from unnest(changed) x where x = c.lane) end
                           order by c.n)
            from unnest(p_lanes) with ordinality c(lane, n));
end
$$;

-- ── What operators do ────────────────────────────────────────────────────────────────────────────────────────────

-- Tells the holder of a lane that its parked deliveries were acted upon.
create function waybill.lane_command(p_lanes int[]) returns void
language sql volatile
as $$
  update waybill.lanes set commands = commands + 1 where id = any(p_lanes);
  select pg_notify('waybill_lanes', array_to_string(p_lanes, ','));
$$;

-- The lanes of the parked deliveries that fit, locked. Lanes before deliveries, in one order: as their own commits take
-- them. The other way round, a commit and an operator's act end in a deadlock.
create function waybill.lock_lanes(
  p_message uuid, p_destination text, p_topic text, p_key text, p_state text, p_fingerprint text
) returns int[]
language sql volatile
as $$
  select coalesce(array_agg(x.id), '{}') from (
    select l.id from waybill.lanes l
     where l.id in (select d.lane_id from waybill.deliveries d
                     where (p_message is null or d.message_id = p_message) and (p_destination is null or d.destination = p_destination)
                       and (p_topic is null or d.topic = p_topic) and (p_key is null or d.key = p_key)
                       and (p_state is null or d.state = p_state) and (p_fingerprint is null or d.fingerprint = p_fingerprint))
     order by l.id for no key update) x
$$;

-- Retries parked deliveries now, dead ones too; their attempts start again from nothing. Null means any.
-- Returns how many.
create function waybill.retry(
  p_message uuid default null, p_destination text default null, p_topic text default null, p_key text default null,
  p_state text default null, p_fingerprint text default null, p_actor text default session_user, p_reason text default null
) returns int
language plpgsql volatile
as $$
declare
  touched int[];
  n int;
begin
  touched := waybill.lock_lanes(p_message, p_destination, p_topic, p_key, p_state, p_fingerprint);
  with changed as (
    update waybill.deliveries d
       set state = case d.state when 'held' then 'held' else 'retrying' end, attempt = 0,
           next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
     where d.lane_id = any(touched)
       and (p_message is null or d.message_id = p_message) and (p_destination is null or d.destination = p_destination)
       and (p_topic is null or d.topic = p_topic) and (p_key is null or d.key = p_key)
       and (p_state is null or d.state = p_state) and (p_fingerprint is null or d.fingerprint = p_fingerprint)
       and d.state in ('retrying', 'dead', 'held')
    returning d.lane_id
  )
  select count(*), array_agg(distinct c.lane_id) into n, touched from changed c;
  if n > 0 then
    insert into waybill.audit (on_behalf_of, action, target, reason)
    values (nullif(p_actor, session_user), 'retry', jsonb_strip_nulls(jsonb_build_object('message', p_message, 'destination', p_destination,
            'topic', p_topic, 'key', p_key, 'state', p_state, 'fingerprint', p_fingerprint, 'count', n)), p_reason);
    perform waybill.lane_command(touched);
  end if;
  return n;
end
$$;

-- Gives deliveries up: they are never sent, and what they held back goes on. A reason is asked for. What is parked and
-- fits; and, where p_message and at most p_destination are given, the message where its lanes have not passed it: one that
-- is under way at this moment may still arrive. Returns how many deliveries.
create function waybill.drop_deliveries(
  p_reason text,
  p_message uuid default null, p_destination text default null, p_topic text default null, p_key text default null,
  p_state text default null, p_fingerprint text default null, p_actor text default session_user
) returns int
language plpgsql volatile
as $$
declare
  touched int[];
  ahead int[] := '{}';
  n int;
  m int := 0;
begin
  if coalesce(trim(p_reason), '') = '' then
    raise exception using errcode = '22023', message = 'waybill.drop_deliveries: reason is empty',
      hint = 'Say why these messages need not be delivered; it is kept in waybill.audit.';
  end if;
  touched := waybill.lock_lanes(p_message, p_destination, p_topic, p_key, p_state, p_fingerprint);
  with gone as (
    delete from waybill.deliveries d
     where d.lane_id = any(touched)
       and (p_message is null or d.message_id = p_message) and (p_destination is null or d.destination = p_destination)
       and (p_topic is null or d.topic = p_topic) and (p_key is null or d.key = p_key)
       and (p_state is null or d.state = p_state) and (p_fingerprint is null or d.fingerprint = p_fingerprint)
    returning d.*
  ), told as (
    insert into waybill.attempts (destination, message_id, seq, attempt, outcome, code, message)
    select g.destination, g.message_id, g.seq, g.attempt, 'dropped', 'DROPPED', p_reason from gone g
  ), kept as (
    insert into waybill.dropped (lane_id, seq, message_id) select g.lane_id, g.seq, g.message_id from gone g
    on conflict do nothing
  )
  select count(*), coalesce(array_agg(distinct g.lane_id), '{}') into n, touched from gone g;
  if p_message is not null and coalesce(p_topic, p_key, p_state, p_fingerprint) is null then
    -- a commit of theirs waits until this one's end, or has ended before the cursors are looked at
    perform from waybill.lanes l where l.id in (select b.lane_id from waybill.lanes_before(p_message, p_destination) b)
      order by l.id for no key update;
    with kept as (
      insert into waybill.dropped (lane_id, seq, message_id)
      select b.lane_id, b.seq, p_message from waybill.lanes_before(p_message, p_destination) b
       where not exists (select from waybill.deliveries d
                          where d.destination = b.destination and d.seq = b.seq and d.message_id = p_message)
      on conflict do nothing
      returning lane_id, seq
    ), told as (
      insert into waybill.attempts (destination, message_id, seq, attempt, outcome, code, message)
      select distinct l.destination, p_message, k.seq, 0, 'dropped', 'DROPPED', p_reason
        from kept k join waybill.lanes l on l.id = k.lane_id
      returning destination
    )
    select (select count(*) from told), coalesce((select array_agg(k.lane_id) from kept k), '{}') into m, ahead;
    touched := touched || ahead;
    n := n + m;
  end if;
  if n > 0 then
    insert into waybill.audit (on_behalf_of, action, target, reason)
    values (nullif(p_actor, session_user), 'drop', jsonb_strip_nulls(jsonb_build_object('message', p_message, 'destination', p_destination,
            'topic', p_topic, 'key', p_key, 'state', p_state, 'fingerprint', p_fingerprint, 'count', n)), p_reason);
    perform waybill.lane_command(touched);
  end if;
  return n;
end
$$;

-- ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- For the views below. What each open lane has read: everything that `seen` sees, up to `read_seq`, but for what the
-- transactions in `running` wrote above their floor: they were still running then, and may have committed since. `drawn_seq`:
-- above it nothing was read; up to it all was, behind a drained delta, but for what `seen` does not see.
-- `planned_floor`: where the lowest of the deltas begins that are planned for it and not yet read; null when none is.
create view waybill.lane_cursor as
select l.id as lane_id, p.n, p.delivered, p.committed_at, c.read_seq, c.seen, r.xids as running, r.floors as running_floors,
       planned.floor as planned_floor, greatest(c.read_seq, c.drawn) as drawn_seq
  from waybill.lanes l
  join lateral (select x.* from waybill.positions x where x.lane_id = l.id order by x.n desc limit 1) p on true
  join lateral (select * from waybill.deltas d where d.lane_id = l.id and d.n = p.delta offset 0) t on true
  left join lateral (
    select min(least(d.from_floor, (select min(r) from unnest(d.running_floors) r))) as floor
      from waybill.planned_deltas d where d.lane_id = l.id and d.n > p.delta) planned on true
  -- within a delta: its bound so far; behind a drained one: its tip; with planned ones ahead: where the lowest begins
  cross join lateral (
    select least(case when p.after < t.ceiling then greatest(p.after, t.from_floor) else t.to_floor end,
                 planned.floor) as read_seq,
           case when planned.floor is not null then '3:3:'::pg_snapshot
                when p.after < t.ceiling then t.from_snapshot else t.to_snapshot end as seen,
           case when p.after < t.ceiling then p.after else 0 end as low,
           case when p.after >= t.ceiling and planned.floor is null then t.ceiling end as drawn) c
  cross join lateral (
    select coalesce(array_agg(x.xid), '{}') as xids,
           coalesce(array_agg(greatest(coalesce(k.floor, t.from_floor), c.low)), '{}') as floors
      from pg_snapshot_xip(c.seen) x(xid)
      left join unnest(t.running, t.running_floors) k(xid, floor) on k.xid = x.xid) r
 where l.state <> 'closed';

-- What each open lane wants of what it has not read. `topic_regex`: as deployed. Where barriers of deployments lie ahead, `seen`
-- and `regexes`: the first of the snapshots that sees a message says by which routes it goes; the last one sees all. A query
-- asks `m.topic ~ case when w.seen is null then w.topic_regex else (select u.wants from unnest(w.seen, w.regexes) with ordinality
-- u(seen, wants, n) where pg_visible_in_snapshot(m.xid, u.seen) order by u.n limit 1) end`.
create view waybill.lane_wants as
select l.id as lane_id, x.topic_regex, b.seen, b.regexes
  from waybill.lanes l
  join waybill.destinations x on x.name = l.destination
  join lateral (select p.delta, p.after from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p on true
  join lateral (select * from waybill.deltas d where d.lane_id = l.id and d.n = p.delta offset 0) t on true
 cross join lateral (
    select case when count(*) > 0 then
             array_append(array_agg(b.snapshot order by b.generation), '9223372036854775807:9223372036854775807:'::pg_snapshot) end as seen,
           array_append(array_agg(b.topic_regex order by b.generation), x.topic_regex) as regexes
      from waybill.barriers b
     where b.destination = l.destination and b.generation > t.generation
       and not (p.after >= t.ceiling and b.snapshot::text = t.to_snapshot::text)) b
 where l.state <> 'closed';

-- The lanes that have still to read a message, or to store that they have: of the destinations that it goes to, all shards,
-- as the hash of its key is not known here.
create function waybill.lanes_before(p_message uuid, p_destination text default null)
returns table (lane_id int, destination text, seq bigint)
language sql stable
set jit = off
set max_parallel_workers_per_gather = 0
as $$
  select l.id, l.destination, m.seq
    from waybill.messages m
   cross join waybill.destinations x
    join waybill.lanes l on l.destination = x.name and l.state <> 'closed'
    cross join lateral (select * from waybill.lane_wants y where y.lane_id = l.id offset 0) w
    cross join lateral (select * from waybill.lane_cursor y where y.lane_id = l.id offset 0) c
   where m.id = p_message and (p_destination is null or x.name = p_destination)
     -- before a barrier by the routes of before, behind it as deployed
     and case when m.destinations is not null then x.name = any(m.destinations)
              else m.topic ~ case when w.seen is null then w.topic_regex
                                  else (select u.wants from unnest(w.seen, w.regexes) with ordinality u(seen, wants, n)
                                         where pg_visible_in_snapshot(m.xid, u.seen) order by u.n limit 1) end end
     and ((m.seq > c.read_seq and not pg_visible_in_snapshot(m.xid, c.seen))
          or exists (select from unnest(c.running, c.running_floors) r(xid, floor)
                      where r.xid = m.xid and m.seq > r.floor and m.seq <= c.read_seq))
$$;

-- What the views below show. Each looks at the log for every lane, by index probes; over many ranges and lanes the planner adds
-- those up to more than jit_above_cost. Compiling then took 1.7 s for lane_status and 18 s for undelivered (200 lanes, 61
-- ranges), for work of 0.03 and 0.1 s. A view can't switch that off, a function can; and no query that calls one of these is
-- run by parallel workers. They have the owner's rights, as a view has: EXECUTE is for who may see the views. What a running
-- transaction wrote is looked for along (xid, seq): along (seq) it is all that was published since that began, and where
-- a range of the log has few xids the planner takes one for the other. The comparison of rows and the order leave no choice but
-- to sort, which a planner with old statistics may take for cheap: so that is off.

-- See lane_status.
create function waybill.lane_figures()
returns table (
  lane_id int, destination text, shard int, shards int, state text, pause_kind text, pause_reason text, paused_at timestamptz,
  epoch bigint, holder uuid, dispatcher_id uuid, dispatcher text, dispatcher_seen_at timestamptz, delivered bigint,
  committed_at timestamptz, lag_messages bigint, lag_seconds float8, retrying bigint, held bigint, dead bigint, in_flight bigint,
  held_keys bigint, oldest_parked_at timestamptz
)
language plpgsql stable security definer rows 200
set search_path = pg_catalog, pg_temp
set jit = off
set max_parallel_workers_per_gather = 0
set enable_sort = off
as $$
#variable_conflict use_column
begin
  return query
    with tip as materialized (select m.seq from waybill.messages m order by m.seq desc limit 1)
    select l.id, l.destination, l.shard, l.shards, l.state, l.pause_kind, l.pause_reason, l.paused_at,
           l.epoch, l.holder, l.dispatcher, d.name, d.seen_at, c.delivered, c.committed_at,
           case when next.created_at is null then 0
                else greatest(1, greatest(0, tip.seq - c.drawn_seq) + late.messages) end,
           coalesce(extract(epoch from clock_timestamp() - next.created_at), 0)::float8,
           coalesce(parked.retrying, 0), coalesce(parked.held, 0), coalesce(parked.dead, 0),
           coalesce(parked.in_flight, 0), coalesce(parked.held_keys, 0), parked.oldest
      from waybill.lanes l
      left join tip on true
      left join waybill.dispatchers d on d.id = l.dispatcher
      left join lateral (select * from waybill.lane_cursor x where x.lane_id = l.id offset 0) c on true
      left join lateral (
        select least((select m.created_at from waybill.messages m
                       where m.seq > c.read_seq and m.seq <= tip.seq and not pg_visible_in_snapshot(m.xid, c.seen)
                       order by m.seq limit 1),
                     (select min(m.created_at)
                        from unnest(c.running, c.running_floors) x(xid, floor)
                       cross join lateral (select m.created_at from waybill.messages m
                                            where m.seq > x.floor and m.seq <= c.read_seq
                                              and (m.xid, m.seq) > (x.xid, x.floor) and (m.xid, m.seq) <= (x.xid, c.read_seq)
                                            order by m.xid, m.seq limit 1) m)) as created_at) next on true
      cross join lateral (
        select count(*) as messages from (
          select from waybill.messages m
           where m.seq > c.read_seq and m.seq <= c.drawn_seq and not pg_visible_in_snapshot(m.xid, c.seen)
             and next.created_at is not null
           limit 1001) m) late
      left join lateral (
        select count(*) filter (where x.state = 'retrying') as retrying, count(*) filter (where x.state = 'held') as held,
               count(*) filter (where x.state = 'dead') as dead, count(*) filter (where x.state = 'in_flight') as in_flight,
               count(distinct x.key) filter (where x.state = 'held') as held_keys, min(x.parked_at) as oldest
          from waybill.deliveries x where x.lane_id = l.id) parked on true
     where l.state <> 'closed';
end
$$;

-- Where each lane stands. Every figure costs an index probe or the few parked rows, however far behind a lane is.
--   lag_messages  seqs between the cursor and the tip: an upper bound (rolled-back seqs and other topics count); 0 when
--                 nothing lies between. Behind a drained delta: those above all that had been drawn then, and what was
--                 committed below since, of which no more than 1,001 are counted: an import that was open then may be there
--   lag_seconds   age of the first message that it has not read, of any topic; 0 at the tip
create view waybill.lane_status as
select f.lane_id, f.destination, f.shard, f.shards, f.state, f.pause_kind, f.pause_reason, f.paused_at, f.epoch, f.holder,
       f.dispatcher_id, f.dispatcher, f.dispatcher_seen_at, f.delivered, f.committed_at, f.lag_messages, f.lag_seconds,
       f.retrying, f.held, f.dead, f.in_flight, f.held_keys, f.oldest_parked_at
  from waybill.lane_figures() f;

-- For each lane that is behind, the first message before its cursor that it wants. And where messages lie in the log and no
-- destination is there for them, one row of no lane: silence would say that all is delivered.
create function waybill.first_pending()
returns table (
  destination text, lane_id int, state text, message_id uuid, seq bigint, topic text, key text, why_kind text, why text,
  since timestamptz, messages bigint
)
language plpgsql stable security definer rows 200
set search_path = pg_catalog, pg_temp
set jit = off
set max_parallel_workers_per_gather = 0
set enable_sort = off
as $$
#variable_conflict use_column
begin
  return query
    select s.destination, s.lane_id, 'pending', first.id, first.seq, first.topic, first.key, s.pause_kind, s.pause_reason,
           first.created_at, s.lag_messages
      from waybill.lane_figures() s
      cross join lateral (select * from waybill.lane_wants x where x.lane_id = s.lane_id offset 0) w
      cross join lateral (select * from waybill.lane_cursor x where x.lane_id = s.lane_id offset 0) c
      cross join lateral (
        select m.id, m.seq, m.topic, m.key, m.created_at from (
          (select m.id, m.seq, m.topic, m.key, m.created_at, m.destinations, m.xid from waybill.messages m
            where m.seq > c.read_seq and not pg_visible_in_snapshot(m.xid, c.seen)
            order by m.seq limit 1000)
          union all
          (select m.* from unnest(c.running, c.running_floors) r(xid, floor)
            cross join lateral (select m.id, m.seq, m.topic, m.key, m.created_at, m.destinations, m.xid from waybill.messages m
                                 where m.seq > r.floor and m.seq <= c.read_seq
                                   and (m.xid, m.seq) > (r.xid, r.floor) and (m.xid, m.seq) <= (r.xid, c.read_seq)
                                 order by m.xid, m.seq limit 1000) m
            order by m.seq)) m
         where case when m.destinations is not null then s.destination = any(m.destinations)
                    else m.topic ~ case when w.seen is null then w.topic_regex
                                        else (select u.wants from unnest(w.seen, w.regexes) with ordinality u(seen, wants, n)
                                               where pg_visible_in_snapshot(m.xid, u.seen) order by u.n limit 1) end end
           -- parked ahead of the cursor: listed by itself, or dropped
           and not exists (select from waybill.deliveries d
                            where d.destination = s.destination and d.seq = m.seq and d.message_id = m.id)
           and not exists (select from waybill.dropped g where g.lane_id = s.lane_id and g.seq = m.seq and g.message_id = m.id)
         order by m.seq limit 1) first
     where s.lag_messages > 0;
  if not exists (select from waybill.destinations) then
    return query
      select '', 0, 'undeployed', m.id, m.seq, m.topic, m.key, 'NOT_DEPLOYED',
             'no destination is deployed: nothing delivers what lies in the log', m.created_at, (select t.seq from waybill.messages t order by t.seq desc limit 1) - m.seq + 1
        from waybill.messages m order by m.seq limit 1;
  end if;
end
$$;

-- What has not reached where, and why: each parked delivery, and for each lane the first message that still lies before
-- its cursor (state 'pending'), with how many there may be behind it. Looks at no more than 1,000 messages for each lane,
-- and 1,000 of each transaction that was running. With several shards the first may be another shard's. While no destination
-- is deployed: the first message of the log (state 'undeployed', destination '' and lane 0, which no lane has).
create view waybill.undelivered as
select d.destination, d.lane_id, d.state, d.message_id, d.seq, d.topic, d.key, d.attempt, d.next_attempt_at,
       d.error_code, d.error, d.fingerprint, d.parked_at as since, 1::bigint as messages
  from waybill.deliveries d
union all
select p.destination, p.lane_id, p.state, p.message_id, p.seq, p.topic, p.key, 0, null,
       p.why_kind, p.why, null, p.since, p.messages
  from waybill.first_pending() p;
