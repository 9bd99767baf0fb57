import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { drawClusterId, kafka, launchKafka, prepareKafka } from '../../scripts/services/kafka.js'
import { pickPort } from '../../scripts/services/ports.js'
import { processStarted, run, stopProcess } from '../../scripts/services/processes.js'
import { launchRabbit, rabbitmq } from '../../scripts/services/rabbitmq.js'
import type { NewState, Service, ServiceState } from '../../scripts/services/types.js'
import { giveTo, serviceIdentity } from '../../scripts/services/users.js'
import { onFileEnd } from '../support/cleanup.js'
import { waitFor } from '../support/wait-for.js'

type Launch = (state: NewState) => Promise<number>

/** A broker of the proof's own, to be killed, frozen and started again on its data. Gone when the file ends. */
export class OwnServer {
  readonly url: string
  readonly #service: Service
  readonly #launch: Launch
  readonly #state: NewState
  #pid: number

  private constructor(service: Service, launch: Launch, state: NewState) {
    this.#service = service
    this.#launch = launch
    this.#state = state
    this.#pid = state.pid
    this.url = state.url
  }

  static rabbitmq(): Promise<OwnServer> {
    return OwnServer.#start(rabbitmq, launchRabbit)
  }

  static kafka(): Promise<OwnServer> {
    return OwnServer.#start(kafka, launchKafka)
  }

  /** Nodes of one cluster, each broker and controller; topics have three replicas, two of them in sync. */
  static async kafkaNodes(count: number): Promise<OwnServer[]> {
    const clusterId = drawClusterId()
    const nodes: { broker: number; controller: number }[] = []
    for (let i = 0; i < count; i++) nodes.push({ broker: await pickPort(), controller: await pickPort() })
    const servers: OwnServer[] = []
    for (const [i, ports] of nodes.entries()) {
      const directory = await ownDirectory('kafka')
      await prepareKafka({ directory, clusterId, id: i + 1, nodes })
      const logFile = join(directory, 'log.txt')
      const pid = await launchKafka({ directory, logFile })
      const url = `127.0.0.1:${ports.broker}`
      const server = new OwnServer(kafka, launchKafka, {
        name: 'kafka',
        pid,
        ports: { ...ports },
        url,
        directory,
        logFile,
      })
      onFileEnd(() => server.#remove())
      servers.push(server)
    }
    await Promise.all(servers.map((server) => server.ready()))
    return servers
  }

  static async #start(service: Service, launch: Launch): Promise<OwnServer> {
    const directory = await ownDirectory(service.name)
    if (service.name === 'rabbitmq') await giveTo(await serviceIdentity('rabbitmq'), directory)
    const state = await service.start({ directory, logFile: join(directory, 'log.txt'), progress: () => undefined })
    const server = new OwnServer(service, launch, state)
    onFileEnd(() => server.#remove())
    await server.ready()
    return server
  }

  async #remove(): Promise<void> {
    await this.stop()
    await rm(this.#state.directory, { recursive: true, force: true })
  }

  async ready(): Promise<void> {
    const state: ServiceState = { ...this.#state, pid: this.#pid, owner: 'proof', pidStarted: '' }
    await waitFor(
      () =>
        this.#service.probe(state).then(
          () => true,
          () => false,
        ),
      { timeoutMs: 120_000, intervalMs: 200, what: `${this.#service.name} is ready` },
    )
  }

  /** SIGKILL to all of its processes. */
  async kill(): Promise<void> {
    const started = processStarted(this.#pid)
    process.kill(-this.#pid, 'SIGKILL')
    await waitFor(() => processStarted(this.#pid) !== started || started === undefined)
  }

  /** On the data that it left behind. Resolves when it answers. */
  async start(): Promise<void> {
    this.#pid = await this.#launch(this.#state)
    await this.ready()
  }

  freeze(): void {
    process.kill(-this.#pid, 'SIGSTOP')
  }

  thaw(): void {
    process.kill(-this.#pid, 'SIGCONT')
  }

  /** A command of the broker's own tools, such as `rabbitmqctl`. */
  async tool(command: string): Promise<string> {
    return run(
      'sh',
      ['-c', `. ${join(this.#state.directory, 'node.env')}; PATH=/usr/lib/rabbitmq/bin:$PATH ${command}`],
      {
        as: await serviceIdentity('rabbitmq'),
        cwd: this.#state.directory,
      },
    )
  }

  async stop(): Promise<void> {
    const started = processStarted(this.#pid)
    if (started === undefined) return
    this.thaw()
    await stopProcess(this.#pid, started, this.#service.stopSignal)
    const state: ServiceState = { ...this.#state, pid: this.#pid, owner: 'proof', pidStarted: started }
    await this.#service.afterStop?.(state)
  }
}

function ownDirectory(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `waybill-proof-${name}-`))
}
