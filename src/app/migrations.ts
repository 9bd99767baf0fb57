/** Schema migrations, for the command line. */
export { migrate, pendingMigrations, type MigrateProgress, type MigrateResult } from '../db/migrate.js'
export { migrationSql } from '../db/migrate-sql.js'
export { grantRoles, roles, rolesSql } from '../outbox/inspect/roles.js'
