/**
 * `npm run proof`: faults strike, and every receiver is counted. Plain Node.js, like `npm test`.
 *
 *   npm run proof                                    each fault alone, then mixtures; 30 s each
 *   npm run proof -- --only kill,failover            those alone; kill+partner is a mixture of two
 *   npm run proof -- --seconds 120 --rate 200        for longer, with more transactions a second
 *   npm run proof -- --seed 7                        the same strikes and the same load each time
 *   npm run proof -- --json results.json --into docs/crash-proof.md
 *
 *   npm run proof -- --soak --minutes 30             the highest rate that keeps its lag flat, a fault every 20 s; what
 *                                                    grows? Also with --seed, --rate, --only, --json and --into
 */
import { spawn } from 'node:child_process'
import { parseArgs } from 'node:util'

const soak = process.argv.includes('--soak')
let child

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  // In a terminal the child has got it too; a second one does no harm.
  process.on(signal, () => child?.kill(signal))
}

process.exitCode = soak
  ? await run(['--import', 'tsx', 'test/proof/soak/main.ts', ...process.argv.slice(2)], {})
  : await run(['scripts/npm-test.mjs', '--no-checks', 'test/proof/proof.test.ts'], proofEnvironment())

function proofEnvironment() {
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
  return {
    WAYBILL_PROOF_FAULTS: values.only,
    WAYBILL_PROOF_SECONDS: values.seconds,
    WAYBILL_PROOF_RATE: values.rate,
    WAYBILL_PROOF_SEED: values.seed,
    ...(values.json && { WAYBILL_PROOF_JSON: values.json }),
    ...(values.into && { WAYBILL_PROOF_INTO: values.into }),
  }
}

/** Resolves to the exit code. */
function run(args, env) {
  return new Promise((resolve, reject) => {
    child = spawn(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } })
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
}
