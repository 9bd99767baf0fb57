import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const script = join(import.meta.dirname, '../../scripts/ci-summary.mjs')
const file = (...statuses: string[]) => ({
  name: 'a.test.ts',
  status: statuses.every((status) => status === 'passed') && statuses.length > 0 ? 'passed' : 'failed',
  assertionResults: statuses.map((status) => ({ status })),
})

let directory: string
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'waybill-summary-'))))
afterAll(() => rm(directory, { recursive: true }))

async function summary(exitCode: number, testResults?: unknown[]) {
  const report = join(directory, `${Math.random()}.json`)
  if (testResults !== undefined) await writeFile(report, JSON.stringify({ testResults }))
  return new Promise<{ line: string | undefined; code: number }>((resolve) => {
    execFile(process.execPath, [script, report, String(exitCode)], (error, stdout) => {
      resolve({ line: stdout.trimEnd().split('\n').at(-1), code: error === null ? 0 : Number(error.code) })
    })
  })
}

test.each([
  ['all is well', 0, [file('passed', 'passed'), file('passed')], '3 passed, 0 failed', 0],
  ['a test failed', 1, [file('passed', 'failed'), file('passed')], '2 passed, 1 failed', 1],
  ['a file did not load', 1, [file(), file('passed')], '1 passed, 1 failed', 1],
  ['the build or a check failed', 1, undefined, '0 passed, 1 failed', 1],
  ['all tests passed, and yet the run failed', 1, [file('passed')], '1 passed, 1 failed', 1],
  ['nothing ran', 0, [], '0 passed, 1 failed', 1],
  ['a failed test came with exit code 0', 0, [file('failed')], '0 passed, 1 failed', 1],
])('the closing line when %s', async (_, exitCode, testResults, line, code) => {
  expect(await summary(exitCode, testResults)).toEqual({ line, code })
})
