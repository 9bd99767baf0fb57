import { fillLog } from '../lib/database.js'
import { databaseSide } from '../lib/round.js'
import type { Bench, Side } from '../lib/types.js'
import { startEndpoint } from '../lib/webhook-endpoint.js'

/** What a destination's shards cost one process that has all of them. */
export const shards: Bench = {
  name: 'shards',
  unit: 'messages/s',
  about: 'one process with 1, 12 and 48 lanes of a destination: an adapter that does nothing, and webhooks',
  rounds: 5,
  goals: [{ side: 'drain-12', than: 'drain-1', least: 0.8 }],
  costs: [
    { side: 'webhook-12', than: 'webhook-1', of: 'program', most: 1.1 },
    { side: 'webhook-12', than: 'webhook-1', of: 'database', most: 2 },
  ],
  async sides(context) {
    const messages = context.options.messages ?? 200_000
    const posts = Math.max(1, Math.round(messages / 10))
    context.note(`webhooks: ${posts} messages a round, 16 requests at once for all lanes together`)
    const { settings } = await startEndpoint(context)
    const side = (name: string, script: string, count: number, input: object): Side =>
      databaseSide(context, {
        name,
        side: script,
        schema: true,
        fill: (database) => fillLog(database, count),
        input: () => ({ messages: count, ...input }),
      })
    return [
      ...[12, 1, 48].map((lanes) => side(`drain-${lanes}`, 'drain-waybill', messages, { shards: lanes })),
      ...[12, 1, 48].map((lanes) =>
        side(`webhook-${lanes}`, 'deliver-waybill', posts, { kind: 'webhook', settings, shards: lanes }),
      ),
    ]
  },
}
