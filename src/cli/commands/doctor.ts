import type { Finding, Level } from '../../app/doctor/index.js'
import { InputError, type Problem } from '../../core/errors.js'
import { type CommandContext, defineCommand, type ExitCode, option } from '../command.js'
import { printable } from '../output.js'

/** `waybill doctor`: what is known to go wrong, and whether it does. */
export const register = defineCommand({
  name: 'doctor',
  summary: 'Look for what is known to go wrong, and say what to do',
  description: [
    'Changes nothing. Exits with 1 when something is an error; warnings are no errors. Without a schema only the server',
    'is looked at. What is wrong with the configuration elsewhere than in "database", "dispatcher" and "retention" is a warning.',
    '--only inbox is for the database of a consumer: its schema, its upkeep and its server.',
  ].join('\n'),
  options: {
    only: option.choice(['inbox'], { summary: 'this subject alone', value: 'subject' }),
    diskBytes: option.number({
      summary: "size of the database's disk, to project when it is full",
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      value: 'bytes',
    }),
  },
  async run({ loadConfig, loadSettings, pool, out }, _args, { only, diskBytes }): Promise<ExitCode> {
    const { runDoctor } = await import('../../app/doctor/index.js')
    const config = await loadSettings(['database', 'dispatcher', 'retention'])
    const problems = only === undefined ? await problemsOf(loadConfig) : []
    const findings = await runDoctor({ pool: await pool(), config, problems, diskBytes, only })
    out.value(findings, findings.map(textOf).join('\n'))
    return findings.some(({ level }) => level === 'error') ? 1 : 0
  },
})

/** What is wrong in what doctor itself does not need, such as destinations. */
async function problemsOf(loadConfig: CommandContext['loadConfig']): Promise<readonly Problem[]> {
  try {
    await loadConfig()
    return []
  } catch (error) {
    if (error instanceof InputError) return error.problems
    throw error
  }
}

const marks: Record<Level, string> = { ok: 'ok   ', warn: 'warn ', error: 'ERROR' }

function textOf({ check, level, what, why, remedy }: Finding): string {
  const lines = [`${marks[level]} ${check}: ${printable(what)}`]
  if (why !== null) lines.push(`        why: ${printable(why)}`)
  if (remedy !== null) lines.push(`         do: ${printable(remedy)}`)
  return lines.join('\n')
}
