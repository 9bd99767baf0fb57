import { type CommandContext, defineCommand, type ExitCode, option } from '../command.js'
import { formatDuration, toJson } from '../output.js'

/** `waybill maintain`: one pass of what dispatchers do every few minutes. */
export const register = defineCommand({
  name: 'maintain',
  summary: 'Make partitions, drop what is past retention, clear what has expired: one pass',
  description: [
    'Dispatchers do this by themselves unless dispatcher.maintenance is false; then run it from cron, as the owner of the',
    'tables. Publishers and readers never wait for it. Exits with 1 when a task failed. Where another process is at it,',
    'nothing is done, and that is no failure. --only inbox is for the database of a consumer: a new generation where one is',
    'due, and those past the retention that waybill.inbox_settings says go; hourly is often enough.',
  ].join('\n'),
  options: { only: option.choice(['inbox'], { summary: 'this subject alone', value: 'subject' }) },
  async run(ctx, _args, { only }): Promise<ExitCode> {
    if (only === 'inbox') return inboxAlone(ctx)
    const { loadSettings, schema, out, io } = ctx
    const { retention: retentionMs, maxHold: maxHoldMs } = await loadSettings(['retention', 'maxHold'])
    const { runMaintenance } = await import('../../app/maintenance.js')
    const pool = await schema()
    const report = await runMaintenance(
      pool,
      { retentionMs, ...(maxHoldMs !== undefined && { maxHoldMs }) },
      { signal: io.signal },
    )
    if (!report.ran) {
      out.value(report, 'another process is at it: nothing was done')
      return 0
    }
    if (out.json) out.value(report, '')
    else {
      out.table(report.tasks, [
        { title: 'task', value: (row) => row.task },
        { title: 'took', value: (row) => formatDuration(row.ms), align: 'right' },
        { title: 'result', value: (row) => (row.error ? `failed: ${row.error.message}` : toJson(row.result)) },
      ])
    }
    return report.tasks.some((task) => task.error !== null) || io.signal.aborted ? 1 : 0
  },
})

async function inboxAlone({ pool, out, io }: CommandContext): Promise<ExitCode> {
  const { runInboxMaintenance } = await import('../../app/maintenance.js')
  const report = await runInboxMaintenance(await pool(), io.signal)
  const list = (names: readonly string[]): string => names.join(', ') || 'nothing'
  const text = `generation ${report.generation}${report.changing ? ', going over to the next' : ''}; made ${list(report.made)}; dropped ${list(report.dropped)}; past retention and in use: ${list(report.kept)}`
  out.value(report, report.ran ? text : 'another process is at it: nothing was done')
  return io.signal.aborted ? 1 : 0
}
