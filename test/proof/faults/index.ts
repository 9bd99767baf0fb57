import { applicationFaults } from './application.js'
import { databaseFaults } from './database.js'
import { deploymentFaults } from './deployments.js'
import { dispatcherFaults } from './dispatchers.js'
import type { Fault } from './fault.js'
import { jobFaults } from './jobs.js'
import { moves } from './moves.js'
import { nameFaults } from './names.js'
import { readFaults } from './reads.js'
import { receiverFaults } from './receivers.js'

export const faults: readonly Fault[] = [
  ...dispatcherFaults,
  ...deploymentFaults,
  ...databaseFaults,
  ...moves,
  ...readFaults,
  ...receiverFaults,
  ...nameFaults,
  ...applicationFaults,
  ...jobFaults,
]

/** What strikes together when all is asked for. */
export const mixtures: readonly string[] = [
  'deploy+kill',
  'deploy+freeze',
  'deploy+terminate',
  'kill+partner+terminate+database-forgotten',
  'freeze+rabbitmq-silent+kafka-silent+webhook-silent+kafka-frozen',
  'kill+freeze+database-crash+rabbitmq-kill+kafka-kill+partner',
  'clock-dispatcher+clock-database+queue-deleted+connections+disk-full',
]
