import { outOfOrder, sum } from '../report.js'
import type { Strike } from './strikes.js'
import { type SoakResult, baseline, recoveryMs } from './verdict.js'

const size = (bytes: number): string =>
  bytes < 2 ** 20 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`
const number = (n: number): string => n.toLocaleString('en-US')
const percent = (share: number): string => `${Math.round(100 * share)} %`
const seconds = (ms: number): string => (ms / 1000).toFixed(1)

/** What the run was, what it counted, and what grew; in Markdown. */
export function soakTable(result: SoakResult): string {
  return [summary(result), growth(result), recoveries(result)].join('\n\n')
}

function summary(r: SoakResult): string {
  const { strikes, machine, stolenAtRate } = r
  const atRate = stolenAtRate === null ? '' : ` (${percent(stolenAtRate)} while the rate was looked for)`
  const found = r.highestRate === null ? '' : ` (the lag stays flat up to ${number(r.highestRate)})`
  return markdown(
    ['soak', 'figure'],
    [
      ['time', `${(r.ranMs / 60_000).toFixed(1)} min of ${r.minutes}${r.interrupted ? ', interrupted' : ''}`],
      ['transactions begun, a second', `${number(r.rate)}${found}`],
      [
        'machine',
        machine
          ? `${machine.cores} cores, ${percent(machine.stolen)} stolen${atRate}, ${percent(machine.idle)} idle`
          : '–',
      ],
      [
        'faults',
        `${strikes.length} of ${Math.max(0, Math.ceil(Math.min(r.ranMs, r.minutes * 60_000) / r.everyMs) - 1)} due`,
      ],
      ['committed', number(r.committed)],
      ['delivered to webhook / RabbitMQ / Kafka / jobs', r.destinations.map((d) => number(d.delivered)).join(' / ')],
      ['lost, phantoms, out of order', `${sum(r, 'lost')}, ${sum(r, 'phantoms')}, ${outOfOrder(r)}`],
      ['duplicates (allowed)', `${number(sum(r, 'duplicates'))} (${number(r.duplicatesAllowed)})`],
      ['stopped within, s', seconds(r.stoppedMs)],
      ['verdict', r.complaints.length === 0 ? 'passed' : `failed: ${r.complaints.map(firstLine).join('; ')}`],
    ],
  )
}

function growth(result: SoakResult): string {
  const first = baseline(result.samples)
  const last = result.samples.at(-1)
  if (!first || !last) return 'It ended before anything could be compared.'
  const minute = (atMs: number): string => `minute ${(atMs / 60_000).toFixed(1)}`
  const rows = last.processes.flatMap((process, i) => {
    const before = first.processes[i]
    return [
      ['heap of the spared dispatcher', size(before?.heapUsed ?? 0), size(process.heapUsed)],
      ['its rss', size(before?.rss ?? 0), size(process.rss)],
      ['its external memory', size(before?.external ?? 0), size(process.external)],
      ['its file descriptors', String(before?.descriptors), String(process.descriptors)],
    ]
  })
  const tables = last.tables.map(({ name, rows, bytes }) => {
    const before = first.tables.find((table) => table.name === name)
    return [`\`${name}\``, `${before?.rows ?? 0} rows, ${size(before?.bytes ?? 0)}`, `${rows} rows, ${size(bytes)}`]
  })
  return markdown(
    ['what could grow', minute(first.atMs), minute(last.atMs)],
    [...rows, ['sessions', String(first.sessions), String(last.sessions)], ...tables],
  )
}

/** Of each fault the strike after which recovery came closest to what is allowed, or went furthest beyond it. */
function recoveries(result: SoakResult): string {
  const { strikes } = result
  const names = [...new Set(strikes.map(({ fault }) => fault))].sort()
  const rows = names.map((name) => {
    const own = strikes.filter(({ fault }) => fault === name)
    const left = (strike: Strike): number => recoveryMs(strike, result) - strike.recoveredMs
    const worst = own.reduce((least, each) => (left(each) < left(least) ? each : least))
    return [
      name,
      String(own.length),
      ...[worst.lastedMs, worst.recoveredMs, recoveryMs(worst, result)].map((ms) => seconds(ms)),
      percent(worst.stolen),
    ]
  })
  return markdown(['fault', 'strikes', 'lasted, s', 'recovered within, s', 'allowed, s', 'stolen'], rows)
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const marks = head.map((_, i) => (i === 0 ? '---' : '---:'))
  return [head, marks, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const firstLine = (text: string): string => text.split('\n')[0] ?? ''
