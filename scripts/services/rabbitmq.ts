import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { pickPort } from './ports.js'
import { run, spawnDaemon } from './processes.js'
import { giveTo, serviceIdentity } from './users.js'
import type { Service, ServiceState } from './types.js'

const home = '/usr/lib/rabbitmq'

/** A RabbitMQ node of our own: name, ports, data, plugins, cookie and even Erlang's port mapper. */
export const rabbitmq: Service = {
  name: 'rabbitmq',
  needs: [{ label: 'RabbitMQ', debianPackage: 'rabbitmq-server', program: `${home}/bin/rabbitmq-server` }],
  variable: 'WAYBILL_TEST_AMQP_URL',
  readyWithinMs: 120_000,
  stopSignal: 'SIGTERM',
  async start({ directory, logFile }) {
    const identity = await serviceIdentity('rabbitmq')
    const ports = {
      amqp: await pickPort(5672),
      management: await pickPort(15_672),
      distribution: await pickPort(25_672),
      epmd: await pickPort(24_369),
    }
    const env = environment(directory, ports)
    await mkdir(join(directory, 'log'))
    const files = {
      'rabbitmq.conf': configuration(ports),
      'rabbitmq-env.conf': '',
      enabled_plugins: '[rabbitmq_management].\n',
      // `rabbitmqctl` and the other tools of this node need nothing but: . <directory>/node.env
      'node.env': Object.entries(env)
        .map(([key, value]) => `export ${key}='${value}'\n`)
        .join(''),
    }
    for (const [file, content] of Object.entries(files)) await writeFile(join(directory, file), content)
    await giveTo(identity, directory, join(directory, 'log'), ...Object.keys(files).map((f) => join(directory, f)))
    const pid = await launchRabbit({ directory, ports, logFile })
    return {
      name: 'rabbitmq',
      pid,
      ports,
      url: `amqp://guest:guest@127.0.0.1:${ports.amqp}`,
      managementUrl: `http://guest:guest@127.0.0.1:${ports.management}`,
      directory,
      logFile,
    }
  },
  async probe(state) {
    const connection = await connect(state.url, { timeout: 3000 })
    try {
      const { version } = connection.connection.serverProperties
      // The listener opens before the boot is over; a declared queue shows that the node does its work.
      const channel = await connection.createChannel()
      await channel.assertQueue('', { exclusive: true })
      // The management plugin starts after the listener, and tests ask it things.
      if (state.managementUrl !== undefined) await probeManagement(state.managementUrl)
      return `RabbitMQ ${version}`
    } finally {
      await connection.close()
    }
  },
  afterStop: stopPortMapper,
}

/** Starts the node of a directory that `start` has prepared. */
export async function launchRabbit({
  directory,
  ports,
  logFile,
}: {
  directory: string
  ports: Readonly<Record<string, number>>
  logFile: string
}): Promise<number> {
  const as = await serviceIdentity('rabbitmq')
  const env = environment(directory, ports)
  return spawnDaemon(`${home}/bin/rabbitmq-server`, [], { as, cwd: directory, env, logFile })
}

async function probeManagement(url: string): Promise<void> {
  const { origin, username, password } = new URL(url)
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const response = await fetch(`${origin}/api/overview`, {
    headers: { authorization },
    signal: AbortSignal.timeout(3000),
  })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`the management API answers ${response.status}`)
}

/** Erlang leaves its port mapper running for the next node; ours has a port of its own and goes with the node. */
async function stopPortMapper(state: ServiceState): Promise<void> {
  await run('epmd', ['-port', String(state.ports['epmd']), '-kill']).catch(() => undefined)
}

function environment(directory: string, ports: Readonly<Record<string, number>>): Record<string, string> {
  return {
    HOME: directory,
    RABBITMQ_CONF_ENV_FILE: join(directory, 'rabbitmq-env.conf'),
    RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'enabled_plugins'),
    RABBITMQ_NODENAME: `waybill-${ports['amqp']}@localhost`,
    RABBITMQ_NODE_PORT: String(ports['amqp']),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_DIST_PORT: String(ports['distribution']),
    RABBITMQ_MNESIA_BASE: join(directory, 'mnesia'),
    RABBITMQ_LOG_BASE: join(directory, 'log'),
    RABBITMQ_PID_FILE: join(directory, 'node.pid'),
    // Two schedulers and no busy waiting: a test broker must not eat the cores that the tests need.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
    ERL_EPMD_PORT: String(ports['epmd']),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  }
}

function configuration(ports: Readonly<Record<string, number>>): string {
  return `listeners.tcp.1 = 127.0.0.1:${ports['amqp']}
management.tcp.ip = 127.0.0.1
management.tcp.port = ${ports['management']}
log.console = true
log.console.level = info
log.file = false
disk_free_limit.absolute = 50MB
`
}
