/** `npm run demo`, once everything is installed and built. */
import { readOptions, usage } from './options.js'
import { runDemo } from './run.js'
import { paintFor } from './text.js'
import { View } from './view.js'

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)))
}

const paint = paintFor(process.stdout, process.env)
const view = new View(process.stdout, paint)

try {
  const options = readOptions(process.argv.slice(2), process.env)
  if (options === 'help') console.log(usage)
  else if (!(await runDemo(options, view, paint, stop))) process.exitCode = 1
} catch (error) {
  view.clear()
  console.error(`\n${paint.red('✗')} ${error instanceof Error ? error.message : String(error)}`)
  if (process.env['WAYBILL_DEBUG']) console.error(error)
  process.exitCode = 1
}
