import { expect, it } from 'vitest'
import { soak } from './soak/soak.js'
import { faultNamed } from './soak/strikes.js'
import { complaintsOfGrowth, complaintsOfTally } from './soak/verdict.js'
import { Stage } from './stage.js'

// the short form of `npm run proof -- --soak`, which is also held to times
it('faults strike again and again: nothing is lost, and nothing grows', async () => {
  const result = await soak(await Stage.build(), {
    ...{ seed: '1', minutes: 0.6, rate: 40, everyMs: 10_000, faults: ['kill', 'terminate', 'partner'].map(faultNamed) },
    ...{ signal: new AbortController().signal, say: () => undefined },
  })
  expect(result.troubles).toEqual([])
  expect(result.strikes.length).toBeGreaterThan(0)
  expect(result.samples.length).toBeGreaterThan(1)
  expect(complaintsOfTally(result)).toEqual([])
  expect(complaintsOfGrowth(result)).toEqual([])
}, 600_000)
