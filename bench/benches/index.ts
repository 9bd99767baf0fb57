import { type Bench } from '../lib/types.js'
import { backlog } from './backlog.js'
import { drain } from './drain.js'
import { held } from './held.js'
import { idle } from './idle.js'
import { kafka } from './kafka.js'
import { latency } from './latency.js'
import { memory } from './memory.js'
import { publish } from './publish.js'
import { rabbitmq } from './rabbitmq.js'
import { shards } from './shards.js'
import { webhook } from './webhook.js'

const all = [drain, publish, rabbitmq, kafka, webhook, latency, backlog, held, memory, idle, shards]

export const benches: ReadonlyMap<string, Bench> = new Map(all.map((bench) => [bench.name, bench]))
