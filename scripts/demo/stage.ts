import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { down } from '../services/down.js'
import { processStarted } from '../services/processes.js'
import type { ServiceName } from '../services/types.js'
import { up } from '../services/up.js'
import type { DemoOptions } from './options.js'

/** The servers of one run, in a directory and on ports of their own: nothing that runs already is touched. */
export interface Stage {
  readonly directory: string
  readonly databaseUrl: string
  readonly amqpUrl: string | undefined
  readonly kafkaBrokers: string | undefined
  readonly versions: readonly string[]
  close(): Promise<void>
}

const prefix = 'waybill-demo-'

export async function openStage(options: DemoOptions, progress: (text: string) => void): Promise<Stage> {
  await sweep()
  const directory = join(tmpdir(), `${prefix}${process.pid}`)
  await rm(directory, { recursive: true, force: true })
  // Readable by all: as root, the servers run as users of their own.
  await mkdir(directory, { mode: 0o755 })
  const close = () => removeStage(directory)
  try {
    const names: ServiceName[] = ['pg18']
    if (options.brokers && options.amqpUrl === undefined) names.push('rabbitmq')
    if (options.brokers && options.kafkaBrokers === undefined) names.push('kafka')
    process.env['WAYBILL_SERVICES_DIR'] = servicesOf(directory)
    const started = await up(names, { owner: 'demo', progress })
    const urlOf = (name: ServiceName) => started.find(({ state }) => state.name === name)?.state.url
    return {
      directory,
      databaseUrl: await createDatabase(urlOf('pg18') ?? ''),
      amqpUrl: options.amqpUrl ?? urlOf('rabbitmq'),
      kafkaBrokers: options.kafkaBrokers ?? urlOf('kafka'),
      versions: started.map(({ version }) => version),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

const servicesOf = (directory: string) => join(directory, 'services')

async function removeStage(directory: string): Promise<void> {
  process.env['WAYBILL_SERVICES_DIR'] = servicesOf(directory)
  await down()
  await rm(directory, { recursive: true, force: true })
}

/** Servers of a demo that was killed before it could stop them. */
async function sweep(): Promise<void> {
  const names = await readdir(tmpdir())
  for (const name of names.filter((candidate) => candidate.startsWith(prefix))) {
    const pid = Number(name.slice(prefix.length))
    if (Number.isInteger(pid) && processStarted(pid) === undefined) await removeStage(join(tmpdir(), name))
  }
}

async function createDatabase(serverUrl: string): Promise<string> {
  await withClient(serverUrl, (client) => client.query('create database orders'))
  const url = new URL(serverUrl)
  url.pathname = '/orders'
  const schema = await readFile(new URL('../../examples/orders/schema.sql', import.meta.url), 'utf8')
  await withClient(url.href, (client) => client.query(schema))
  return url.href
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
