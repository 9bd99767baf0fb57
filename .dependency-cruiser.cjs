/** Who may import whom; the table in CONTRIBUTING.md says it in words. */
const zones = {
  core: [],
  config: ['core'],
  telemetry: ['core'],
  network: ['core'],
  db: ['core', 'telemetry'],
  outbox: ['core', 'db', 'telemetry'],
  transactions: ['core'],
  'queue-facade': ['core', 'config', 'outbox', 'transactions'],
  jobs: ['core', 'config', 'db', 'telemetry'],
  inbox: ['core', 'transactions'],
  receiver: ['core'],
  fastify: ['core', 'config', 'queue-facade', 'app'],
  reconcile: ['core', 'config', 'db', 'outbox', 'telemetry'],
  app: [
    'core',
    'config',
    'telemetry',
    'db',
    'outbox',
    'queue-facade',
    'adapters',
    'dispatcher',
    'jobs',
    'inbox',
    'reconcile',
    'admin',
  ],
  testing: [
    'core',
    'config',
    'db',
    'outbox',
    'queue-facade',
    'adapters',
    'dispatcher',
    'telemetry',
    'app',
    'transactions',
  ],
  nestjs: ['core', 'config', 'telemetry', 'queue-facade', 'jobs', 'app'],
  cli: ['app', 'config', 'core'],
}
const forbidden = Object.entries(zones).map(([zone, allowed]) => ({
  name: `${zone}-imports`,
  comment: `src/${zone} may import only: ${allowed.join(', ') || 'nothing'}`,
  severity: 'error',
  from: { path: `^src/${zone}/` },
  to: { path: '^src/[^/]+/', pathNot: [zone, ...allowed].map((z) => `^src/${z}/`) },
}))

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...forbidden,
    {
      name: 'adapters-imports',
      comment:
        'an adapter knows core, config, telemetry, network and the contract; the job queue also jobs; never another adapter',
      severity: 'error',
      from: { path: '^src/adapters/([^/]+)/' },
      to: {
        path: '^src/[^/]+/',
        pathNot: [
          '^src/core/',
          '^src/config/',
          '^src/telemetry/',
          '^src/network/',
          '^src/adapters/$1/',
          '^src/adapters/[^/]+\\.ts$',
          '^src/jobs/',
        ],
      },
    },
    {
      name: 'only-job-queue-imports-jobs',
      severity: 'error',
      from: { path: '^src/adapters/', pathNot: '^src/adapters/job-queue/' },
      to: { path: '^src/jobs/' },
    },
    {
      name: 'dispatcher-imports',
      comment: 'the dispatcher sees the contract and the registry of adapters, never one of them',
      severity: 'error',
      from: { path: '^src/dispatcher/' },
      to: {
        path: '^src/[^/]+/',
        pathNot: [
          '^src/dispatcher/',
          '^src/core/',
          '^src/outbox/',
          '^src/telemetry/',
          '^src/db/',
          '^src/adapters/(contract|registry)\\.ts$',
        ],
      },
    },
    {
      name: 'src-never-test',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts|bench|examples)/' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'not-to-dev-dep',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev'],
        // adds to the types of a test runner, and imports nothing
        dependencyTypesNot: ['triple-slash-type-reference'],
        pathNot: 'node_modules/(amqplib|fastify|kafkajs|@nestjs|@types)',
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
}
