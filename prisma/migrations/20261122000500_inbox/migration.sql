-- Waybill: the inbox. A receiver's effect happens once for each message id, in the consumer's own transaction.
-- Stands alone: `waybill migrate --only inbox` applies only this, to the database of a consumer.

create schema if not exists waybill;

create table if not exists waybill.migrations (
  name        text primary key,
  checksum    text,
  applied_at  timestamptz not null default clock_timestamp()
);
insert into waybill.migrations (name) values ('20261122000500_inbox') on conflict do nothing;

-- One row for each task that one session does at a time, which has the row locked. See the migration of the log.
create table if not exists waybill.locks (
  name  text primary key
);
insert into waybill.locks (name) values ('inbox'), ('partitions'), ('roles') on conflict do nothing;

-- ── Generations ──────────────────────────────────────────────────────────────────────────────────────────────────
-- What was claimed, in one partition after another: generations, so that old claims go with their table. A unique index
-- can't reach over partitions, so a claim looks into all of them and inserts into the current one. For two claims of one
-- message not to miss each other while the current one changes, everyone who runs must write into a common partition.
-- inbox_step says which:
--   2g      all write into g
--   2g + 1  all write into g, and then into g + 1 too; until nobody runs any more who saw step 2g
-- Then 2g + 2: all write into g + 1. Nobody is ever waited for, and nobody waits; a transaction that stays open for days
-- only makes step 2g + 1 last as long. It is a sequence, because a REPEATABLE READ claim must see it as it is now.

create sequence waybill.inbox_step as bigint minvalue 2 start 2 cache 1 no cycle;
select setval('waybill.inbox_step', 2);

-- collate "C": quicker, and an index that no upgrade of the operating system can spoil.
create table waybill.inbox (
  consumer    text        collate "C" not null,
  id          text        collate "C" not null,
  generation  bigint      not null,
  claimed_at  timestamptz not null default clock_timestamp(),
  primary key (consumer, id, generation)
) partition by range (generation);
comment on table waybill.inbox is 'Messages whose effect is done, by consumer. Write it through waybill.inbox_claim and waybill.inbox_forget only.';

create table waybill.inbox_p1 partition of waybill.inbox for values from (1) to (2);
create table waybill.inbox_p2 partition of waybill.inbox for values from (2) to (3);
create table waybill.inbox_p3 partition of waybill.inbox for values from (3) to (4);

create table waybill.inbox_generations (
  generation  bigint      primary key,
  opened_at   timestamptz,
  mark        xid8,
  closed_at   timestamptz
);
comment on table waybill.inbox_generations is 'One row for each partition of waybill.inbox: the two spare ones have not opened.';
comment on column waybill.inbox_generations.mark is 'Drawn after it opened: who has an older xid may not know of it, and write into the one before alone.';
comment on column waybill.inbox_generations.closed_at is 'From then on nothing was claimed in it alone.';
insert into waybill.inbox_generations (generation, opened_at, mark) values (1, clock_timestamp(), '0'), (2, null, null), (3, null, null);

create table waybill.inbox_settings (
  one        boolean  primary key default true check (one),
  retention  interval not null default '30 days' check (retention between interval '1 hour' and interval '100 years')
);
comment on column waybill.inbox_settings.retention is 'How long a claim is remembered, at least. Stored, so that all who run waybill.inbox_maintain agree.';
insert into waybill.inbox_settings default values;

-- Who may claim and forget in a consumer's name: the members of its roles, by their login. A name that has no row is free to
-- all that may claim; give each consumer its row where several share an inbox and don't trust one another.
create table waybill.inbox_consumers (
  consumer  text collate "C" not null,
  role      name not null,
  primary key (consumer, role)
);

-- ── Claiming ─────────────────────────────────────────────────────────────────────────────────────────────────────

-- Raises 22023 for a name that is not valid; tells its length and never the text.
create function waybill.inbox_check(field text, value text, most int) returns void
language plpgsql immutable
as $$
begin
  if value is null or value = '' or octet_length(value) > most then
    raise exception using errcode = '22023',
      message = format('waybill.inbox_claim: %s %s', field,
        case when value is null then 'is null' else format('has %s bytes', octet_length(value)) end),
      hint = format('Give a text of 1 to %s bytes.', most);
  end if;
end
$$;

create function waybill.inbox_allows(consumer text) returns boolean
language sql stable
as $$
  select not exists (select from waybill.inbox_consumers c where c.consumer = $1)
      or exists (select from waybill.inbox_consumers c join pg_roles r on r.rolname = c.role
                  where c.consumer = $1 and pg_has_role(session_user, r.oid, 'member'))
$$;

-- The claim itself; see inbox_claim. p_fresh is false where the transaction keeps one snapshot for all its statements.
create function waybill.inbox_enter(p_consumer text, p_id text, p_fresh boolean) returns boolean
language plpgsql volatile
as $$
declare
  own constant xid8 := pg_current_xact_id(); -- before the step is read: what inbox_maintain relies on
  step bigint := coalesce(pg_sequence_last_value('waybill.inbox_step'), 2);
  opened xid8;
