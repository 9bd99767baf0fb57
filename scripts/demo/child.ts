import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ChildOptions {
  readonly name: string
  /** Arguments of node. */
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** Where its log goes. */
  readonly directory: string
  /** It ended, and nobody had asked for it. */
  readonly onUnexpectedEnd: (text: string) => void
}

/** A process of the demo, to be killed and started again. */
export class Child {
  readonly #options: ChildOptions
  readonly #logFile: string
  #process: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()

  constructor(options: ChildOptions) {
    this.#options = options
    this.#logFile = join(options.directory, `${options.name}.log`)
  }

  get name(): string {
    return this.#options.name
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  start(): void {
    const { name, args, env, onUnexpectedEnd } = this.#options
    const log = openSync(this.#logFile, 'a')
    // A group of its own: Ctrl-C reaches the demo, which then stops its processes in order.
    const child = spawn(process.execPath, [...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
      detached: true,
    })
    closeSync(log)
    this.#process = child
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => onUnexpectedEnd(`${name} did not start: ${error.message}`))
      child.once('close', (code, signal) => {
        if (this.#process === child) {
          this.#process = undefined
          onUnexpectedEnd(`${name} ended with ${code ?? signal}:\n${this.tail()}`)
        }
        resolve()
      })
    })
  }

  /** SIGKILL: it can put nothing in order. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM, and SIGKILL when that takes more than 10 s. */
  async stop(): Promise<void> {
    const child = this.#process
    const timer = setTimeout(() => child?.kill('SIGKILL'), 10_000)
    await this.#end('SIGTERM')
    clearTimeout(timer)
  }

  /** The end of its log. */
  tail(): string {
    return readFileSync(this.#logFile, 'utf8').trim().split('\n').slice(-15).join('\n')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    this.#process = undefined
    child?.kill(signal)
    await this.#ended
  }
}
