import { readFile, writeFile } from 'node:fs/promises'
import type { ProofResult } from './run.js'
import type { Tally } from './tally.js'

export const sum = (result: Tally, what: 'lost' | 'phantoms' | 'duplicates' | 'takenBack'): number =>
  result.destinations.reduce((total, each) => total + each[what], 0)

export const outOfOrder = (result: Tally): number =>
  result.destinations.reduce((total, each) => total + (each.outOfOrder ?? 0), 0)

/** The table of counts, in Markdown. */
export function table(results: readonly ProofResult[]): string {
  const rows = results.map((r) =>
    [
      r.title,
      r.strikes,
      r.committed,
      r.destinations.map((each) => each.delivered).join(' / '),
      sum(r, 'lost'),
      sum(r, 'phantoms'),
      `${sum(r, 'duplicates')} (${r.duplicatesAllowed})`,
      outOfOrder(r),
      sum(r, 'takenBack'),
      (r.recoveredMs / 1000).toFixed(1),
    ].join(' | '),
  )
  return [
    'fault | strikes | committed | delivered to webhook / RabbitMQ / Kafka / jobs | lost | phantoms | duplicates (allowed) | out of order | taken back | recovered, s',
    '---|---:|---:|---:|---:|---:|---:|---:|---:|---:',
    ...rows,
  ]
    .map((row) => `| ${row} |`)
    .join('\n')
}

/** Puts it between the marks of a document: `<!-- name -->` and `<!-- /name -->`. */
export async function writeInto(file: string, name: string, markdown: string): Promise<void> {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const text = await readFile(file, 'utf8')
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new Error(`${file} has no ${begin} … ${end}`)
  await writeFile(file, `${before}${begin}\n\n${markdown}\n\n${end}${after}`)
}
