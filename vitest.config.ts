import { defineConfig } from 'vitest/config'

const report = process.env['WAYBILL_TEST_REPORT']

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // A process for each file: fault tests kill, freeze and exhaust things.
    pool: 'forks',
    // The brokers and databases want their share of the cores too.
    maxWorkers: 2,
    // Longer than what a test waits for, so that its own message is the one that is seen: test/support/wait-for.ts.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    teardownTimeout: 60_000,
    // A test that needs a second try hides a race.
    retry: 0,
    reporters: report === undefined ? ['default'] : ['default', 'json'],
    ...(report === undefined ? {} : { outputFile: { json: report } }),
  },
})
