import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'

export interface CpuTimes {
  readonly idle: number
  readonly stolen: number
  readonly total: number
}

/** What became of the machine's cores during a run. */
export interface MachineShares {
  readonly cores: number
  /** Nobody wanted it. */
  readonly idle: number
  /** Given to other virtual machines. */
  readonly stolen: number
}

/** Of all cores since the machine started, in ticks (proc(5), `/proc/stat`). */
export async function readCpuTimes(): Promise<CpuTimes> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n')
  const [user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, soft = 0, stolen = 0] = line
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return { idle: idle + waiting, stolen, total: user + nice + system + idle + waiting + irq + soft + stolen }
}

export function sharesOf(before: CpuTimes, after: CpuTimes): MachineShares {
  const total = after.total - before.total
  const share = (ticks: number): number => (total === 0 ? 0 : ticks / total)
  return {
    cores: cpus().length,
    idle: share(after.idle - before.idle),
    stolen: share(after.stolen - before.stolen),
  }
}
