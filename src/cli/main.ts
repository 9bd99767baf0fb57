#!/usr/bin/env node
import { getEventListeners } from 'node:events'
import { codeOf } from '../core/errors.js'
import { type CliIo, runCli } from './command.js'
import { commands } from './commands/index.js'

/** The bin: binds the frame to this process. */

const stop = new AbortController()
const urgent = new AbortController()
let interrupted: number | undefined
// The first one stops in order, the second without waiting, the third ends the process; so does the second where the
// command has nothing to put in order. Said here, for the first process of a container has no default.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    if (!stop.signal.aborted) return stop.abort()
    if (urgent.signal.aborted || getEventListeners(urgent.signal, 'abort').length === 0) process.exit(code)
    interrupted = code
    urgent.abort()
  })
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
  urgent: urgent.signal,
}
const code = await runCli(process.argv.slice(2), io, commands)
process.exitCode = interrupted ?? code
