import type { TestProject } from 'vitest/node'
import { down } from '../scripts/services/down.js'
import { up } from '../scripts/services/up.js'
import { namesToStart, urlsFromEnvironment, urlsFromStates, type ServiceUrls } from '../scripts/services/urls.js'
import type { PostgresServer } from './support/services.js'
import { ensureTemplate } from './support/template.js'

/**
 * Servers named by the environment are used as they are; of the others, those that run are used, and those that
 * don't are started here and stopped again after the tests.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = urlsFromEnvironment()
  const owner = `vitest-${process.pid}`
  const missing = namesToStart(given)
  const teardown = async () => void (await down({ owner }))
  try {
    const started = await up(missing, { owner, progress: (text) => console.error(text) })
    const urls: ServiceUrls = { ...urlsFromStates(started.map(({ state }) => state)), ...given }
    project.provide('serviceUrls', urls)
    project.provide('templates', await templates(urls))
    return teardown
  } catch (error) {
    await teardown()
    throw error
  }
}

async function templates(urls: ServiceUrls): Promise<Partial<Record<PostgresServer, string>>> {
  const servers = (['pg18', 'pg15'] as const).flatMap((server) => {
    const url = urls[server]
    return url === undefined ? [] : [{ server, url }]
  })
  return Object.fromEntries(
    await Promise.all(servers.map(async ({ server, url }) => [server, await ensureTemplate(url)] as const)),
  )
}
