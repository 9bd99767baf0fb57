import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import kafkajs from 'kafkajs'
import { kafkaClassPath, kafkaVersion } from './kafka-jars.js'
import { pickPort } from './ports.js'
import { run, spawnDaemon } from './processes.js'
import type { Service } from './types.js'

/** One Kafka node, broker and KRaft controller in one process. */
export const kafka: Service = {
  name: 'kafka',
  needs: [
    { label: 'Java 17', debianPackage: 'openjdk-17-jre-headless', program: 'java' },
    { label: 'Maven', debianPackage: 'maven', program: 'mvn' },
    { label: 'kcat', debianPackage: 'kcat', program: 'kcat', optional: true },
  ],
  variable: 'WAYBILL_TEST_KAFKA_BROKERS',
  readyWithinMs: 120_000,
  stopSignal: 'SIGTERM',
  async start({ directory, logFile, progress }) {
    const ports = { broker: await pickPort(9092), controller: await pickPort(9093) }
    await prepareKafka({ directory, clusterId: drawClusterId(), id: 1, nodes: [ports], progress })
    const pid = await launchKafka({ directory, logFile })
    return { name: 'kafka', pid, ports, url: `127.0.0.1:${ports.broker}`, directory, logFile }
  },
  async probe(state) {
    const client = new kafkajs.Kafka({
      brokers: [state.url],
      clientId: 'waybill-services',
      logLevel: kafkajs.logLevel.NOTHING,
      connectionTimeout: 2000,
      requestTimeout: 3000,
      retry: { retries: 0 },
    })
    const admin = client.admin()
    try {
      await admin.connect()
      await admin.listTopics()
      const { brokers, controller } = await admin.describeCluster()
      if (brokers.length === 0 || controller === null) throw new Error('no broker has registered yet')
      return `Apache Kafka ${kafkaVersion}`
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
  },
}

export interface KafkaPorts {
  readonly broker: number
  readonly controller: number
  /** Where clients are sent to, when that is not the broker itself but a proxy before it. */
  readonly advertised?: number
}

/** One more way in for clients, beside the plain one. */
export interface KafkaListener {
  /** Lower case; its settings begin with `listener.name.<name>.`. */
  readonly name: string
  readonly protocol: 'SSL' | 'SASL_SSL'
  readonly port: number
}

/** What a node has beyond the ordinary. */
interface KafkaExtras {
  readonly listeners?: readonly KafkaListener[]
  /** Further settings, `name` and value. */
  readonly properties?: Readonly<Record<string, string>>
}

/** Kafka's ids are 16 bytes in base64url. Its tool can draw one, but that is one more start of a JVM. */
export function drawClusterId(): string {
  return `W${randomBytes(16).toString('base64url').slice(1)}`
}

/** Writes the configuration of a node, broker and controller in one, and formats its storage. */
export async function prepareKafka({
  directory,
  clusterId,
  id,
  nodes,
  scramUsers = [],
  progress = () => undefined,
  ...extras
}: KafkaExtras & {
  /** Empty. */
  readonly directory: string
  readonly clusterId: string
  /** From 1. */
  readonly id: number
  /** Of all nodes, this one among them: node 1 first. */
  readonly nodes: readonly KafkaPorts[]
  /** Who may sign in by SCRAM, with SHA-256 and SHA-512. */
  readonly scramUsers?: readonly { readonly name: string; readonly password: string }[]
  readonly progress?: (text: string) => void
}): Promise<void> {
  const classPath = await kafkaClassPath(progress)
  const properties = join(directory, 'server.properties')
  const logging = join(directory, 'log4j2.properties')
  await writeFile(properties, serverProperties(id, nodes, join(directory, 'data'), extras))
  await writeFile(logging, loggingProperties)
  const java = [`-Dlog4j2.configurationFile=${logging}`, '-cp', classPath]
  const scram = scramUsers.flatMap(({ name, password }) =>
    ['256', '512'].flatMap((bits) => ['--add-scram', `SCRAM-SHA-${bits}=[name=${name},password=${password}]`]),
  )
  await run('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties, ...scram])
}

/** Starts the node of a directory that `start` has prepared. */
export async function launchKafka({ directory, logFile }: { directory: string; logFile: string }): Promise<number> {
  const classPath = await kafkaClassPath(() => undefined)
  const args = [`-Dlog4j2.configurationFile=${join(directory, 'log4j2.properties')}`, '-cp', classPath, 'kafka.Kafka']
  return spawnDaemon('java', ['-Xmx512m', '-Xms128m', ...args, join(directory, 'server.properties')], {
    cwd: directory,
    logFile,
  })
}

function serverProperties(id: number, nodes: readonly KafkaPorts[], data: string, extras: KafkaExtras): string {
  const { listeners = [], properties = {} } = extras
  const ports = nodes[id - 1] as KafkaPorts
  const replicas = Math.min(3, nodes.length)
  const inSync = replicas > 1 ? 2 : 1
  const more = listeners.map(({ name, port }) => `${name.toUpperCase()}://127.0.0.1:${port}`)
  const protocols = listeners.map(({ name, protocol }) => `${name.toUpperCase()}:${protocol}`)
  return `process.roles=broker,controller
node.id=${id}
controller.quorum.voters=${nodes.map(({ controller }, i) => `${i + 1}@127.0.0.1:${controller}`).join()}
listeners=${[`PLAINTEXT://127.0.0.1:${ports.broker}`, `CONTROLLER://127.0.0.1:${ports.controller}`, ...more].join()}
advertised.listeners=${[`PLAINTEXT://127.0.0.1:${ports.advertised ?? ports.broker}`, ...more].join()}
controller.listener.names=CONTROLLER
listener.security.protocol.map=${['PLAINTEXT:PLAINTEXT', 'CONTROLLER:PLAINTEXT', ...protocols].join()}
log.dirs=${data}
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=${replicas}
min.insync.replicas=${inSync}
offsets.topic.replication.factor=${replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=${replicas}
transaction.state.log.min.isr=${inSync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=${replicas}
share.coordinator.state.topic.min.isr=${inSync}
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=20000000
${Object.entries(properties)
  .map(([name, value]) => `${name}=${value}\n`)
  .join('')}`
}

const loggingProperties = `status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c - %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
`
