import type pg from 'pg'
import type { Settings } from '../../config/settings.js'
import type { Problem } from '../../core/errors.js'
import type { MigrationSubject } from '../../db/migrate-files.js'

export type Level = 'ok' | 'warn' | 'error'

/** What one look has found. */
export interface Finding {
  /** What was looked at: `partitions`. */
  readonly check: string
  readonly level: Level
  /** What is there, with figures. */
  readonly what: string
  /** What comes of it; null when all is well. */
  readonly why: string | null
  /** What to do; null when all is well. */
  readonly remedy: string | null
}

/** What a check may use. */
export interface Examination {
  readonly pool: pg.Pool
  readonly config: Settings<'database' | 'dispatcher' | 'retention'>
  /** Of the whole configuration. */
  readonly problems: readonly Problem[]
  /** Size of the database's disk, bytes; undefined: not said. */
  readonly diskBytes: number | undefined
  /** This subject alone; undefined: everything. */
  readonly only?: MigrationSubject | undefined
}

/** One look at one thing. It throws when it can't look; nothing that it does changes anything. */
export interface Check {
  readonly name: string
  /** It reads Waybill's own tables: of no use before the schema is there. */
  readonly needsSchema: boolean
  run(examination: Examination): Promise<Omit<Finding, 'check'>[]>
}

export function ok(what: string): Omit<Finding, 'check'> {
  return { level: 'ok', what, why: null, remedy: null }
}

export function warn(what: string, why: string, remedy: string): Omit<Finding, 'check'> {
  return { level: 'warn', what, why, remedy }
}

export function error(what: string, why: string, remedy: string): Omit<Finding, 'check'> {
  return { level: 'error', what, why, remedy }
}

/** `1.5 GB`, in powers of 1,000, as disks are sold. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const
  let at = 0
  let rest = bytes
  while (rest >= 1000 && at < units.length - 1) {
    rest /= 1000
    at++
  }
  return `${at === 0 ? rest : rest.toFixed(1)} ${units[at] ?? ''}`
}

/** `3 d`, `5 h`, `12 min`, `40 s`. */
export function formatAge(seconds: number): string {
  if (seconds >= 172_800) return `${Math.floor(seconds / 86_400)} d`
  if (seconds >= 7200) return `${Math.floor(seconds / 3600)} h`
  if (seconds >= 120) return `${Math.floor(seconds / 60)} min`
  return `${Math.round(seconds)} s`
}
