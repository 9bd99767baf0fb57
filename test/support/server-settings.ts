/**
 * Settings of a server that its administrator, its provider or an old dump may have set for a role or a database, and that
 * change how SQL is read, how values are shown, how long something may take, or what runs at all. No result of Waybill's
 * may depend on one. `default_transaction_read_only` is not among them: that one is obeyed.
 */
export const hostileSettings: Readonly<Record<string, readonly string[]>> = {
  'dates, German': [`datestyle = 'German'`],
  'dates, SQL': [`datestyle = 'SQL, DMY'`],
  'dates, year first': [`datestyle = 'ISO, YMD'`],
  'dates, Postgres, and a zone whose name is another’s': [`datestyle = 'Postgres, DMY'`, `timezone = 'Asia/Kolkata'`],
  intervals: [`intervalstyle = 'sql_standard'`],
  bytes: [`bytea_output = 'escape'`],
  'floats, rounded': [`extra_float_digits = -10`],
  'backslashes in texts': [`standard_conforming_strings = off`],
  'nulls that are equal': [`transform_null_equals = on`],
  'nulls in arrays': [`array_nulls = off`],
  'no search path': [`search_path = ''`],
  'a hostile search path': [`search_path = evil, pg_catalog, public`],
  'Waybill in the search path': [`search_path = waybill, public`],
  serializable: [`default_transaction_isolation = 'serializable'`],
  'repeatable read': [`default_transaction_isolation = 'repeatable read'`],
  deferrable: [`default_transaction_isolation = 'serializable'`, `default_transaction_deferrable = on`],
  'a zone of 5 h 45': [`timezone = 'Asia/Kathmandu'`],
  'a zone of old': [`timezone = 'Africa/Monrovia'`],
  'a zone by rule': [`timezone = '<-03>+03:30'`],
  lock_timeout: [`lock_timeout = '1ms'`],
  statement_timeout: [`statement_timeout = '3s'`],
  'idle in a transaction': [`idle_in_transaction_session_timeout = '1s'`],
  idle: [`idle_session_timeout = '1s'`],
  row_security: [`row_security = off`],
  messages: [`lc_messages = 'C'`],
  LATIN1: [`client_encoding = 'LATIN1'`],
  client_min_messages: [`client_min_messages = 'error'`],
  'quoted names': [`quote_all_identifiers = on`],
  'no index scans': [`enable_indexscan = off`, `enable_indexonlyscan = off`],
  'generic plans': [`plan_cache_mode = 'force_generic_plan'`],
  'unchecked bodies': [`check_function_bodies = off`],
  exit_on_error: [`exit_on_error = on`],
  replica: [`session_replication_role = 'replica'`],
  'commits that are not waited for': [`synchronous_commit = off`],
  'JIT for everything': [`jit = on`, `jit_above_cost = 0`],
  'names of variables': [`plpgsql.variable_conflict = 'use_column'`],
  'checks of plpgsql': [`plpgsql.extra_errors = 'all'`],
  heap: [`default_table_access_method = 'heap'`],
}

/** Functions and operators that are called like PostgreSQL's, and lie: for `a hostile search path`. */
export const evilSchema = `create schema if not exists evil;
  create function evil.now() returns timestamptz language sql as 'select null::timestamptz';
  create function evil.count(int) returns int language sql as 'select 0';
  create function evil.f(text, text) returns boolean language sql as 'select false';
  create operator evil.= (leftarg = text, rightarg = text, function = texteq);
  create operator evil.~ (leftarg = text, rightarg = text, function = evil.f);
  create table evil.messages (id int)`
