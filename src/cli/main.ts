#!/usr/bin/env node
import { codeOf } from '../core/errors.js'
import { type CliIo, type Register, runCli } from './command.js'
import { register as config } from './commands/config.js'

/** The bin: binds the frame to this process. Commands in the order of the help. */
const commands: readonly Register[] = [config]

const stop = new AbortController()
// once each: a second signal ends the process the ordinary way
process.once('SIGINT', () => stop.abort())
process.once('SIGTERM', () => stop.abort())
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
