import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLock } from './lock.js'
import { ensureInstalled } from './packages.js'
import { servicesDirectory } from './paths.js'
import { processStarted } from './processes.js'
import { services, withUpstreams } from './registry.js'
import { isAlive, readState, writeState } from './state.js'
import { stopService } from './down.js'
import type { Service, ServiceName, ServiceState } from './types.js'

export interface UpOptions {
  /** Written into the state of what this call starts; see `down({ owner })`. */
  readonly owner?: string
  readonly progress?: (text: string) => void
}

export interface UpResult {
  readonly state: ServiceState
  readonly version: string
  /** False when it was already running. */
  readonly started: boolean
}

/** Starts what is not running yet, side by side, and returns when every one of them answers. */
export async function up(names: readonly ServiceName[], options: UpOptions = {}): Promise<UpResult[]> {
  const progress = options.progress ?? (() => undefined)
  const wanted = withUpstreams(names)
  return withLock(
    `${servicesDirectory()}.lock`,
    () => progress('waiting for another services command to finish'),
    async () => {
      await ensureInstalled(
        wanted.flatMap((name) => services[name].needs),
        progress,
      )
      await mkdir(servicesDirectory(), { recursive: true })
      const running = new Map<ServiceName, Promise<UpResult>>()
      for (const name of wanted) {
        const { after } = services[name]
        // withUpstreams lists what a service stands on before the service itself.
        const upstream = after === undefined ? undefined : running.get(after)
        running.set(name, ensureRunning(services[name], upstream, options.owner ?? 'up', progress))
      }
      const results = await Promise.allSettled(running.values())
      const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
      if (failures.length > 0) {
        throw new AggregateError(failures, [...new Set(failures.map(messageOf))].join('\n\n'))
      }
      return Promise.all(running.values())
    },
  )
}

async function ensureRunning(
  service: Service,
  upstream: Promise<UpResult> | undefined,
  owner: string,
  progress: (text: string) => void,
): Promise<UpResult> {
  const base = await upstream
  const known = await readState(service.name)
  if (known !== undefined && base?.started !== true && isAlive(known)) {
    const version = await probeUntilReady(service, known, 10_000).catch(() => undefined)
    if (version !== undefined) return { state: known, version, started: false }
  }
  if (known !== undefined) {
    progress(`${service.name} does not answer any more, starting it afresh`)
    await stopService(known)
  }
  const directory = join(servicesDirectory(), service.name)
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true, mode: 0o755 })
  progress(`starting ${service.name}`)
  const prefixed = (text: string) => progress(`${service.name}: ${text}`)
  const context = { directory, logFile: join(directory, 'service.log'), progress: prefixed }
  const fresh = await service.start(base === undefined ? context : { ...context, upstream: base.state })
  // Written before it is ready: `down` must find it even when this process is interrupted right now.
  const state = { ...fresh, owner, pidStarted: processStarted(fresh.pid) ?? 'gone' }
  await writeState(state)
  const version = await probeUntilReady(service, state, service.readyWithinMs)
  progress(`${service.name} is ready`)
  return { state, version, started: true }
}

async function probeUntilReady(service: Service, state: ServiceState, withinMs: number): Promise<string> {
  const deadline = Date.now() + withinMs
  for (;;) {
    try {
      return await service.probe(state)
    } catch (error) {
      const died = !isAlive(state)
      if (died || Date.now() > deadline) {
        const what = died ? 'ended while starting' : `was not ready within ${withinMs / 1000} s`
        const log = await readFile(state.logFile, 'utf8').catch(() => '')
        throw new Error(
          `${service.name} ${what} (${messageOf(error)}). The end of ${state.logFile}:\n${log.trim().slice(-2000)}`,
          { cause: error },
        )
      }
      await sleep(250)
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}
