#!/usr/bin/env node
import { codeOf } from '../core/errors.js'
import { type CliIo, runCli } from './command.js'
import { commands } from './commands/index.js'

/** The bin: binds the frame to this process. */

const stop = new AbortController()
// The first one stops in order, a second one at once. Said here, for the first process of a container has no default.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => (stop.signal.aborted ? process.exit(code) : stop.abort()))
}
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    // `waybill … | head`: whoever read has what it wanted
    if (codeOf(error) !== 'EPIPE') throw error
    stop.abort()
  })
}

const io: CliIo = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  env: process.env,
  cwd: process.cwd(),
  signal: stop.signal,
}
process.exitCode = await runCli(process.argv.slice(2), io, commands)
