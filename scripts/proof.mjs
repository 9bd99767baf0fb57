/**
 * `npm run proof`: faults strike, and every receiver is counted. Plain Node.js, like `npm test`.
 *
 *   npm run proof                                    each fault alone, then mixtures; 30 s each
 *   npm run proof -- --only kill,failover            those alone; kill+partner is a mixture of two
 *   npm run proof -- --seconds 120 --rate 200        for longer, with more transactions a second
 *   npm run proof -- --seed 7                        the same strikes and the same load each time
 *   npm run proof -- --json results.json --into docs/crash-proof.md
 */
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'all' },
    seconds: { type: 'string', default: '30' },
    rate: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    json: { type: 'string' },
    into: { type: 'string' },
  },
})
console.log(`seed ${values.seed}`)
const { status } = spawnSync(process.execPath, ['scripts/npm-test.mjs', '--no-checks', 'test/proof'], {
  stdio: 'inherit',
  env: {
    ...process.env,
    WAYBILL_PROOF_FAULTS: values.only,
    WAYBILL_PROOF_SECONDS: values.seconds,
    WAYBILL_PROOF_RATE: values.rate,
    WAYBILL_PROOF_SEED: values.seed,
    ...(values.json && { WAYBILL_PROOF_JSON: values.json }),
    ...(values.into && { WAYBILL_PROOF_INTO: values.into }),
  },
})
process.exitCode = status ?? 1
