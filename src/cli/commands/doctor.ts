import type { Finding, Level } from '../../app/doctor/index.js'
import { defineCommand, type ExitCode, option } from '../command.js'
import { printable } from '../output.js'

/** `waybill doctor`: what is known to go wrong, and whether it does. */
export const register = defineCommand({
  name: 'doctor',
  summary: 'Look for what is known to go wrong, and say what to do',
  description: [
    'Changes nothing. Exits with 1 when something is an error; warnings are no errors. Without a schema only the server',
    'is looked at. Reads the configuration for retention and the URLs.',
  ].join('\n'),
  options: {
    diskBytes: option.number({
      summary: "size of the database's disk, to project when it is full",
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      value: 'bytes',
    }),
  },
  async run({ loadConfig, pool, out }, _args, { diskBytes }): Promise<ExitCode> {
    const { runDoctor } = await import('../../app/doctor/index.js')
    const findings = await runDoctor({ pool: await pool(), config: await loadConfig(), diskBytes })
    out.value(findings, findings.map(textOf).join('\n'))
    return findings.some(({ level }) => level === 'error') ? 1 : 0
  },
})

const marks: Record<Level, string> = { ok: 'ok   ', warn: 'warn ', error: 'ERROR' }

function textOf({ check, level, what, why, remedy }: Finding): string {
  const lines = [`${marks[level]} ${check}: ${printable(what)}`]
  if (why !== null) lines.push(`        why: ${printable(why)}`)
  if (remedy !== null) lines.push(`         do: ${printable(remedy)}`)
  return lines.join('\n')
}
