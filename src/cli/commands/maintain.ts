import { defineCommand, type ExitCode } from '../command.js'
import { formatDuration, toJson } from '../output.js'

/** `waybill maintain`: one pass of what dispatchers do every few minutes. */
export const register = defineCommand({
  name: 'maintain',
  summary: 'Make partitions, drop what is past retention, clear what has expired: one pass',
  description: [
    'Dispatchers do this by themselves unless dispatcher.maintenance is false; then run it from cron, as the owner of the',
    'tables. Publishers and readers never wait for it. Exits with 1 when a task failed. Where another process is at it,',
    'nothing is done, and that is no failure.',
  ].join('\n'),
  async run({ loadSettings, schema, out, io }): Promise<ExitCode> {
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
