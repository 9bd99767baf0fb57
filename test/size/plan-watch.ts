import pg from 'pg'
import { uncompiledSql } from '../../src/db/transaction.js'

/** A node of a plan as EXPLAIN (FORMAT JSON) has it, as far as it is looked at here. */
export interface PlanNode {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
  readonly 'Actual Rows'?: number
  readonly 'Actual Loops'?: number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Index Recheck'?: number
  readonly 'Shared Hit Blocks'?: number
  readonly 'Shared Read Blocks'?: number
  readonly Plans?: readonly PlanNode[]
}

export interface WatchedPlan {
  readonly text: string
  readonly root: PlanNode
  /** Whether it would be compiled where its cost is high enough. */
  readonly jit: boolean
}

/** What one statement may cost. */
export interface PlanBounds {
  /** Rows that one scan of a range of the log may read at once. Default 1,001. */
  readonly rowsOfScan?: number
  /** 8 kB blocks. Default 3,000. */
  readonly blocks?: number
  /** Scans of ranges that the planner has to plan: about 40 µs each. Default 130: two looks at a log of 61 ranges. */
  readonly scans?: number
  /** Scans of ranges that do run. Default 12. */
  readonly ranges?: number
  /** It reads all of a range: by a sequential scan, if it likes. */
  readonly wholeRange?: boolean
  /** It is asked where nothing is compiled, nor run by parallel workers: `uncompiledSql`. */
  readonly uncompiled?: boolean
  /** What its transaction sets before. */
  readonly before?: string
}

const log = /^messages(_|$)/

/** What is wrong with a plan, in words; empty when nothing is. */
export function faultsOf({ root, jit }: WatchedPlan, jitAboveCost: number, bounds: PlanBounds = {}): string[] {
  const { rowsOfScan = 1001, blocks = 3000, scans = 130, ranges = 12, wholeRange = false } = bounds
  const faults: string[] = []
  const nodes = [...walk(root)]
  if (jit && root['Total Cost'] > jitAboveCost) faults.push(`compiled: costs ${root['Total Cost']}`)
  if (nodes.some((node) => node['Node Type'].startsWith('Gather'))) faults.push('runs in parallel')
  const touched = (root['Shared Hit Blocks'] ?? 0) + (root['Shared Read Blocks'] ?? 0)
  if (touched > blocks) faults.push(`touches ${touched} blocks`)
  const ofLog = nodes.filter((node) => log.test(node['Relation Name'] ?? ''))
  if (ofLog.length > scans) faults.push(`plans ${ofLog.length} scans of ranges of the log`)
  const run = ofLog.filter((node) => (node['Actual Loops'] ?? 1) > 0)
  const looked = run.filter((node) => node['Actual Loops'] !== undefined)
  if (looked.length > ranges) faults.push(`reads ${looked.length} ranges of the log`)
  for (const node of run) {
    const read = rowsRead(node)
    if (read > rowsOfScan) faults.push(`${node['Node Type']} reads ${read} rows of ${node['Relation Name']} at once`)
    if (!wholeRange && node['Node Type'] === 'Seq Scan' && (read > 1 || node['Actual Rows'] === undefined))
      faults.push(`Seq Scan of ${node['Relation Name']}`)
  }
  for (const node of nodes) {
    if (!node['Node Type'].endsWith('Sort') || !readsLog(node)) continue
    const sorted = node.Plans?.[0]
    const rows = sorted?.['Actual Rows'] ?? sorted?.['Plan Rows'] ?? 0
    if (rows > rowsOfScan) faults.push(`sorts ${rows} rows of the log`)
  }
  return faults
}

function* walk(node: PlanNode): Generator<PlanNode> {
  yield node
  for (const inner of node.Plans ?? []) yield* walk(inner)
}

const readsLog = (node: PlanNode): boolean => [...walk(node)].some((inner) => log.test(inner['Relation Name'] ?? ''))

const rowsRead = (node: PlanNode): number =>
  (node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)

/**
 * A session that hears of every statement it runs, and of those within functions, with the plan that it ran by. Plans of
 * the server's own tables are left out.
 */
export class PlanWatch {
  readonly client: pg.Client
  #plans: WatchedPlan[] = []

  private constructor(client: pg.Client) {
    this.client = client
    client.on('notice', ({ message }) => {
      const json = /^duration: [\d.]+ ms\s+plan:\s+(\{[^]*\})\s*$/.exec(message ?? '')?.[1]
      if (json === undefined) return
      const plan = JSON.parse(json) as { 'Query Text': string; Plan: PlanNode; Settings?: Record<string, string> }
      this.#plans.push({ text: plan['Query Text'], root: plan.Plan, jit: plan.Settings?.['jit'] !== 'off' })
    })
  }

  static async start(url: string): Promise<PlanWatch> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(`
      load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
      set auto_explain.log_format = json; set auto_explain.log_level = notice; set auto_explain.log_analyze = on;
      set auto_explain.log_buffers = on; set auto_explain.log_settings = on; set auto_explain.log_timing = off`)
    return new PlanWatch(client)
  }

  /** The plans of a statement and of all within it; what it writes is taken back. */
  async of(text: string, values: readonly unknown[], { uncompiled, before }: PlanBounds = {}): Promise<WatchedPlan[]> {
    await this.client.query('begin')
    try {
      if (uncompiled === true) await this.client.query(uncompiledSql)
      if (before !== undefined) await this.client.query(before)
      this.#plans = []
      await this.client.query(text, [...values])
      return this.#plans
    } finally {
      await this.client.query('rollback')
    }
  }

  end(): Promise<void> {
    return this.client.end()
  }
}
