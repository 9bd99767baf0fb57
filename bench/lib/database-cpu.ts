import { readFileSync } from 'node:fs'
import { asAdmin } from './database.js'

/** CPU time of each session of a database, microseconds, by process id. */
type Sessions = ReadonlyMap<number, number>

/**
 * What a stretch of work costs the sessions of a database, where the server runs on this machine: gives microseconds, or
 * undefined. Unlike time on a clock it does not count what other programs took of the cores. The server's writers and
 * sessions that ended meanwhile are not in it: for sides that keep theirs open.
 */
export async function meterDatabase(url: string): Promise<() => Promise<number | undefined>> {
  const before = await sessions(url)
  return async () => {
    const after = await sessions(url)
    if (before === undefined || after === undefined) return undefined
    let total = 0
    for (const [pid, micros] of after) total += micros - (before.get(pid) ?? 0)
    return total
  }
}

async function sessions(url: string): Promise<Sessions | undefined> {
  const { rows } = await asAdmin(url, (client) =>
    client.query<{ pid: number }>(
      `select pid from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`,
    ),
  )
  const found = new Map<number, number>()
  for (const { pid } of rows) {
    const micros = cpuMicrosOf(pid)
    if (micros === undefined) return undefined
    found.set(pid, micros)
  }
  return found
}

/** Linux: nanoseconds on a core, in /proc/PID/schedstat (Documentation/scheduler/sched-stats). */
function cpuMicrosOf(pid: number): number | undefined {
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('postgres')) return undefined
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000
  } catch {
    return undefined
  }
}
