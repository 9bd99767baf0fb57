import type { DestinationKind } from './detect.js'

const always = ['WAYBILL_DATABASE_URL', 'postgres://postgres@localhost:5432/app'] as const
const ofDestinations: Readonly<Record<DestinationKind, readonly (readonly [name: string, example: string])[]>> = {
  jobs: [],
  rabbitmq: [['AMQP_URL', 'amqp://localhost']],
  kafka: [['KAFKA_BROKERS', 'localhost:9092']],
  webhook: [
    ['PARTNER_WEBHOOK_URL', 'https://partner.example/hooks'],
    ['PARTNER_WEBHOOK_SECRET', 'whsec_…'],
  ],
}

/** `.env.example` with the variables that it does not name yet, in its own line ends. */
export function withVariables(text: string, kinds: readonly DestinationKind[]): string {
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n'
  const wanted = [always, ...kinds.flatMap((kind) => ofDestinations[kind])]
  const missing = wanted.filter(([name]) => !new RegExp(`^\\s*#?\\s*(export\\s+)?${name}\\s*=`, 'm').test(text))
  if (missing.length === 0) return text
  const lines = ['# Waybill', ...missing.map(([name, example]) => `${name}=${example}`)]
  const before = text === '' || text.endsWith('\n') ? text : text + lineEnd
  return before + (text === '' ? '' : lineEnd) + lines.map((line) => line + lineEnd).join('')
}
