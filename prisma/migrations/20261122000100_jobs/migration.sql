-- Waybill: the job queue, as an indexed state table. PostgreSQL 14 and later.
-- docs/decisions/2026-11-22-jobs-start-as-a-state-table.md says why a table and not yet a log.

insert into waybill.migrations (name) values ('20261122000100_jobs') on conflict do nothing;

-- ── Jobs and workers ─────────────────────────────────────────────────────────────────────────────────────────────

create table waybill.workers (
  id          uuid        primary key,
  name        text        not null,
  host        text        not null,
  pid         int         not null,
  version     text        not null,
  queues      text[]      not null,
  names       text[],
  patterns    text,
  lease_ms    int         not null check (lease_ms > 0),
  beat        bigint      not null default 0,
  started_at  timestamptz not null default clock_timestamp(),
  seen_at     timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on column waybill.workers.names is 'Names of jobs that it has handlers for; null: not known.';
comment on column waybill.workers.patterns is 'The same, as a regular expression; null: these names are all.';
comment on column waybill.workers.beat is 'Goes up while the worker lives. Who sees it stand still for lease_ms, by its own clock, takes the worker''s jobs back.';

create table waybill.jobs (
  id            uuid        primary key,
  message_id    uuid        not null,
  queue         text        not null check (queue <> ''),
  priority      smallint    not null default 0 check (priority between 0 and 3),
  name          text        not null check (name <> '' and length(name) <= 10000),
  key           text,
  args          json        not null,
  headers       json,
  state         text        not null default 'available' check (state in
                  ('scheduled', 'available', 'executing', 'retryable', 'completed', 'cancelled', 'discarded')),
  attempt       int         not null default 0 check (attempt >= 0),
  max_attempts  int         not null default 20 check (max_attempts > 0),
  lost          int         not null default 0 check (lost >= 0),
  run_at        timestamptz not null default clock_timestamp(),
  claim         uuid,
  worker        uuid,
  claimed_at    timestamptz,
  started_at    timestamptz,
  finished_at   timestamptz,
  errors        jsonb,
  created_at    timestamptz not null default clock_timestamp(),
  check ((claim is null) = (worker is null)),
  check (state <> 'executing' or claim is not null),
  check (claim is null or state in ('available', 'executing')),
  check ((finished_at is not null) = (state in ('completed', 'cancelled', 'discarded')))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
comment on column waybill.jobs.message_id is 'The message that it came from; its own id when it was inserted directly. Not unique: a replay makes a second job.';
comment on column waybill.jobs.priority is '0 goes first, 3 last.';
comment on column waybill.jobs.state is 'A claimed job that has not started is available; a due one that nobody has claimed is still scheduled or retryable.';
comment on column waybill.jobs.attempt is 'Attempts charged so far. Charged when a handler starts, not when the job is claimed.';
comment on column waybill.jobs.lost is 'Workers that ended while they ran it, since it was last acknowledged. From 2 on it is run alone.';
comment on column waybill.jobs.claim is 'A uuid drawn for each fetch. Every later write names it, so that an old holder can''t touch a new claim.';
comment on column waybill.jobs.errors is 'The last five: [{attempt, at, code, message}].';

-- What can be claimed, one range for each queue and priority. Scheduled and retryable jobs lie in the same range, behind
-- now: no second update makes them available when they are due.
create index jobs_ready on waybill.jobs (queue, priority, run_at)
  where state in ('available', 'scheduled', 'retryable') and claim is null;
-- Those that may be what ends workers: they are run alone. Empty as a rule.
create index jobs_suspected on waybill.jobs (queue, run_at)
  where lost >= 2 and state in ('available', 'scheduled', 'retryable') and claim is null;
create index jobs_held on waybill.jobs (worker) where claim is not null;
create index jobs_finished on waybill.jobs (state, finished_at) where finished_at is not null;
create index jobs_message on waybill.jobs (message_id);

-- Who sleeps, as for the log's dispatchers: a worker that goes to sleep draws a ticket from jobs_asleep; whoever hears a
-- notification sets jobs_awake to the ticket that it names. Who inserts jobs notifies while jobs_asleep is ahead.
create sequence waybill.jobs_asleep as bigint minvalue 0 start 0 cache 1 no cycle;
create sequence waybill.jobs_awake as bigint minvalue 0 start 0 cache 1 no cycle;
select nextval('waybill.jobs_asleep'), nextval('waybill.jobs_awake');

-- ── Inserting ────────────────────────────────────────────────────────────────────────────────────────────────────

-- Inserts jobs in the caller's transaction. Arrays of one length; element i of each belongs to job i.
--   message_ids   the message that the job comes from; null: the job's own id
--   queues, names not empty
--   priorities    0 (first) to 3
--   keys          may be null; kept for handlers, jobs of one key are not ordered
--   args          JSON, kept byte for byte
--   headers       JSON object of strings, or null
--   max_attempts  starts before the job is discarded
--   run_ats       not before this time; null or past: at once
-- Returns the jobs' ids (uuid v7), in order. Raises 23502 or 23514 for what the table's constraints refuse.
create function waybill.job_insert(
  message_ids uuid[], queues text[], priorities int[], names text[], keys text[], args json[], headers json[],
  max_attempts int[], run_ats timestamptz[]
) returns uuid[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  n constant int := coalesce(cardinality(queues), 0);
  now_at constant timestamptz := clock_timestamp();
  ids uuid[] := '{}';
begin
  if n = 0 then return ids; end if;
  select array_agg(waybill.uuid_v7()) into ids from generate_series(1, n);
  insert into waybill.jobs (id, message_id, queue, priority, name, key, args, headers, max_attempts, state, run_at)
  select d.id, coalesce(d.message_id, d.id), d.queue, d.priority, d.name, d.key, d.args, d.headers, d.max_attempts,
         case when d.run_at > now_at then 'scheduled' else 'available' end,
         -- never in the past (a fetch looks behind its mark only now and then), and in order within the batch
         greatest(d.run_at, now_at + d.i * interval '1 microsecond')
    from unnest(ids, message_ids, queues, priorities, names, keys, args, headers, max_attempts, run_ats) with ordinality
         d(id, message_id, queue, priority, name, key, args, headers, max_attempts, run_at, i);
  perform pg_notify('waybill_jobs', s.last_value::text) from waybill.jobs_asleep s, waybill.jobs_awake w
   where s.last_value > w.last_value;
  return ids;
end
$$;

-- ── Workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Makes a worker known; nothing can be claimed before.
--   p_names, p_patterns  what it has handlers for: names, and a regular expression of more
create function waybill.worker_register(
  p_id uuid, p_name text, p_host text, p_pid int, p_version text, p_queues text[], p_lease_ms int,
  p_names text[] default null, p_patterns text default null
) returns void
language plpgsql volatile
as $$
begin
  if pg_is_in_recovery() then
    raise exception using errcode = 'WB003', message = 'the database is in recovery: a stand-by has no jobs to work on';
  end if;
  insert into waybill.workers (id, name, host, pid, version, queues, lease_ms, names, patterns)
  values (p_id, p_name, p_host, p_pid, p_version, p_queues, p_lease_ms, p_names, p_patterns)
  on conflict (id) do nothing;
end
$$;

-- One more error at the end of the list, of which the last five are kept.
create function waybill.job_error(errors jsonb, attempt int, code text, message text) returns jsonb
language sql stable
as $$
  select jsonb_path_query_array(
    coalesce(errors, '[]') || jsonb_build_object('attempt', attempt, 'at', clock_timestamp(), 'code', code, 'message', left(message, 2000)),
    '$[last - 4 to last]')
$$;

-- Whether a job whose worker is gone has no run left.
--   died, beside, most  its worker died; others ran beside it; so many lost workers are too many
create function waybill.job_is_spent(j waybill.jobs, died boolean, beside int, most int) returns boolean
language sql immutable
as $$
  select j.state = 'executing' and (died and j.lost + 1 >= most or beside <= 0 and j.attempt >= j.max_attempts)
$$;

-- Takes jobs back from who holds them. One that had not started is available again as if nothing had been. One that had
-- started keeps the attempt that it was charged, and is discarded when that was its last.
-- Where the worker died (WORKER_LOST), one of the jobs that it ran may have ended it, and which is not known:
--   several ran   none is charged, each has one more lost worker. From two on a job is run alone (job_fetch, p_suspected), so
--                 that the next death says which it is. Ten lost workers are too many in any case
--   one ran       it is charged, and discarded (POISON) when it has lost three
--   p_worker          whose jobs
--   p_except          claims that stay; null: none
--   p_before          only what was claimed before
--   p_code, p_message why, for the job's errors
-- Returns how many.
create function waybill.job_take_back(
  p_worker uuid, p_except uuid[], p_before timestamptz, p_code text, p_message text
) returns int
language plpgsql volatile
set enable_seqscan = off
as $$
declare
  n int;
  died constant boolean := p_code = 'WORKER_LOST';
  beside int := 0;
  most int := 3;
begin
  if died then
    select count(*) - 1 into beside from waybill.jobs j
     where j.claim is not null and j.worker = p_worker and j.state = 'executing';
    if beside > 0 then most := 10; end if;
  end if;
  update waybill.jobs j
     set state = case when waybill.job_is_spent(j, died, beside, most) then 'discarded' else 'available' end,
         finished_at = case when waybill.job_is_spent(j, died, beside, most) then clock_timestamp() end,
         attempt = j.attempt - (j.state = 'executing' and beside > 0 and not waybill.job_is_spent(j, died, beside, most))::int,
         lost = j.lost + (j.state = 'executing' and died)::int,
         run_at = case when j.state = 'executing' then clock_timestamp() else j.run_at end,
         errors = case when j.state <> 'executing' then j.errors
                       when not died then waybill.job_error(j.errors, j.attempt, p_code, p_message)
                       when j.lost + 1 < most then waybill.job_error(j.errors, j.attempt, p_code,
                         format('%s; it ran %s others beside this job', p_message, greatest(beside, 0)))
                       else waybill.job_error(j.errors, j.attempt, 'POISON', format(
                         '%s workers ended while they ran this job, the last (%s) with %s others beside it; mend the handler, then retry the job',
                         j.lost + 1, p_worker, greatest(beside, 0))) end,
         claim = null, worker = null
   where j.claim is not null and j.worker = p_worker and j.claimed_at < p_before
     and not (j.claim = any(coalesce(p_except, '{}')));
  get diagnostics n = row_count;
  return n;
end
$$;

-- A worker's heartbeat.
-- Returns null when the worker is not known: its jobs were taken back, it must register anew. Else all workers, for
-- rescue: [{id, beat, leaseMs}].
create function waybill.worker_beat(p_id uuid) returns jsonb
language plpgsql volatile
as $$
begin
  update waybill.workers w set beat = w.beat + 1, seen_at = clock_timestamp() where w.id = p_id;
  if not found then return null; end if;
  return (select jsonb_agg(jsonb_build_object('id', w.id, 'beat', w.beat, 'leaseMs', w.lease_ms)) from waybill.workers w);
end
$$;

-- Takes back what the database says that this worker holds and the worker knows nothing of: a fetch whose answer was
-- lost, an acknowledgement that a failover lost. Only claims older than its lease, so that one made while this statement
-- was on its way is not among them.
--   p_claims  the claims that the worker works on, those of fetches under way included
-- Returns how many.
create function waybill.worker_reconcile(p_id uuid, p_claims uuid[]) returns int
language sql volatile
as $$
  select waybill.job_take_back(w.id, p_claims, clock_timestamp() - w.lease_ms * interval '1 ms', 'CLAIM_LOST',
                               'the worker knew nothing of this claim: an answer of the database was lost')
    from waybill.workers w where w.id = p_id
$$;

-- Ends a worker and takes its jobs back: by another one that saw its beat stand still for a lease, or by itself.
--   p_beat    the beat that was seen: when it has moved since, nothing is done. Null: whatever it is
-- Returns how many jobs were taken back; null when nothing was done.
create function waybill.worker_end(p_id uuid, p_beat bigint, p_code text, p_message text) returns int
language plpgsql volatile
as $$
begin
  -- waits for a fetch under way (it holds a key share of this row); the next statement's snapshot sees what that claimed
  delete from waybill.workers w where w.id = p_id and (p_beat is null or w.beat = p_beat);
  if not found then return null; end if;
  return waybill.job_take_back(p_id, null, 'infinity', p_code, p_message);
end
$$;

-- ── Claim, start, acknowledge ────────────────────────────────────────────────────────────────────────────────────

-- Claims jobs that are due, priority 0 first, within a priority by run_at. Charges nothing. Two fetches never get the
-- same job, and never wait for each other.
--   p_worker  must be registered; raises WB001 when it is not (any more)
--   p_claim   a random uuid, new for each fetch; drawn by the worker, so that it knows it though the answer is lost
--   p_limit   jobs at most
--   p_after   four low-water marks on run_at, by priority; null: from the beginning. Under a held-open transaction a
--             fetch from the beginning walks past every job finished since; from its mark it does not
--   p_names, p_patterns  only jobs of these names, or whose name fits; null names: any. For a worker that has met a job it has
--             no handler for: its fetch walks past those, about 1 µs each
--   p_suspected  true: only jobs that have lost two workers or more, to be run alone; false: only others
-- May commit asynchronously: what a crash of the database forgets is a claim, and job_start then refuses.
create function waybill.job_fetch(
  p_worker uuid, p_claim uuid, p_queue text, p_limit int, p_after timestamptz[],
  p_names text[] default null, p_patterns text default null, p_suspected boolean default false
)
returns table (id uuid, message_id uuid, priority smallint, name text, key text, args text, headers text,
               attempt int, max_attempts int, run_at timestamptz, created_at timestamptz)
language plpgsql volatile
-- a plan made while the table was small would otherwise be kept when it no longer is
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  at constant timestamptz := clock_timestamp();
  wanted int := p_limit;
  taken int;
begin
  perform from waybill.workers w where w.id = p_worker for key share;
  if not found then
    raise exception using errcode = 'WB001', message = format('worker %s is not registered (any more)', p_worker);
  end if;
  perform set_config('synchronous_commit', 'off', true);
  if p_suspected then
    return query
      update waybill.jobs j
         set state = 'available', claim = p_claim, worker = p_worker, claimed_at = clock_timestamp()
       where j.id = any(array(
               select r.id from waybill.jobs r
                where r.queue = p_queue and r.run_at <= at and r.lost >= 2
                  and r.state in ('available', 'scheduled', 'retryable') and r.claim is null
                  and (p_names is null or r.name = any(p_names) or r.name ~ p_patterns)
                order by r.run_at limit p_limit
                for update skip locked))
      returning j.id, j.message_id, j.priority, j.name, j.key, j.args::text, j.headers::text, j.attempt, j.max_attempts,
                j.run_at, j.created_at;
    return;
  end if;
  for p in 0 .. 3 loop
    exit when wanted <= 0;
    -- two statements: the plan of one must not depend on what the other is asked
    if p_names is null then
      return query
        update waybill.jobs j
           set state = 'available', claim = p_claim, worker = p_worker, claimed_at = clock_timestamp()
         where j.id = any(array(
                 select r.id from waybill.jobs r
                  where r.queue = p_queue and r.priority = p::smallint
                    and r.run_at >= coalesce(p_after[p + 1], '-infinity') and r.run_at <= at
                    and r.state in ('available', 'scheduled', 'retryable') and r.claim is null and r.lost < 2
                  order by r.run_at limit wanted
                  for update skip locked))
        returning j.id, j.message_id, j.priority, j.name, j.key, j.args::text, j.headers::text, j.attempt, j.max_attempts,
                  j.run_at, j.created_at;
    else
      return query
        update waybill.jobs j
           set state = 'available', claim = p_claim, worker = p_worker, claimed_at = clock_timestamp()
         where j.id = any(array(
                 select r.id from waybill.jobs r
                  where r.queue = p_queue and r.priority = p::smallint
                    and r.run_at >= coalesce(p_after[p + 1], '-infinity') and r.run_at <= at
                    and r.state in ('available', 'scheduled', 'retryable') and r.claim is null and r.lost < 2
                    and (r.name = any(p_names) or r.name ~ p_patterns)
                  order by r.run_at limit wanted
                  for update skip locked))
        returning j.id, j.message_id, j.priority, j.name, j.key, j.args::text, j.headers::text, j.attempt, j.max_attempts,
                  j.run_at, j.created_at;
    end if;
    get diagnostics taken = row_count;
    wanted := wanted - taken;
  end loop;
end
$$;

-- Starts claimed jobs: from here on they are executing, and charged an attempt. A handler may run only for those that
-- this returns. Calling it again after its answer was lost changes nothing more.
-- Returns id and attempt of those that are still held by the claim.
-- Here and below "is not distinct from" in place of "=": the planner would take the latter as leave to use jobs_held, and
-- walk all of it (with a transaction held open: every job since) in place of the primary key.
create function waybill.job_start(p_claim uuid, p_ids uuid[]) returns table (id uuid, attempt int)
language plpgsql volatile
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  return query
    update waybill.jobs j
       set attempt = j.attempt + (j.state = 'available')::int, state = 'executing',
           started_at = case j.state when 'available' then clock_timestamp() else j.started_at end
     where j.id = any(p_ids) and j.claim is not distinct from p_claim and j.state in ('available', 'executing')
       and p_claim is not null
    returning j.id, j.attempt;
end
$$;

-- Gives claimed jobs back that have not started, and wakes workers that sleep. Returns how many.
create function waybill.job_release(p_claim uuid, p_ids uuid[]) returns int
language plpgsql volatile
set enable_seqscan = off
as $$
declare
  n int;
begin
  update waybill.jobs j set claim = null, worker = null
   where j.id = any(p_ids) and j.claim is not distinct from p_claim and j.state = 'available';
  get diagnostics n = row_count;
  if n > 0 then
    perform pg_notify('waybill_jobs', s.last_value::text) from waybill.jobs_asleep s, waybill.jobs_awake w
     where s.last_value > w.last_value;
  end if;
  return n;
end
$$;

-- What an executing job becomes; null for an outcome that there is not.
create function waybill.job_state_after(outcome text, attempt int, max_attempts int) returns text
language sql immutable
as $$
  select case outcome
    when 'complete' then 'completed'
    when 'retry' then case when attempt < max_attempts then 'retryable' else 'discarded' end
    when 'snooze' then 'scheduled'
    when 'cancel' then 'cancelled'
    when 'discard' then 'discarded'
    when 'release' then 'available'
  end
$$;

-- Acknowledges executing jobs. Arrays of one length; element i of each belongs to job i.
--   p_ids, p_claims  the fence: a job that another claim holds by now is left alone
--   p_outcomes       complete; retry (discarded when that was its last attempt); snooze and release (uncharged);
--                    cancel; discard
--   p_in_ms          for retry, snooze and release: not before so many milliseconds from now
--   p_codes, p_messages  why, for the job's errors; null code: nothing to tell
-- Returns id and new state of those that it changed.
create function waybill.job_ack(
  p_ids uuid[], p_claims uuid[], p_outcomes text[], p_in_ms float8[], p_codes text[], p_messages text[]
) returns table (id uuid, state text)
language plpgsql volatile
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
  -- the worker forgets the job when this is answered
  if current_setting('synchronous_commit') = 'off' then perform set_config('synchronous_commit', 'on', true); end if;
  return query
    update waybill.jobs j
       set state = waybill.job_state_after(a.outcome, j.attempt, j.max_attempts),
           attempt = j.attempt - (a.outcome in ('snooze', 'release'))::int,
           run_at = case when a.outcome in ('retry', 'snooze', 'release')
                         then clock_timestamp() + coalesce(a.in_ms, 0) * interval '1 ms' else j.run_at end,
           finished_at = case when waybill.job_state_after(a.outcome, j.attempt, j.max_attempts)
                                   in ('completed', 'cancelled', 'discarded') then clock_timestamp() end,
           errors = case when a.code is null then j.errors else waybill.job_error(j.errors, j.attempt, a.code, a.message) end,
           claim = null, worker = null, lost = 0
      from unnest(p_ids, p_claims, p_outcomes, p_in_ms, p_codes, p_messages) a(id, claim, outcome, in_ms, code, message)
     where j.id = a.id and j.claim is not distinct from a.claim and j.state = 'executing'
    returning j.id, j.state;
end
$$;

-- ── Maintenance ──────────────────────────────────────────────────────────────────────────────────────────────────

-- One at a time, others return at once: takes back jobs of workers that are not in waybill.workers, and deletes
-- completed and cancelled jobs past their retention. Discarded jobs stay until an operator retries or deletes them.
--   p_retention_ms  since the job finished
--   p_batch         rows deleted at most
-- Returns {rescued, deleted}; null when another maintains.
create function waybill.job_maintain(p_retention_ms float8, p_batch int) returns jsonb
language plpgsql volatile
set enable_seqscan = off
as $$
declare
  rescued int := 0;
  deleted int := 0;
  n int;
  w uuid;
  s text;
begin
  if not pg_try_advisory_xact_lock(7718266, 8) then return null; end if;
  -- a snapshot that has the claim has the worker that was registered before it: one that is missing has ended
  for w in select distinct j.worker from waybill.jobs j
            where j.claim is not null and not exists (select from waybill.workers x where x.id = j.worker) loop
    rescued := rescued + waybill.job_take_back(w, null, 'infinity', 'WORKER_LOST', format('worker %s is gone', w));
  end loop;
  foreach s in array array['completed', 'cancelled'] loop
    delete from waybill.jobs d where d.id = any(array(
      select j.id from waybill.jobs j
       where j.state = s and j.finished_at < clock_timestamp() - p_retention_ms * interval '1 ms' and j.finished_at is not null
       order by j.finished_at limit p_batch - deleted
       for update skip locked));
    get diagnostics n = row_count;
    deleted := deleted + n;
  end loop;
  return jsonb_build_object('rescued', rescued, 'deleted', deleted);
end
$$;

-- ── What operators see ───────────────────────────────────────────────────────────────────────────────────────────────

-- Jobs that are due and wait, and no live worker of their queue has a handler for. Jobs that are left to others gather at
-- the head of their queue, so a look at the first thousand of each queue and priority finds them, however many wait.
--   queue, name   of jobs
--   workers       live workers of the queue, of whatever names
--   jobs          how many were found: at least so many wait
--   oldest        when the first of them was due
create view waybill.jobs_unhandled as
with recursive queues(queue) as (
  (select j.queue from waybill.jobs j
    where j.state in ('available', 'scheduled', 'retryable') and j.claim is null order by j.queue limit 1)
  union all
  select (select j.queue from waybill.jobs j
           where j.state in ('available', 'scheduled', 'retryable') and j.claim is null and j.queue > q.queue
           order by j.queue limit 1)
    from queues q where q.queue is not null
), waiting as (
  select q.queue, h.name, count(*) as jobs, min(h.run_at) as oldest
    from queues q cross join generate_series(0, 3) p cross join lateral (
      select j.name, j.run_at from waybill.jobs j
       where j.queue = q.queue and j.priority = p::smallint and j.run_at <= statement_timestamp()
         and j.state in ('available', 'scheduled', 'retryable') and j.claim is null
       order by j.run_at limit 1000) h
   where q.queue is not null group by q.queue, h.name
), live as (
  select w.* from waybill.workers w where w.seen_at > clock_timestamp() - 2 * w.lease_ms * interval '1 ms'
)
select w.queue, w.name, (select count(*) from live l where w.queue = any(l.queues)) as workers, w.jobs, w.oldest
  from waiting w
 where not exists (select from live l where w.queue = any(l.queues)
                    and (l.names is null or w.name = any(l.names) or w.name ~ l.patterns));
comment on view waybill.jobs_unhandled is 'Names of due jobs that no live worker has a handler for.';

-- ── What operators do ────────────────────────────────────────────────────────────────────────────────────────────

-- Runs jobs again, now; their attempts start again from nothing. Null means any, but the state must be named: retryable,
-- discarded, cancelled or completed. Returns how many.
create function waybill.job_retry(
  p_id uuid default null, p_message uuid default null, p_queue text default null, p_name text default null,
  p_state text default 'discarded', p_actor text default session_user, p_reason text default null
) returns int
language plpgsql volatile
as $$
declare
  n int;
begin
  if p_state is null or p_state not in ('retryable', 'discarded', 'cancelled', 'completed') then
    raise exception using errcode = '22023', message = format('waybill.job_retry: state %L can''t be retried', p_state),
      hint = 'Name one of retryable, discarded, cancelled, completed.';
  end if;
  update waybill.jobs j set state = 'available', attempt = 0, lost = 0, run_at = clock_timestamp(), finished_at = null
   where j.state = p_state and j.claim is null
     and (p_id is null or j.id = p_id) and (p_message is null or j.message_id = p_message)
     and (p_queue is null or j.queue = p_queue) and (p_name is null or j.name = p_name);
  get diagnostics n = row_count;
  if n > 0 then
    insert into waybill.audit (actor, action, target, reason)
    values (p_actor, 'job_retry', jsonb_strip_nulls(jsonb_build_object('id', p_id, 'message', p_message, 'queue', p_queue,
            'name', p_name, 'state', p_state, 'count', n)), p_reason);
  end if;
  return n;
end
$$;

-- Cancels jobs that nobody has claimed: scheduled, available or retryable ones. At least one of the filters is asked
-- for. A job that is executing decides for itself. Returns how many.
create function waybill.job_cancel(
  p_id uuid default null, p_message uuid default null, p_queue text default null, p_name text default null,
  p_actor text default session_user, p_reason text default null
) returns int
language plpgsql volatile
as $$
declare
  n int;
begin
  if num_nonnulls(p_id, p_message, p_queue, p_name) = 0 then
    raise exception using errcode = '22023', message = 'waybill.job_cancel: nothing says which jobs',
      hint = 'Name an id, a message, a queue or a name.';
  end if;
  update waybill.jobs j set state = 'cancelled', finished_at = clock_timestamp()
   where j.state in ('available', 'scheduled', 'retryable') and j.claim is null
     and (p_id is null or j.id = p_id) and (p_message is null or j.message_id = p_message)
     and (p_queue is null or j.queue = p_queue) and (p_name is null or j.name = p_name);
  get diagnostics n = row_count;
  if n > 0 then
    insert into waybill.audit (actor, action, target, reason)
    values (p_actor, 'job_cancel', jsonb_strip_nulls(jsonb_build_object('id', p_id, 'message', p_message, 'queue', p_queue,
            'name', p_name, 'count', n)), p_reason);
  end if;
  return n;
end
$$;
