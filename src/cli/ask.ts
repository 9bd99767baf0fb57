import { createInterface } from 'node:readline/promises'
import type { CliIo } from './command.js'

/** Whether somebody sits there who can be asked. */
export function isTerminal({ stdin, stdout }: CliIo): boolean {
  return [stdin, stdout].every((stream) => (stream as { readonly isTTY?: boolean }).isTTY === true)
}

/** What was typed, trimmed; empty when the terminal was closed or the program is to stop. Asks on standard error. */
export async function ask(io: CliIo, question: string): Promise<string> {
  const terminal = createInterface({ input: io.stdin, output: io.stderr })
  const ended = new AbortController()
  const end = (): void => ended.abort()
  terminal.once('close', end)
  io.signal.addEventListener('abort', end, { once: true })
  try {
    return (await terminal.question(question, { signal: ended.signal })).trim()
  } catch (error) {
    if (!ended.signal.aborted) throw error
    io.stderr.write('\n')
    return ''
  } finally {
    io.signal.removeEventListener('abort', end)
    terminal.close()
  }
}
