#!/usr/bin/env node
import { getEventListeners } from 'node:events'
import { writeSync } from 'node:fs'
import { codeOf, messageOf } from '../core/errors.js'
import { type CliIo, runCli } from './command.js'
import { commands } from './commands/index.js'

/** The bin: binds the frame to this process. */

/** Done, but the result could not be written: not 1, after which people run it again. */
const unwritableCode = 3

const stop = new AbortController()
const urgent = new AbortController()
let interrupted: number | undefined
let ended = false
let unwritable = false
// The first one stops in order, the second without waiting, the third ends the process; so does the second where the
// command has nothing to put in order. Said here, for the first process of a container has no default.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    if (!stop.signal.aborted) return stop.abort()
    if (urgent.signal.aborted || getEventListeners(urgent.signal, 'abort').length === 0) {
      ended = true
      process.exit(code)
    }
    interrupted = code
    urgent.abort()
  })
}
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    // `waybill … | head`: whoever read has what it wanted. A disk that is full is another matter: what was done is done.
    if (codeOf(error) !== 'EPIPE' && !unwritable) {
      unwritable = true
      say(
        `the result could not be written (${codeOf(error) ?? messageOf(error)}); what the command did stays done: run it again only if it changes nothing`,
      )
    }
    stop.abort()
  })
}

/** Straight to the descriptor: the process may be at its end, and its streams broken. */
function say(text: string): void {
  try {
    writeSync(2, `waybill: ${text}\n`)
  } catch {
    // nobody reads
  }
}

// Code of users' (a configuration file) runs in this process. Node ends it without a word where that never settles, and
// where that calls process.exit.
process.on('beforeExit', () => {
  if (ended) return
  ended = true
  say('the configuration file never came to its end: something that it awaits at its top level does not settle')
  process.exit(1)
})
process.on('exit', (code) => {
  if (ended) return
  say(
    `the process was ended by code that it loaded (process.exit(${code}) in the configuration file?) before the command was done`,
  )
  process.exitCode = 1
})

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
ended = true
process.exitCode = interrupted ?? (unwritable ? unwritableCode : code)
// What a configuration file left running (a timer, a connection) keeps the process alive for ever; it is waited for no
// longer than it takes to hand over what was printed.
const lookMs = 200
setInterval(() => {
  if (process.stdout.writableLength === 0 && process.stderr.writableLength === 0) process.exit()
}, lookMs).unref()
