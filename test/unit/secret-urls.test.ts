import { describe, expect, it } from 'vitest'
import { redact, resolveConfig } from '../../src/config/index.js'
import { databasePlace, databaseUrlProblem, urlForPg } from '../../src/core/database-url.js'
import { messageOf } from '../../src/core/errors.js'
import { shownUrls } from '../../src/core/shown-url.js'
import { createWorker } from '../../src/jobs/index.js'
import { Queue } from '../../src/queue-facade/queue.js'
import { goodDatabaseUrls, secretUrls, wrongDatabaseUrls } from '../support/secret-urls.js'

const secret = 's3cr3tPw9x'

function thrownBy(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return `${messageOf(error)} ${JSON.stringify(error)} ${String((error as Error).stack)}`
  }
  return 'nothing was thrown'
}

describe('a database URL that is none', () => {
  it('is one of sixty forms, with those of webhooks and brokers', () => {
    expect(Object.keys(wrongDatabaseUrls(secret)).length + secretUrls(secret).length).toBeGreaterThanOrEqual(60)
  })

  it.each(Object.entries(wrongDatabaseUrls(secret)))('%s: is refused by name, and not shown', (_name, url) => {
    for (const path of ['database.url', 'database.directUrl']) {
      const variables =
        path === 'database.url'
          ? { WAYBILL_DATABASE_URL: url }
          : { WAYBILL_DATABASE_URL: 'postgres://a/b', WAYBILL_DIRECT_URL: url }
      const said = thrownBy(() => resolveConfig({}, variables))
      expect(said).toContain(`${path}: is not a PostgreSQL URL: `)
      expect(said).toContain(path === 'database.url' ? '(from WAYBILL_DATABASE_URL)' : '(from WAYBILL_DIRECT_URL)')
      expect(said).not.toContain(secret)
    }
    expect(databasePlace(url)).toBe('the database')
  })

  it.each(Object.entries(wrongDatabaseUrls(secret)))('%s: nor taken by a Queue or a worker', (_name, url) => {
    const handlers = { a: () => undefined }
    for (const said of [
      thrownBy(() => new Queue({ connectionString: url })),
      thrownBy(() => createWorker({ connectionString: url, queues: { default: {} }, handlers })),
    ]) {
      expect(said).toContain('connectionString: is not a PostgreSQL URL')
      expect(said).not.toContain(secret)
    }
  })

  it.each(Object.entries(goodDatabaseUrls(secret)))('%s: is one, of which the place alone is shown', (_name, url) => {
    expect(databaseUrlProblem(url)).toBeUndefined()
    const shown = JSON.stringify(redact(resolveConfig({}, { WAYBILL_DATABASE_URL: url }))) + databasePlace(url)
    expect(shown).toContain('shop')
    expect(shown).not.toContain(secret)
  })

  it('gives pg the sslmode that it takes today, so that it has nothing to warn of', () => {
    const url = 'postgres://h/d?a=1&sslmode='
    for (const mode of ['require', 'prefer', 'verify-ca', 'verify-full'])
      expect(urlForPg(url + mode)).toBe(`${url}verify-full`)
    for (const mode of ['disable', 'no-verify']) expect(urlForPg(url + mode)).toBe(url + mode)
    const asLibpq = `${url}require&uselibpqcompat=true`
    expect(urlForPg(asLibpq)).toBe(asLibpq)
  })
})

describe('a URL with a secret', () => {
  it.each(secretUrls(secret))('%s', (url, shown) => {
    expect(shownUrls(url)).toBe(shown)
    expect(shown).not.toContain(secret)
  })

  it('keeps what tells people where it goes', () => {
    for (const url of ['https://crm.example/hooks', 'http://[::1]:8080/v2/', 'https://a.example/', 'amqp://mq/%2f'])
      expect(shownUrls(url)).toBe(url)
  })
})
