import { parseArgs } from 'node:util'

export interface DemoOptions {
  readonly messages: number
  readonly brokers: boolean
  readonly keep: boolean
  /** For the demo's own test: this receiver loses a message. */
  readonly lose: string | undefined
  readonly amqpUrl: string | undefined
  readonly kafkaBrokers: string | undefined
}

export const usage = `npm run demo -- [--messages N] [--brokers] [--keep]

  --messages N   messages to publish, 20 to 1,000,000 (default 2,000)
  --brokers      RabbitMQ and Kafka too, started for the demo where no address is given:
                 WAYBILL_DEMO_AMQP_URL, WAYBILL_DEMO_KAFKA_BROKERS
  --keep         leave everything running at the end, until Ctrl-C`

/** Throws an `Error` whose message is for the person who typed it. */
export function readOptions(argv: readonly string[], env: NodeJS.ProcessEnv): DemoOptions | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      messages: { type: 'string', default: '2000' },
      brokers: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return 'help'
  const messages = Number(values.messages.replaceAll(/[,_]/g, ''))
  if (!Number.isInteger(messages) || messages < 20 || messages > 1_000_000) {
    throw new Error(`--messages is ${values.messages}; give a whole number from 20 to 1,000,000`)
  }
  return {
    messages,
    brokers: values.brokers,
    keep: values.keep,
    lose: env['WAYBILL_DEMO_LOSE'] || undefined,
    amqpUrl: env['WAYBILL_DEMO_AMQP_URL'] || env['WAYBILL_TEST_AMQP_URL'] || undefined,
    kafkaBrokers: env['WAYBILL_DEMO_KAFKA_BROKERS'] || env['WAYBILL_TEST_KAFKA_BROKERS'] || undefined,
  }
}
