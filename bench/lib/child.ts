import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { type Measured } from './side.js'

export interface ChildOptions {
  readonly node: string
  /** Where `buildSides` put them. */
  readonly build: string
  /** File below `bench/sides`, without `.ts`. */
  readonly side: string
  readonly input: unknown
  /** Directory for a CPU profile. */
  readonly profile?: string | undefined
}

export interface SideProcess {
  readonly pid: number
  /** Starts the measured stretch; resolves when it is over and the process has ended. */
  measure(): Promise<Measured>
  kill(): Promise<void>
}

/** Starts a side in a process of its own; resolves when it is prepared. */
export async function startSide({ node, build, side, input, profile }: ChildOptions): Promise<SideProcess> {
  const script = join(build, 'bench', 'sides', `${side}.js`)
  const child = spawn(node, ['--no-warnings', '--expose-gc', script], {
    env: { ...process.env, NODE_OPTIONS: undefined, BENCH_INPUT: JSON.stringify(input), BENCH_PROFILE: profile },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  const ended = once(child, 'close')
  const messages: { ready?: true; measured?: Measured }[] = []
  let wake: () => void = () => undefined
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (/^\{"(ready|measured)"/.test(line)) messages.push(JSON.parse(line) as { ready?: true; measured?: Measured })
    else output += `${line}\n`
    wake()
  })
  child.stderr.on('data', (chunk: Buffer) => (output = `${output}${chunk.toString()}`.slice(-8000)))
  child.stdin.on('error', () => undefined)
  let over = false
  void ended.then(() => {
    over = true
    wake()
  })
  const next = async (): Promise<{ ready?: true; measured?: Measured }> => {
    for (;;) {
      const message = messages.shift()
      if (message) return message
      if (over) throw new Error(`the side ${side} ended (${child.exitCode ?? child.signalCode}):\n${output}`)
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  await next()
  return {
    pid: child.pid as number,
    async measure() {
      child.stdin.write('go\n')
      const { measured } = await next()
      if (!measured) throw new Error(`the side ${side} said nothing`)
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20_000).unref())])
      child.kill('SIGKILL')
      return measured
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** A whole round of a side in one call. */
export async function runSide(options: ChildOptions): Promise<Measured> {
  const side = await startSide(options)
  return side.measure()
}