begin
  if to_regclass('waybill.inbox_p' || (step / 2)) is null then
    -- a copy that has the tables and not the sequence's value: logical replication, a dump of the schema alone
    select coalesce(2 * max(g.generation), step) into step from waybill.inbox_generations g where g.opened_at is not null;
  end if;
  if not p_fresh then
    -- whoever wrote into older generations alone must have ended before this snapshot was taken. A mark that is not
    -- older than this transaction stems from another server, whose transactions are all over.
    select g.mark into opened from waybill.inbox_generations g where g.generation = step / 2;
    if opened is null or (opened < own and opened > pg_snapshot_xmin(pg_current_snapshot())) then
      raise exception using errcode = '40001', message = 'the inbox began a new generation after this snapshot was taken';
    end if;
  end if;
  if exists (select from waybill.inbox x where x.consumer = p_consumer and x.id = p_id) then return false; end if;
  insert into waybill.inbox (consumer, id, generation) values (p_consumer, p_id, step / 2) on conflict do nothing;
  if not found then return false; end if;
  if step % 2 = 1 then
    insert into waybill.inbox (consumer, id, generation) values (p_consumer, p_id, step / 2 + 1) on conflict do nothing;
    return found;
  end if;
  return true;
end
$$;

-- Claims a message for a consumer, in the caller's transaction: a commit makes it stay, a rollback forgets it.
--   consumer  whose effect it is: consumers of one name share what was done. 1 to 255 bytes
--   id        the message's id, byte for byte. text and not uuid: ids of other senders are no uuids (Stripe's evt_…, a
--             Kafka topic/partition/offset), and one column must take them all. A uuid goes in as id::text. 1 to 1,024 bytes
--   on_busy   while another transaction that has claimed it runs: 'wait' for its end; 'skip': don't, return null
-- Returns true: the first time, go on; false: it was done before; null: another one is at it ('skip' only; also where a
-- lock of the table's can't be had in 10 ms).
-- Raises 22023 for what is not valid, 42501 where the consumer is another role's. In REPEATABLE READ and SERIALIZABLE, 40001 when the message was claimed since the
-- snapshot was taken: run the transaction again. Two that claim several messages in different order can deadlock (40P01):
-- sort the ids. Needs nothing of the session, so that poolers in transaction mode will do.
create function waybill.inbox_claim(consumer text, id text, on_busy text default 'wait') returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- a claim that row-level security hides would be taken for none: 42501 in its place
set row_security = off
-- a plan made while the table was small would otherwise be kept when it no longer is
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  fresh constant boolean := current_setting('transaction_isolation') in ('read committed', 'read uncommitted');
  before constant text := current_setting('lock_timeout');
  first boolean;
  refusal text;
begin
  if waybill.inbox_check('consumer', consumer, 255) is null then end if;
  if waybill.inbox_check('id', id, 1024) is null then end if;
  if not waybill.inbox_allows(consumer) then
    raise exception using errcode = '42501',
      message = format('waybill.inbox_claim: %s may not act as this consumer', session_user),
      hint = 'waybill.inbox_consumers names the roles that may; grant one of them to this user.';
  end if;
  if on_busy is null or on_busy not in ('wait', 'skip') then
    raise exception using errcode = '22023', message = 'waybill.inbox_claim: on_busy is neither wait nor skip',
      hint = 'Give ''wait'' or ''skip''.';
  end if;
  -- the block below costs a subtransaction
  if fresh and on_busy = 'wait' then return waybill.inbox_enter(consumer, id, fresh); end if;
  begin
    if on_busy = 'skip' then perform set_config('lock_timeout', '10ms', true); end if;
    first := waybill.inbox_enter(consumer, id, fresh);
    if on_busy = 'skip' then perform set_config('lock_timeout', before, true); end if;
    return first;
  exception
    when lock_not_available then
      if on_busy = 'skip' then return null; end if;
      raise;
    when serialization_failure then
      get stacked diagnostics refusal = message_text;
      raise exception using errcode = '40001',
        message = format('waybill.inbox_claim: %s', refusal),
        hint = 'Another transaction claimed this message, or may have, after this one took its snapshot. Run the whole transaction again; READ COMMITTED waits instead.';
  end;
end
$$;

