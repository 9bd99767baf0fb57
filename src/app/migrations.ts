/** Schema migrations and roles, for the command line. */
export { type MigrationSubject } from '../db/migrate-files.js'
export { disableSql, securedTables } from '../db/hidden-tables.js'
export { adoptSchema } from '../db/migrate-adopt.js'
export { adoptRemedy, isWithoutHistory } from '../db/migrate-history.js'
export { migrate, pendingMigrations, type MigrateProgress, type MigrateResult } from '../db/migrate.js'
export { migrationSql } from '../db/migrate-sql.js'
export { applyRoles, type RolesReport } from '../db/roles.js'
export { rebaseRestored, type RebaseReport } from '../outbox/rebase.js'
