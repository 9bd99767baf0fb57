import { type Bench, type Run } from './types.js'

export type Results = ReadonlyMap<string, readonly Run[]>

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export interface Comparison {
  readonly text: string
  readonly ratio: number
  /** The same by CPU time of program and database together: what other programs take of the cores is not in it. */
  readonly ratioByCpu?: number
  readonly goal: number
  readonly ok: boolean
}

/** What of the bench's goals can be judged with the sides that ran. */
export function compare(bench: Bench, results: Results): Comparison[] {
  const medianOf = (side: string): number => median((results.get(side) ?? []).map((run) => run.value))
  const cpuOf = (side: string): number =>
    median((results.get(side) ?? []).map((run) => (run.cpuMicros ?? NaN) + (run.databaseCpuMicros ?? NaN)))
  const goals = (bench.goals ?? [])
    .filter(({ side, than }) => results.has(side) && results.has(than))
    .map(({ side, than, least }) => {
      const ratio = medianOf(side) / medianOf(than)
      const ratioByCpu = cpuOf(than) / cpuOf(side)
      return {
        text: `${side} / ${than}`,
        ratio,
        ...(Number.isFinite(ratioByCpu) && { ratioByCpu }),
        goal: least,
        ok: ratio >= least,
      }
    })
  const limits = (bench.limits ?? [])
    .filter(({ side }) => results.has(side))
    .map(({ side, most }) => {
      const ratio = medianOf(side)
      return { text: `${side}, ${bench.unit}, at most`, ratio, goal: most, ok: ratio <= most }
    })
  const costs = (bench.costs ?? [])
    .filter(({ side, than }) => results.has(side) && results.has(than))
    .map(({ side, than, of, most }) => {
      const cost = (name: string): number =>
        median(
          (results.get(name) ?? []).map((run) => (of === 'program' ? run.cpuMicros : run.databaseCpuMicros) ?? NaN),
        )
      const ratio = cost(side) / cost(than)
      return { text: `${side} / ${than}, CPU of the ${of}, at most`, ratio, goal: most, ok: ratio <= most }
    })
  return [...goals, ...limits, ...costs]
}

export function printTable(bench: Bench, results: Results): void {
  const rows = [...results].map(([side, runs]) => {
    const values = runs.map((run) => run.value)
    const column = (pick: (run: Run) => number | undefined): string => {
      const found = runs.map(pick).filter((value) => value !== undefined)
      return found.length === 0 ? '' : figure(median(found))
    }
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.more ?? {})))]
    const more = names.map((name) => `${name} ${column((run) => run.more?.[name])}`).join(', ')
    return [
      side,
      figure(median(values)),
      figure(Math.min(...values)),
      figure(Math.max(...values)),
      column((run) => run.cpuMicros),
      column((run) => run.databaseCpuMicros),
      column((run) => run.maxRssMiB),
      more,
    ]
  })
  const head = ['side', `median ${bench.unit}`, 'least', 'most', 'CPU µs/message', 'of its database', 'MiB', '']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, i) =>
      i === 0 || i === head.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
    )
    console.log(cells.join('  ').trimEnd())
  }
}

export function printComparisons(comparisons: readonly Comparison[]): void {
  for (const { text, ratio, ratioByCpu, goal, ok } of comparisons) {
    const cpu = ratioByCpu === undefined ? '' : `; by CPU time, program and database: ${figure(ratioByCpu)}`
    console.log(`${ok ? 'reached' : 'NOT reached'}: ${text}: ${figure(ratio)} (goal ${goal})${cpu}`)
  }
}

/** One line for machines. `ratio` and `goal` are of the comparison that is furthest from its goal. */
export function jsonLine(bench: Bench, results: Results, comparisons: readonly Comparison[]): string {
  const tightest = comparisons.find(({ ok }) => !ok) ?? comparisons[0]
  return JSON.stringify({
    bench: bench.name,
    unit: bench.unit,
    results: [...results].map(([side, runs]) => ({
      side,
      runs: runs.map((run) => rounded(run.value)),
      cpuMicros: known(runs, (run) => run.cpuMicros),
      databaseCpuMicros: known(runs, (run) => run.databaseCpuMicros),
    })),
    ratio: tightest === undefined ? null : rounded(tightest.ratio),
    goal: tightest?.goal ?? null,
    ok: comparisons.length > 0 && comparisons.every(({ ok }) => ok),
    comparisons: comparisons.map((c) => ({
      ...c,
      ratio: rounded(c.ratio),
      ...(c.ratioByCpu !== undefined && { ratioByCpu: rounded(c.ratioByCpu) }),
    })),
  })
}

function known(runs: readonly Run[], pick: (run: Run) => number | undefined): number[] {
  return runs.map(pick).flatMap((value) => (value === undefined ? [] : [rounded(value)]))
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}

export function figure(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-GB')
  return String(Number(value.toPrecision(3)))
}