-- Forgets a claim, so that the message can be claimed again: of a transaction whose work failed and that is to commit
-- all the same, or by an operator who wants a message handled once more. Returns whether there was one.
create function waybill.inbox_forget(consumer text, id text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  if not waybill.inbox_allows(consumer) then
    raise exception using errcode = '42501',
      message = format('waybill.inbox_forget: %s may not act as this consumer', session_user),
      hint = 'waybill.inbox_consumers names the roles that may; grant one of them to this user.';
  end if;
  delete from waybill.inbox x where x.consumer = inbox_forget.consumer and x.id = inbox_forget.id;
  return found;
end
$$;

-- ── Maintenance ──────────────────────────────────────────────────────────────────────────────────────────────────

-- One pass: begins a new generation when the current one is older than a sixth of the retention, goes a step on when
-- nobody runs any more who might not know of it, makes spare partitions, and drops generations that were closed for
-- longer than the retention. Call it every hour or so, by cron, a timer or `waybill maintain --only inbox`; several at
-- once do no harm, and without it claims go on in the current generation, and nothing is ever forgotten. Claims wait for
-- it for 200 ms at most, and only for a drop.
--   drop_expired  false: only say what could be dropped
-- Returns {ran, generation, changing, made, dropped, expired}: expired are the partitions that could be, or could not be,
-- dropped. ran is false while another pass runs. Raises 25001 when it is not the first in a READ COMMITTED transaction.
create function waybill.inbox_maintain(drop_expired boolean default true) returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set row_security = off
set lock_timeout = '200ms'
set client_min_messages = warning
set enable_seqscan = off
as $$
declare
  kept interval;
  step bigint;
  current bigint;
  next waybill.inbox_generations;
  spare bigint;
  made text[] := '{}';
  dropped text[] := '{}';
  expired text[] := '{}';
  r record;
begin
  -- a mark that is drawn here must be younger than the step that it goes with
  if pg_current_xact_id_if_assigned() is not null or current_setting('transaction_isolation') <> 'read committed' then
    raise exception using errcode = '25001', message = 'waybill.inbox_maintain: the transaction has written before, or keeps one snapshot',
      hint = 'Call it in a READ COMMITTED transaction of its own.';
  end if;
  perform from waybill.locks k where k.name = 'inbox' for update skip locked;
  if not found then return jsonb_build_object('ran', false); end if;
  select s.retention into kept from waybill.inbox_settings s;
  -- behind only where the sequence did not come along with the tables
  select greatest(coalesce(pg_sequence_last_value('waybill.inbox_step'), 2), 2 * max(g.generation) - 1) into step
    from waybill.inbox_generations g where g.opened_at is not null;
  current := step / 2;
  select * into next from waybill.inbox_generations g where g.generation = current + 1;
  if step % 2 = 0 and next.generation is not null
     and exists (select from waybill.inbox_generations g where g.generation = current + 2)
     and exists (select from waybill.inbox_generations g where g.generation = current and g.opened_at < clock_timestamp() - kept / 6)
     and exists (select from waybill.inbox x where x.generation = current) then
    step := step + 1;
  elsif step % 2 = 1 and next.mark is not null
     and (next.mark <= pg_snapshot_xmin(pg_current_snapshot()) or next.mark >= pg_snapshot_xmax(pg_current_snapshot())) then
    step := step + 1;
  end if;
  -- seen by all at once, also should this transaction fail: the next pass finds the rest not done, and does it
  if step is distinct from pg_sequence_last_value('waybill.inbox_step') then
    perform setval('waybill.inbox_step', step);
  elsif step % 2 = 1 and next.mark is null then
    -- a pass later: setval draws this transaction's xid before the value is seen
    update waybill.inbox_generations g set mark = pg_current_xact_id() where g.generation = next.generation;
  end if;
  if step % 2 = 1 and next.opened_at is null then
    update waybill.inbox_generations g set opened_at = clock_timestamp() where g.generation = next.generation;
  end if;
  update waybill.inbox_generations g set closed_at = clock_timestamp() where g.generation < step / 2 and g.closed_at is null;
  -- Committed a generation before it is needed, and followed by another one's. ATTACH PARTITION does not wait for those
  -- who use the table, and PostgreSQL (18 too) has a race there: a session that was reading the list of partitions just
  -- when it was committed can keep the list without it, until the list changes again ("no partition of relation found
  -- for row"). So none is used before the one after it is attached.
  select max(g.generation) + 1 into spare from waybill.inbox_generations g;
  if spare <= step / 2 + 2 then
    begin
      -- in place of PARTITION OF, which would lock the table against claims
      execute format('create table waybill.inbox_p%s (like waybill.inbox including defaults including constraints including indexes)', spare);
      execute format('alter table waybill.inbox attach partition waybill.inbox_p%s for values from (%s) to (%s)', spare, spare, spare + 1);
      insert into waybill.inbox_generations (generation) values (spare);
      made := made || format('inbox_p%s', spare);
    exception when lock_not_available or deadlock_detected then null; -- the next pass
    end;
  end if;
  for r in
    select g.generation, format('inbox_p%s', g.generation) as name from waybill.inbox_generations g
     where g.closed_at < clock_timestamp() - kept order by 1
  loop
    if drop_expired then
      begin
        execute format('drop table if exists waybill.%I', r.name);
        delete from waybill.inbox_generations g where g.generation = r.generation;
        dropped := dropped || r.name;
        continue;
      exception when lock_not_available or deadlock_detected then drop_expired := false; -- one wait for each pass
      end;
    end if;
    expired := expired || r.name;
  end loop;
  return jsonb_build_object('ran', true, 'generation', step / 2, 'changing', step % 2 = 1, 'made', made, 'dropped', dropped, 'expired', expired);
end
$$;

revoke execute on all functions in schema waybill from public;
