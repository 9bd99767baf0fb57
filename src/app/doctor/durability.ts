import { standbyState } from '../../outbox/standby-store.js'
import { type Check, error, formatBytes, ok, warn } from './finding.js'

/** Whether the stand-by that `dispatcher.durability` names is there, and how far it is. */
export const durabilityCheck: Check = {
  name: 'durability',
  needsSchema: false,
  async run({ pool, config }) {
    const { durability } = config.dispatcher
    if (durability === 'local') return [ok('dispatchers send what this server has on its disk')]
    const name = JSON.stringify(durability.replicated)
    const { allowed, behind, others, streaming } = await standbyState(pool, durability.replicated)
    const why = 'nothing is delivered: lanes wait for it'
    if (!allowed) {
      const remedy = 'grant pg_read_all_stats to this role: waybill migrate --roles, as one who may'
      return [error(`this role may not see how far the stand-by ${name} is`, why, remedy)]
    }
    if (streaming === 0) {
      const those = others.length === 0 ? 'none does' : `those that do: ${others.join(', ')}`
      const remedy = `start it, or let dispatcher.durability name another (${those}); its name is application_name in primary_conninfo, else cluster_name`
      return [error(`no stand-by ${name} streams from this server`, why, remedy)]
    }
    const far = `${formatBytes(behind ?? 0)} behind`
    if (streaming === 1) return [ok(`the stand-by ${name} streams, ${far}`)]
    return [
      warn(
        `${streaming} stand-bys are called ${name}; the furthest is ${far}`,
        'all that stream are waited for; one that does not stream is not missed, and may be the one that is promoted',
        'give each a name of its own (application_name in primary_conninfo)',
      ),
    ]
  },
}
