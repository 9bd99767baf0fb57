import { withLock } from './lock.js'
import { servicesDirectory } from './paths.js'
import { stopProcess } from './processes.js'
import { services } from './registry.js'
import { forget, readStates } from './state.js'
import { serviceNames, type ServiceName, type ServiceState } from './types.js'

export interface DownOptions {
  /** Only these; everything when absent. What stands on one of them is stopped too. */
  readonly names?: readonly ServiceName[]
  /** Only what `up` started for this owner. */
  readonly owner?: string
  readonly progress?: (text: string) => void
}

/** Stops services and deletes their data. Stopping what does not run is fine. */
export async function down(options: DownOptions = {}): Promise<ServiceName[]> {
  const progress = options.progress ?? (() => undefined)
  return withLock(
    `${servicesDirectory()}.lock`,
    () => progress('waiting for another services command to finish'),
    async () => {
      const states = (await readStates()).filter((state) => isMeant(state, options))
      // Poolers first, so that none of them reports a server that went away under it.
      const [poolers, servers] = partition(states, (state) => services[state.name].after !== undefined)
      for (const group of [poolers, servers]) {
        await Promise.all(
          group.map(async (state) => {
            await stopService(state)
            progress(`stopped ${state.name}`)
          }),
        )
      }
      await sweep()
      return states.map((state) => state.name)
    },
  )
}

/** Without the lock: for callers that hold it. */
export async function stopService(state: ServiceState): Promise<void> {
  const service = services[state.name]
  await stopProcess(state.pid, state.pidStarted, service.stopSignal)
  await service.afterStop?.(state)
  await forget(state.name)
}

/** Data of a service whose start was interrupted before it had a process: under the lock nobody is at work on it. */
async function sweep(): Promise<void> {
  const known = new Set((await readStates()).map((state) => state.name))
  for (const name of serviceNames) if (!known.has(name)) await forget(name)
}

function isMeant(state: ServiceState, { names, owner }: DownOptions): boolean {
  if (owner !== undefined && state.owner !== owner) return false
  if (names === undefined || names.length === 0) return true
  const { after } = services[state.name]
  return names.includes(state.name) || (after !== undefined && names.includes(after))
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter((item) => test(item)), items.filter((item) => !test(item))]
}
