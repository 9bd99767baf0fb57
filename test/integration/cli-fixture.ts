import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type CliIo, type ExitCode, runCli } from '../../src/cli/command.js'
import { commands } from '../../src/cli/commands/index.js'
import { onFileEnd } from '../support/cleanup.js'

export interface CliResult {
  readonly code: ExitCode
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly env?: Record<string, string>
  readonly stdin?: Iterable<string | Buffer> | Readable
  readonly cwd?: string
  readonly signal?: AbortSignal
}

export interface RunningCli {
  readonly result: Promise<CliResult>
  /** What it has printed so far. */
  stdout(): string
  stderr(): string
  /** The first signal. */
  stop(): void
}

/** Starts a command in this process, with the real commands and injected streams. */
export function startCli(argv: readonly string[], options: CliOptions = {}): RunningCli {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const printed = { stdout: '', stderr: '' }
  stdout.on('data', (chunk: Buffer) => (printed.stdout += chunk.toString()))
  stderr.on('data', (chunk: Buffer) => (printed.stderr += chunk.toString()))
  const abort = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal
  const { stdin = [], cwd = '/', env = {} } = options
  const io: CliIo = {
    stdout,
    stderr,
    stdin: stdin instanceof Readable ? stdin : Readable.from(stdin),
    env,
    cwd,
    signal,
    urgent: new AbortController().signal,
  }
  const result = (async () => {
    const [out, err] = [text(stdout), text(stderr)]
    const code = await runCli(argv, io, commands)
    stdout.end()
    stderr.end()
    return { code, stdout: await out, stderr: await err }
  })()
  return { result, stdout: () => printed.stdout, stderr: () => printed.stderr, stop: () => abort.abort() }
}

export function cli(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(argv, options).result
}

/** A directory with this configuration in it, gone at the end of the file. */
export async function configDirectory(config: object): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'waybill-cli-'))
  onFileEnd(() => rm(directory, { recursive: true, force: true }))
  await writeFile(join(directory, 'waybill.config.json'), JSON.stringify(config))
  return directory
}

/** The error that `--json` printed. */
export function errorOf(result: CliResult): {
  readonly code: string | null
  readonly message: string
  readonly problems?: readonly { readonly path: string; readonly message: string }[]
} {
  const line = result.stderr.trim().split('\n').at(-1) ?? ''
  return (JSON.parse(line) as { error: { code: string; message: string } }).error
}
