import { setTimeout as sleep } from 'node:timers/promises'
import type { HalfOpenProxy } from '../../support/half-open-proxy.js'
import { type Manner, deleteEmpty, drainQueue } from '../receivers.js'
import { type Fault, type Scene, between, lasting } from './fault.js'

const manners: readonly Manner[] = [
  { stores: true, reply: { status: 204 } },
  { stores: true, reply: { status: 204 } },
  { stores: true, reply: { status: 500 } },
  { stores: false, reply: { status: 500 } },
  { stores: false, reply: { status: 429, headers: { 'retry-after': '1' } } },
  { stores: true, reply: 'hang' },
  { stores: true, reply: 'destroy' },
]

/** A network that says nothing; then what it has swallowed arrives late, or is cut off and never does. */
const silent = (destination: string, links: (scene: Scene) => HalfOpenProxy[], then: 'late' | 'cut') =>
  lasting(4000, 7000, async (scene) => {
    scene.set.silenced.push(destination)
    for (const link of links(scene)) link.swallow()
    return () => {
      for (const link of links(scene)) {
        if (then === 'cut') link.cut()
        link.restore()
      }
    }
  })

export const receiverFaults: readonly Fault[] = [
  {
    name: 'queue-deleted',
    title: 'the queue is deleted under the publishers, and declared again seconds later',
    async strike(scene) {
      const { stage, set } = scene
      // what is in the queue would go with it: publishers' next messages wait on the wire until it is gone
      stage.rabbit.link.swallow('toServer')
      try {
        for (let quiet = 0; quiet < 2; quiet++) {
          await sleep(150)
          const arrivals = await drainQueue(stage.rabbit.url, set.name)
          set.drained.addAll(arrivals)
          if (arrivals.length > 0) quiet = -1
        }
        await deleteEmpty(stage.rabbit.url, set.name)
      } finally {
        stage.rabbit.link.restore()
      }
      await sleep(between(scene, 1000, 4000))
      await stage.declareQueue(set.name)
    },
  },
  {
    name: 'rabbitmq-kill',
    title: 'RabbitMQ is killed and started again',
    async strike({ stage }) {
      await stage.rabbit.kill()
      await stage.rabbit.start()
    },
  },
  {
    name: 'rabbitmq-silent',
    title: 'the network to RabbitMQ swallows everything: confirms never come',
    strike: silent('bus', ({ stage }) => [stage.rabbit.link], 'cut'),
  },
  {
    name: 'rabbitmq-alarm',
    title: 'RabbitMQ blocks its publishers (memory alarm)',
    strike: lasting(3000, 5000, async ({ stage: { rabbit } }) => {
      await rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.0001')
      return () => rabbit.tool('rabbitmqctl set_vm_memory_high_watermark 0.4')
    }),
  },
  {
    name: 'kafka-kill',
    title: 'the Kafka broker is killed and started again',
    async strike({ stage }) {
      await stage.kafka.kill()
      await stage.kafka.start()
    },
  },
  {
    name: 'kafka-leader',
    title: 'one of three Kafka nodes is killed or shut down, so that leaders move, and started again',
    needs: ['three brokers'],
    async strike(scene) {
      const { brokers } = scene.set
      const one = brokers[Math.floor(scene.random() * brokers.length)]
      await (scene.random() < 0.5 ? one?.kill() : one?.stop())
      await sleep(between(scene, 1000, 4000))
      await one?.start()
    },
  },
  {
    name: 'kafka-frozen',
    title: 'the Kafka broker answers nothing for seconds (SIGSTOP)',
    strike: lasting(4000, 8000, async ({ stage: { kafka } }) => {
      kafka.freeze()
      return () => kafka.thaw()
    }),
  },
  {
    name: 'kafka-silent',
    title: 'the network to Kafka swallows everything, and lets it through later',
    strike: silent('lake', ({ set }) => set.brokers.map(({ link }) => link), 'late'),
  },
  {
    name: 'webhook-silent',
    title: 'the network to the partner swallows everything, and lets it through later',
    strike: silent('crm', ({ set }) => [set.webhookLink], 'late'),
  },
  {
    name: 'partner',
    title: 'the partner answers 500, 429, nothing, or cuts, also for what it has stored',
    strike: lasting(3000, 5000, async ({ stage: { partner }, random }) => {
      partner.manner = () => manners[Math.floor(random() * manners.length)] as Manner
      return () => partner.behave()
    }),
  },
]
