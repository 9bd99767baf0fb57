import type { Destination } from './cast.js'
import { count, type Paint, plural, seconds, table } from './text.js'
import { type Committed, isKept, judge, type Verdict } from './verdict.js'

export interface Judged {
  readonly destination: Destination
  readonly verdict: Verdict
}

/** Asks every receiver what it got. */
export async function ask(destinations: readonly Destination[], committed: readonly Committed[]): Promise<Judged[]> {
  return Promise.all(
    destinations.map(async (destination) => {
      const expected = committed.filter(({ topic }) => destination.wants(topic))
      const verdict = judge(expected, await destination.arrivals(), destination)
      return { destination, verdict }
    }),
  )
}

/** What else has to be so, as sentences about what is not. */
export type Complaints = readonly string[]

export function report(
  judged: readonly Judged[],
  complaints: Complaints,
  troubles: readonly string[],
  ms: number,
  paint: Paint,
): string[] {
  const titles = ['published', 'delivered', 'lost', 'phantoms', 'duplicates', 'out of order']
  const columns = [
    { title: 'destination' },
    { title: '' },
    ...titles.map((title) => ({ title, align: 'right' as const })),
  ]
  const rows = judged.map(({ destination: { name, kind }, verdict: v }) => [
    name,
    kind,
    ...[v.published, v.delivered, v.lost, v.phantoms, v.duplicates].map(count),
    v.outOfOrder === undefined ? '–' : count(v.outOfOrder),
  ])
  const lines = table(columns, rows, (cell, row, column) => {
    if (row < 0 || column === 1) return paint.dim(cell)
    if (column === 0) return paint.bold(cell)
    const bad = [4, 5, 7].includes(column) && !['0', '–'].includes(cell.trim())
    return bad ? paint.red(cell) : cell
  })
  const duplicates = judged.reduce((sum, { verdict }) => sum + verdict.duplicates, 0)
  return [
    '',
    ...lines,
    '',
    `  In ${seconds(ms)}. What was done to it:`,
    ...troubles.map((trouble) => `  · ${trouble}`),
    '',
    ...complaints.map((complaint) => paint.red(`  ✗ ${complaint}`)),
    allKept(judged, complaints)
      ? paint.green(
          `  ✓ Each committed message arrived at least once, in order for its key; ${plural(duplicates, 'duplicate')}.`,
        )
      : paint.red('  ✗ The promise was not kept.'),
    '',
  ]
}

export function allKept(judged: readonly Judged[], complaints: Complaints): boolean {
  return judged.every(({ verdict }) => isKept(verdict)) && complaints.length === 0
}
