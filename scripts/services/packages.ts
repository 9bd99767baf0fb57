import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import { run } from './processes.js'
import { isRoot } from './users.js'
import type { Requirement } from './types.js'

const policyFile = '/usr/sbin/policy-rc.d'

function missing(requirements: readonly Requirement[]): Requirement[] {
  return requirements.filter((requirement) => !isInstalled(requirement.program))
}

/** Installs what is missing where that is possible; otherwise says what to do, in one message for everything. */
export async function ensureInstalled(
  requirements: readonly Requirement[],
  progress: (text: string) => void,
): Promise<void> {
  const wanted = missing(requirements)
  if (wanted.length === 0) return
  const packages = [...new Set(wanted.map((requirement) => requirement.debianPackage))]
  if (isRoot() && isInstalled('apt-get')) {
    progress(`installing ${packages.join(', ')} with apt-get`)
    await aptInstall(packages)
  }
  const left = missing(wanted)
  const needed = left.filter((requirement) => requirement.optional !== true)
  if (needed.length > 0) throw new Error(remedy(needed))
  for (const requirement of left) {
    progress(`${requirement.label} is not installed: tests that use it will fail (${requirement.debianPackage})`)
  }
}

function remedy(requirements: readonly Requirement[]): string {
  const packages = [...new Set(requirements.map((requirement) => requirement.debianPackage))].join(' ')
  return [
    `not on this machine: ${requirements.map((requirement) => requirement.label).join(', ')}. Either`,
    `  - on Debian 12 or the like: sudo apt-get update && sudo apt-get install -y ${packages}`,
    '  - with Docker: docker compose up -d, and set the variables that docs/testing.md lists',
    '  - point WAYBILL_TEST_PG_URL, WAYBILL_TEST_AMQP_URL, WAYBILL_TEST_KAFKA_BROKERS and so on at servers you have',
  ].join('\n')
}

async function aptInstall(packages: readonly string[]): Promise<void> {
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const options = ['-y', '-q', '-o', 'DPkg::Lock::Timeout=300']
  await run('apt-get', [...options, 'update'], { env })
  // Debian starts a server as soon as its package is unpacked. We run our own, so for the time of the
  // installation a policy forbids that.
  const ours = !existsSync(policyFile)
  if (ours) await writeFile(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await run('apt-get', [...options, 'install', '--no-install-recommends', ...packages], { env })
  } finally {
    if (ours) await rm(policyFile, { force: true })
  }
}

function isInstalled(program: string): boolean {
  if (isAbsolute(program)) return existsSync(program)
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin']
  return path.some((directory) => existsSync(join(directory, program)))
}
