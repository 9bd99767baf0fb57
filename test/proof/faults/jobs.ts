import { setTimeout as sleep } from 'node:timers/promises'
import { firstConfiguration } from '../configurations.js'
import { soundJobsDoneAndPoisonFound } from '../poison-jobs/outcome.js'
import type { Fault } from './fault.js'

const workers = 3

export const jobFaults: readonly Fault[] = [
  {
    name: 'poison-jobs',
    title:
      'three workers work off the jobs, one in fifty of which ends its worker (SIGKILL, an exit, a thread that it never gives back)',
    // as few as a poison job needs to be known by: a sound one that was charged for each of its neighbours would be discarded
    first: { ...firstConfiguration, jobMaxAttempts: 3 },
    load: { poison: true },
    undisturbed: true,
    async strike(scene) {
      await scene.workers.start(workers)
      await sleep(1000)
    },
    afterLoad: soundJobsDoneAndPoisonFound,
  },
]
