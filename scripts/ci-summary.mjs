/**
 * The closing line of a CI run, and its exit code: `node scripts/ci-summary.mjs <vitest report> <exit code>`.
 * Counts come from Vitest's JSON report. What failed without being a test (the build, a check, a file that does
 * not load, a service that does not start) counts as one failure each, so that nothing red ever reads as green.
 */
import { readFileSync } from 'node:fs'

const [reportFile, exitCode] = process.argv.slice(2)
const files = readReport()?.testResults ?? []
const tests = files.flatMap(({ assertionResults }) => assertionResults)
const passed = tests.filter(({ status }) => status === 'passed').length
const failedTests = tests.filter(({ status }) => status === 'failed').length
const failedFiles = files.filter(({ status, assertionResults }) => {
  return status === 'failed' && assertionResults.every((test) => test.status !== 'failed')
}).length
const other = exitCode !== '0' && failedTests + failedFiles === 0 ? 1 : 0
const nothing = exitCode === '0' && tests.length === 0 ? 1 : 0
const failed = failedTests + failedFiles + other + nothing

for (const { name, message } of files.filter(({ status }) => status === 'failed')) {
  console.log(`failed: ${name} ${message ?? ''}`.trim())
}
for (const { fullName, failureMessages } of tests.filter(({ status }) => status === 'failed')) {
  const [reason = ''] = (failureMessages ?? []).map((text) => firstLines(text))
  console.log(`failed: ${fullName}: ${reason}`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

// Enough to see what it was where only the end of the output is kept.
function firstLines(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const place = lines.find((line) => line.includes('.test.ts')) ?? ''
  return `${lines.slice(0, 3).join(' ').slice(0, 400)} ${place.trim()}`
}

function readReport() {
  try {
    return JSON.parse(readFileSync(reportFile, 'utf8'))
  } catch {
    return undefined
  }
}
