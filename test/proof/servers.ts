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
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { serviceReady } from '../support/service-ready.js'
import { waitFor } from '../support/wait-for.js'

type Launch = (state: NewState) => Promise<number>

/** A broker of the proof's own, to be killed, frozen and started again on its data. Gone when the file ends. */
export class OwnServer {
  readonly url: string
  /** The network before it. */
  readonly link: HalfOpenProxy
  readonly #service: Service
  readonly #launch: Launch
  readonly #state: NewState
  #pid: number

  private constructor(service: Service, launch: Launch, state: NewState, link: HalfOpenProxy) {
    this.#service = service
    this.#launch = launch
    this.#state = state
    this.#pid = state.pid
    this.url = state.url
    this.link = link
  }

  static async rabbitmq(): Promise<OwnServer> {
    const directory = await ownDirectory('rabbitmq')
    await giveTo(await serviceIdentity('rabbitmq'), directory)
    const state = await rabbitmq.start({ directory, logFile: join(directory, 'log.txt'), progress: () => undefined })
    const link = await startHalfOpenProxy({ port: Number(new URL(state.url).port) })
    const server = new OwnServer(rabbitmq, launchRabbit, state, link)
    onFileEnd(() => server.#remove())
    await server.ready()
    return server
  }

  /**
   * Nodes of one cluster, each broker and controller; everybody reaches a broker through its link. Topics have three
   * replicas, two of them in sync, or as many as there are nodes.
   */
  static async kafkaNodes(count: number): Promise<OwnServer[]> {
    const clusterId = drawClusterId()
    const nodes: { broker: number; controller: number; advertised: number; link: HalfOpenProxy }[] = []
    for (let i = 0; i < count; i++) {
      const [broker, controller] = [await pickPort(), await pickPort()]
      const link = await startHalfOpenProxy({ port: broker })
      nodes.push({ broker, controller, link, advertised: link.port })
    }
    const servers: OwnServer[] = []
    for (const [i, { broker, controller, link }] of nodes.entries()) {
      const directory = await ownDirectory('kafka')
      await prepareKafka({ directory, clusterId, id: i + 1, nodes })
      const logFile = join(directory, 'log.txt')
      const pid = await launchKafka({ directory, logFile })
      const url = `127.0.0.1:${link.port}`
      const ports = { broker, controller }
      const server = new OwnServer(kafka, launchKafka, { name: 'kafka', pid, ports, url, directory, logFile }, link)
      onFileEnd(() => server.#remove())
      servers.push(server)
    }
    await Promise.all(servers.map((server) => server.ready()))
    return servers
  }

  async #remove(): Promise<void> {
    await this.stop()
    await rm(this.#state.directory, { recursive: true, force: true })
  }

  async ready(): Promise<void> {
    const state: ServiceState = { ...this.#state, pid: this.#pid, owner: 'proof', pidStarted: '' }
    await serviceReady(this.#service, state)
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
