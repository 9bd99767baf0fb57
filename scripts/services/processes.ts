import { spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Identity {
  readonly uid: number
  readonly gid: number
}

export interface RunOptions {
  readonly as?: Identity | undefined
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a command to its end and returns what it printed; its output is in the error when it fails. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options.as,
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const code = await new Promise<number | string>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`cannot run ${command}: ${error.message}`, { cause: error })))
    child.once('close', (status, signal) => resolve(status ?? signal ?? 'unknown'))
  })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${output.trim().slice(-3000)}`)
  return output
}

/** Starts a process that outlives this one, in a process group of its own, writing to a log file. */
export function spawnDaemon(
  command: string,
  args: readonly string[],
  options: RunOptions & { readonly logFile: string },
): number {
  const log = openSync(options.logFile, 'a')
  try {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      detached: true,
      stdio: ['ignore', log, log],
      ...options.as,
    })
    child.on('error', () => undefined)
    child.unref()
    if (child.pid === undefined) throw new Error(`cannot start ${command}: is it installed and executable?`)
    return child.pid
  } finally {
    closeSync(log)
  }
}

/** The start time of a live process as an opaque text, or undefined when there is no such process. */
export function processStarted(pid: number): string | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  if (process.platform !== 'linux') {
    const ps = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' })
    return ps.stdout.trim() || undefined
  }
  try {
    // The command name, in brackets, may hold anything: count the fields behind its end.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')
    // A zombie answers signals but is over.
    return fields?.[0] === 'Z' ? undefined : fields?.[19]
  } catch {
    return undefined
  }
}

/** Sends the signal, waits, and kills what is left of the process group. */
export async function stopProcess(pid: number, started: string, signal: NodeJS.Signals): Promise<void> {
  if (processStarted(pid) !== started) return
  send(pid, signal)
  const deadline = Date.now() + 20_000
  while (processStarted(pid) === started) {
    if (Date.now() > deadline) {
      send(-pid, 'SIGKILL')
      send(pid, 'SIGKILL')
      await sleep(200)
      return
    }
    await sleep(50)
  }
  send(-pid, 'SIGKILL')
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // already gone
  }
}
