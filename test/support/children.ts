import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { onFileEnd } from './cleanup.js'
import { patienceMs, waitFor } from './wait-for.js'

export interface ChildExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface TestChild<Message> {
  readonly pid: number
  /** Every line of its standard output that was JSON, in order. */
  messages(): readonly Message[]
  /** Everything else that it printed, for the error message. */
  output(): string
  /** The first message, of those past and to come, that fits. */
  waitForMessage(fits: (message: Message) => boolean, timeoutMs?: number): Promise<Message>
  /** Writes one JSON line to its standard input. */
  send(message: unknown): void
  /** SIGKILL, SIGSTOP, SIGCONT, SIGTERM; does not wait. */
  signal(signal: NodeJS.Signals): void
  /** Sends the signal and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<ChildExit>
  readonly exited: Promise<ChildExit>
}

export interface ChildOptions {
  readonly args?: readonly string[]
  /** Of Node.js itself, such as `--expose-gc`. */
  readonly nodeFlags?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

// Resolved from here: the child may run in any directory.
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

/**
 * Runs a script (TypeScript too) as a process of its own, to be killed or frozen by a test. It talks in lines of
 * JSON on its standard output. Whatever the test does, the process is gone when the file ends.
 */
export function spawnChild<Message = unknown>(script: string, options: ChildOptions = {}): TestChild<Message> {
  const loader = script.endsWith('.ts') ? ['--import', tsx] : []
  const flags = ['--enable-source-maps', ...(options.nodeFlags ?? []), ...loader]
  const child = spawn(process.execPath, [...flags, script, ...(options.args ?? [])], {
    cwd: options.cwd,
    // Vitest's own variables would make the child believe that it is a test.
    env: { ...process.env, VITEST: undefined, NODE_OPTIONS: undefined, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const { pid } = child
  if (pid === undefined) throw new Error(`cannot start ${script}`)
  const exited = ended(child)
  onFileEnd(async () => {
    // SIGKILL ends a stopped process too.
    child.kill('SIGKILL')
    await exited
  })

  const messages: Message[] = []
  let output = ''
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = parseLine(line)
    if (message === undefined) output += `${line}\n`
    else messages.push(message as Message)
  })
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stdin.on('error', () => undefined)

  return {
    pid,
    exited,
    messages: () => messages,
    output: () => output,
    async waitForMessage(fits, timeoutMs = patienceMs) {
      try {
        return await waitFor(() => found(messages, fits) ?? failWhenEnded(child), { timeoutMs, what: 'the message' })
      } catch (error) {
        throw new Error(`${script}: ${String(error)}\nit printed:\n${output}`, { cause: error })
      }
    },
    send(message) {
      child.stdin.write(`${JSON.stringify(message)}\n`)
    },
    signal(signal) {
      child.kill(signal)
    },
    async kill(signal = 'SIGKILL') {
      child.kill(signal)
      return exited
    },
  }
}

async function ended(child: ChildProcess): Promise<ChildExit> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal }
}

function found<Message>(messages: readonly Message[], fits: (message: Message) => boolean): Message | undefined {
  return messages.find((message) => fits(message))
}

function failWhenEnded(child: ChildProcess): undefined {
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`ended with ${child.exitCode ?? child.signalCode} before the message came`)
  }
  return undefined
}

function parseLine(line: string): unknown {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
