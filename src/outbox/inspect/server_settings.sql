-- server_settings(): what of this server, database and user can hurt. Settings as this session got them: by default.
select current_setting('server_version') as version, current_setting('server_version_num')::int as "versionNumber",
       pg_is_in_recovery() as "inRecovery", pg_encoding_to_char(d.encoding) as encoding,
       current_setting('synchronous_commit') as "synchronousCommit", current_setting('fsync') as fsync,
       current_setting('full_page_writes') as "fullPageWrites", current_setting('autovacuum') as autovacuum,
       current_setting('default_transaction_isolation') as isolation,
       current_setting('default_transaction_read_only') as "readOnly",
       (select s.setting::float8 from pg_settings s where s.name = 'statement_timeout') as "statementTimeoutMs",
       (select s.setting::float8 from pg_settings s where s.name = 'idle_in_transaction_session_timeout') as "idleTimeoutMs",
       (select s.setting::float8 from pg_settings s where s.name = 'transaction_timeout') as "transactionTimeoutMs",
       current_setting('max_prepared_transactions')::int as "preparedTransactions",
       current_setting('max_connections')::int as "maxConnections",
       (select count(*) from pg_stat_activity a where a.backend_type = 'client backend')::int as connections,
       to_json(extract(epoch from clock_timestamp()) * 1000) as "nowMs"
  from pg_database d where d.datname = current_database()
