import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faults, mixtures } from './faults/index.js'
import { outOfOrder, table, writeInto } from './report.js'
import { type ProofResult, prove } from './run.js'
import { Stage } from './stage.js'

// npm run proof sets these; within `npm test` a few faults strike for some seconds
const only = process.env['WAYBILL_PROOF_FAULTS'] ?? 'kill,database-crash,failover,deploy,parallel-app'
const seconds = Number(process.env['WAYBILL_PROOF_SECONDS'] ?? 8)
const rate = Number(process.env['WAYBILL_PROOF_RATE'] ?? 60)
const seed = process.env['WAYBILL_PROOF_SEED'] ?? '1'
const names = only === 'all' ? [...faults.map((fault) => fault.name), ...mixtures] : only.split(',')
const chosen = names.map((name) => {
  const parts = name.split('+').map((part) => faults.find((fault) => fault.name === part))
  if (parts.includes(undefined)) throw new Error(`no fault ${name}; there are ${faults.map((f) => f.name).join(', ')}`)
  return { name, faults: parts.filter((fault) => fault !== undefined) }
})

describe('crash proof', () => {
  let stage: Stage
  const results: ProofResult[] = []

  beforeAll(async () => {
    stage = await Stage.build()
  }, 300_000)
  afterAll(async () => {
    if (results.length > 0) console.log(`\n${table(results)}\n`)
    const { WAYBILL_PROOF_JSON: json, WAYBILL_PROOF_INTO: document } = process.env
    if (json) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`)
    if (document) await writeInto(document, 'proof', table(results))
  })

  it.each(chosen)(
    'nothing is lost, doubled beyond the window, or out of order: $name',
    async ({ faults: struck }) => {
      const result = await prove(stage, struck, { seed, seconds, rate })
      results.push(result)
      expect(result.strikes).toBeGreaterThan(0)
      expect(result.complaints, `seed ${seed}`).toEqual([])
      expect(result.committed).toBeGreaterThan(0)
      for (const { destination, wanted, delivered, lost, phantoms } of result.destinations)
        expect({ destination, delivered, lost, phantoms }, `seed ${seed}`).toEqual({
          ...{ destination, lost: 0, phantoms: 0 },
          delivered: wanted,
        })
      const jobs = result.destinations.find(({ destination }) => destination === 'jobs')
      expect(jobs?.duplicates).toBeLessThanOrEqual(result.jobsTwiceAllowed)
      expect(outOfOrder(result), `out of order; seed ${seed}`).toBe(0)
      const duplicates = result.destinations.reduce((total, each) => total + each.duplicates, 0)
      expect(duplicates).toBeLessThanOrEqual(result.duplicatesAllowed)
    },
    (seconds + 300) * 1000,
  )
})
