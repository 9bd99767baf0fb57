import { setTimeout as sleep } from 'node:timers/promises'
import { goodArriveAndBadAreRetried, refuseBad } from '../bad-messages.js'
import { firstConfiguration } from '../configurations.js'
import type { Fault } from './fault.js'

const fewAttempts = { maxAttempts: 3 }

export const applicationFaults: readonly Fault[] = [
  {
    name: 'bad-messages',
    title:
      'one message in fourteen, and fifty in a row, are refused by the partner (cut, 403, 503, silence) and cut off before RabbitMQ; in the end an operator retries them',
    first: { ...firstConfiguration, options: { crm: fewAttempts, bus: fewAttempts } },
    load: { bad: true },
    undisturbed: true,
    async strike(scene) {
      refuseBad(scene)
      await sleep(1000)
    },
    afterLoad: goodArriveAndBadAreRetried,
  },
  {
    name: 'parallel-app',
    title:
      'the application sends the statements of a transaction side by side, four in ten fail, are rolled back, and are tried again at once',
    load: { parallel: true },
    undisturbed: true,
    strike: () => sleep(1000),
  },
]
