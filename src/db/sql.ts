import { readFileSync } from 'node:fs'

/** Text of a `.sql` file beside the module at `base` (its `import.meta.url`). Comments are kept: they show in pg_stat_activity. */
export function loadSql(base: string, file: string): string {
  return readFileSync(new URL(file, base), 'utf8').trim()
}
