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
    const classPath = await kafkaClassPath(progress)
    const ports = { broker: await pickPort(9092), controller: await pickPort(9093) }
    const properties = join(directory, 'server.properties')
    const logging = join(directory, 'log4j2.properties')
    await writeFile(properties, serverProperties(ports, join(directory, 'data')))
    await writeFile(logging, loggingProperties)
    const java = [`-Dlog4j2.configurationFile=${logging}`, '-cp', classPath]
    // Kafka's ids are 16 bytes in base64url. Its tool can draw one, but that is one more start of a JVM.
    const cluster = `W${randomBytes(16).toString('base64url').slice(1)}`
    await run('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', cluster, '-c', properties])
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

/** Starts the node of a directory that `start` has prepared. */
export async function launchKafka({ directory, logFile }: { directory: string; logFile: string }): Promise<number> {
  const classPath = await kafkaClassPath(() => undefined)
  const args = [`-Dlog4j2.configurationFile=${join(directory, 'log4j2.properties')}`, '-cp', classPath, 'kafka.Kafka']
  return spawnDaemon('java', ['-Xmx512m', '-Xms128m', ...args, join(directory, 'server.properties')], {
    cwd: directory,
    logFile,
  })
}

function serverProperties(ports: { readonly broker: number; readonly controller: number }, data: string): string {
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${ports.controller}
listeners=PLAINTEXT://127.0.0.1:${ports.broker},CONTROLLER://127.0.0.1:${ports.controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports.broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=${data}
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=20000000
`
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
