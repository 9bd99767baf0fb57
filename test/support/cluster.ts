import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Identity, run } from '../../scripts/services/processes.js'
import { giveTo, serviceIdentity } from '../../scripts/services/users.js'
import { applyMigrations } from './migrations.js'
import { onFileEnd } from './cleanup.js'
import { waitFor } from './wait-for.js'
import { withClient } from './with-client.js'

const bin = '/usr/lib/postgresql/15/bin'

export interface ClusterOptions {
  /** Of the server, beside this process's own. */
  readonly env?: NodeJS.ProcessEnv
  /** An empty directory for the write-ahead log. */
  readonly walDirectory?: string
}

/** A PostgreSQL 15 server of a test's own, to be crashed, copied and promoted. Gone when the file ends. */
export class Cluster {
  readonly port: number
  readonly url: string
  readonly #directory: string
  readonly #as: Identity | undefined
  readonly #options: ClusterOptions

  private constructor(directory: string, port: number, as: Identity | undefined, options: ClusterOptions) {
    this.#directory = directory
    this.port = port
    this.#as = as
    this.#options = options
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`
  }

  /** A new primary with Waybill's schema. */
  static async create(settings: Record<string, string> = {}, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.blank(settings, options)
    await applyMigrations(cluster.url)
    return cluster
  }

  /** A new primary with nothing in it. */
  static async blank(settings: Record<string, string> = {}, options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = await Cluster.#empty(options)
    await cluster.#init()
    await cluster.start(settings)
    return cluster
  }

  async #init(): Promise<void> {
    const { walDirectory } = this.#options
    if (walDirectory !== undefined) await giveTo(this.#as, walDirectory)
    await this.#run('initdb', [
      ...['-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-instructions'],
      ...(walDirectory === undefined ? [] : [`--waldir=${walDirectory}`]),
    ])
  }

  static async #empty(options: ClusterOptions = {}): Promise<Cluster> {
    const as = await serviceIdentity('postgres')
    const directory = await mkdtemp(join(tmpdir(), 'waybill-cluster-'))
    await giveTo(as, directory)
    const cluster = new Cluster(join(directory, 'data'), await freePort(), as, options)
    onFileEnd(async () => {
      await cluster.crash().catch(() => undefined)
      await rm(directory, { recursive: true, force: true })
    })
    return cluster
  }

  /** A streaming stand-by of this server, started. `cluster_name` among the settings is its name in pg_stat_replication. */
  async standby(settings: Record<string, string> = {}): Promise<Cluster> {
    const copy = await Cluster.#empty()
    await run(join(bin, 'pg_basebackup'), ['-d', this.url, '-D', copy.#directory, '-R', '-X', 'stream', '-c', 'fast'], {
      as: this.#as,
      cwd: tmpdir(),
    })
    await copy.start(settings)
    return copy
  }

  /** This server after pg_upgrade, stopped for good; the new one is started. */
  async upgraded(): Promise<Cluster> {
    const copy = await Cluster.#empty()
    await copy.#init()
    await this.stop()
    const directories = ['-d', this.#directory, '-D', copy.#directory]
    await run(join(bin, 'pg_upgrade'), ['-b', bin, '-B', bin, ...directories, '-U', 'postgres'], {
      as: this.#as,
      cwd: join(copy.#directory, '..'),
    })
    await copy.start()
    return copy
  }

  /** A dump of this server, as pg_dump makes it by default, restored into one that is blank. */
  async restoreInto(target: Cluster, dumpOptions: readonly string[] = []): Promise<void> {
    const file = join(this.#directory, '..', 'dump')
    await run(join(bin, 'pg_dump'), ['-Fc', ...dumpOptions, '-f', file, this.url])
    await run(join(bin, 'pg_restore'), ['--exit-on-error', '-d', target.url, file])
  }

  /**
   * Everything goes on in a blank server by logical replication, as managed "blue/green" upgrades do it: rows, and no
   * sequences. Resolves when the rows of now are there; `end` ends it when nothing more is missing.
   */
  async replicateInto(target: Cluster): Promise<{ end(): Promise<void> }> {
    await this.restoreInto(target, ['--schema-only'])
    await withClient(this.url, (client) => client.query('create publication switch_over for all tables'))
    await withClient(target.url, (client) =>
      client.query(`create subscription switch_over connection '${this.url}' publication switch_over`),
    )
    const copied = `select count(*) > 0 and bool_and(srsubstate = 'r') as yes from pg_subscription_rel`
    await waitFor(() => says(target.url, copied), { what: 'all tables copied' })
    return {
      end: async () => {
        const { rows } = await withClient(this.url, (client) =>
          client.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn'),
        )
        const caughtUp = `select bool_and(replay_lsn >= '${rows[0]?.lsn}') as yes from pg_stat_replication
          where application_name = 'switch_over'`
        await waitFor(() => says(this.url, caughtUp), { what: 'the last rows' })
        await withClient(target.url, (client) => client.query('drop subscription switch_over'))
      },
    }
  }

  async start(settings: Record<string, string> = {}): Promise<void> {
    const all = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      port: String(this.port),
      shared_buffers: '64MB',
      max_connections: '100',
      wal_level: 'logical',
      max_prepared_transactions: '10',
      ...settings,
    }
    const flags = Object.entries(all).map(([key, value]) => `-c ${key}=${value}`)
    await this.#control(['-w', '-o', flags.join(' '), '-l', this.#logFile, 'start'])
    await waitFor(() => this.answers())
  }

  /** SIGQUIT to all of it: what was not flushed is gone. */
  async crash(): Promise<void> {
    await this.#control(['-m', 'immediate', 'stop'])
  }

  async stop(): Promise<void> {
    await this.#control(['-m', 'fast', 'stop'])
  }

  async promote(): Promise<void> {
    await this.#control(['-w', 'promote'])
  }

  /** Resolves when this stand-by has replayed all that its primary has written so far. */
  async caughtUpWith(primary: Cluster): Promise<void> {
    const { rows } = await withClient(primary.url, (client) =>
      client.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn'),
    )
    const replayed = `select pg_last_wal_replay_lsn() >= '${rows[0]?.lsn}' as yes`
    await waitFor(() => says(this.url, replayed), { what: 'the stand-by has replayed everything' })
  }

  /** How often the server's log says it. */
  async saidTimes(words: string): Promise<number> {
    return (await readFile(this.#logFile, 'utf8')).split(words).length - 1
  }

  get #logFile(): string {
    return join(this.#directory, '..', 'log')
  }

  answers(): Promise<boolean> {
    return withClient(this.url, (client) => client.query('select 1')).then(
      () => true,
      () => false,
    )
  }

  async #run(program: string, args: string[]): Promise<void> {
    await run(join(bin, program), ['-D', this.#directory, ...args], { as: this.#as, cwd: tmpdir() })
  }

  // pg_ctl start leaves a server that holds our pipes: no output is read
  async #control(args: string[]): Promise<void> {
    const child = spawn(join(bin, 'pg_ctl'), ['-D', this.#directory, ...args], {
      ...(this.#as && { uid: this.#as.uid, gid: this.#as.gid }),
      cwd: tmpdir(),
      env: { ...process.env, ...this.#options.env },
      stdio: 'ignore',
    })
    const code = await new Promise((resolve) => child.on('exit', resolve))
    if (code !== 0) throw new Error(`pg_ctl ${args.at(-1) ?? ''} failed with ${String(code)}`)
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** The answer, `yes`, to a question in SQL. */
export async function says(url: string, question: string): Promise<boolean> {
  const { rows } = await withClient(url, (client) => client.query<{ yes: boolean | null }>(question))
  return rows[0]?.yes === true
}
