/** The contract between the commands (`up`, `down`, `status`) and the services they look after. */

export const serviceNames = ['pg18', 'pg15', 'pgbouncer18', 'pgbouncer15', 'rabbitmq', 'kafka'] as const
export type ServiceName = (typeof serviceNames)[number]

/** A program that must be on the machine, and the Debian package that brings it. */
export interface Requirement {
  readonly label: string
  readonly debianPackage: string
  /** Absolute path, or a command looked up in PATH. */
  readonly program: string
  /** Useful to some tests, but the service runs without it. */
  readonly optional?: boolean
}

/** What is written down about a running service, so that any later process can find, probe and stop it. */
export interface ServiceState {
  readonly name: ServiceName
  readonly url: string
  readonly ports: Readonly<Record<string, number>>
  readonly pid: number
  /** Start time of `pid` as the kernel knows it: a reused pid is never mistaken for ours. */
  readonly pidStarted: string
  readonly directory: string
  readonly logFile: string
  /** Who started it; `down --owner` stops only those. */
  readonly owner: string
  readonly managementUrl?: string
}

export type NewState = Omit<ServiceState, 'owner' | 'pidStarted'>

export interface StartContext {
  /** A fresh, empty directory of the service's own. */
  readonly directory: string
  readonly logFile: string
  /** The state of the service named in `after`. */
  readonly upstream?: ServiceState
  readonly progress: (text: string) => void
}

export interface Service {
  readonly name: ServiceName
  readonly needs: readonly Requirement[]
  /** Started first, and handed over as `upstream`. */
  readonly after?: ServiceName
  /** Environment variable that names a server to use in place of this one. */
  readonly variable: string
  readonly readyWithinMs: number
  /** Prepares the data directory and spawns the process; waiting for readiness is the caller's. */
  start(context: StartContext): Promise<NewState>
  /** One honest round trip to the service; returns its version, throws while it is not ready. */
  probe(state: ServiceState): Promise<string>
  readonly stopSignal: NodeJS.Signals
  /** For what outlives the process itself. */
  afterStop?(state: ServiceState): Promise<void>
}
