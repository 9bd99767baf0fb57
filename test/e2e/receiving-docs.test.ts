import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { pickPort } from '../../scripts/services/ports.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText, outbound } from '../contract/webhook-fixture.js'
import { spawnChild } from '../support/children.js'
import { onFileEnd } from '../support/cleanup.js'
import { secondsNow, signedWebhook } from '../support/signed-webhook.js'
import { waitFor } from '../support/wait-for.js'
import { ensureBuilt, root } from './built.js'

const page = await readFile(join(root, 'docs/receiving.md'), 'utf8')
const code = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block = '']) => block)
const blockWith = (text: string): string => {
  const found = code.filter((block) => block.includes(text))
  if (found.length !== 1) throw new Error(`${found.length} blocks of docs/receiving.md have ${text}`)
  return found[0] ?? ''
}
const secret = `whsec_${Buffer.from('a secret of a reader of docs').toString('base64')}`
let project: string

/** A project like a reader's: the package as it is published, and Express and Fastify beside it. */
beforeAll(async () => {
  await ensureBuilt()
  project = await mkdtemp(join(tmpdir(), 'waybill-receiving-'))
  onFileEnd(() => rm(project, { recursive: true, force: true }))
  await mkdir(join(project, 'node_modules'))
  await symlink(root, join(project, 'node_modules/waybill'))
  for (const name of ['express', 'fastify']) {
    await symlink(join(root, 'node_modules', name), join(project, 'node_modules', name))
  }
  await writeFile(join(project, 'package.json'), '{ "type": "module" }')
}, 300_000)
afterEach(closeAdapters)

describe('the programs of docs/receiving.md', () => {
  it.each([
    ['Express', `from 'express'`],
    ['Fastify', `from 'fastify'`],
    ['Node.js', `from 'node:http'`],
  ])('for %s takes what Waybill signs, and nothing else', async (name, text) => {
    const script = join(project, `${name}.ts`)
    await writeFile(script, blockWith(text))
    const port = await pickPort()
    const child = spawnChild(script, {
      cwd: project,
      env: { PORT: String(port), CRM_WEBHOOK_SECRET: secret, NODE_ENV: 'production' },
    })
    const url = `http://127.0.0.1:${port}/hooks`
    const good = createWebhook({ url, secrets: [secret] })
    const message = outbound()
    // refused connections, until it listens
    await waitFor(async () => brief(await deliverOne(good, message)) === 'delivered', { what: 'the program to listen' })
    await waitFor(() => child.output().includes(`received ${message.id} order.created`), { what: 'the handler' })

    const forged = outbound()
    const outcome = await deliverOne(createWebhook({ url, secrets: ['another'] }), forged)
    expect(brief(outcome)).toBe('misconfigured HTTP_401')
    const long = outbound({ payload: JSON.stringify('x'.repeat(1_048_576)) })
    expect(brief(await deliverOne(good, long))).toBe('retry HTTP_413')
    // handlers run in the order of the requests: had one of those run, it would have printed by now
    const last = outbound()
    expect(brief(await deliverOne(good, last))).toBe('delivered')
    await waitFor(() => child.output().includes(`received ${last.id}`), { what: 'the handler' })
    expect(child.output().match(/^received /gm)).toHaveLength(2)
    if (name !== 'Node.js') expect(failureText(outcome)).toContain('WAYBILL_WEBHOOK_SIGNATURE_MISMATCH')
    await child.kill('SIGTERM')
  })

  it('for fetch takes what is signed, and nothing else', async () => {
    const script = join(project, 'fetch.ts')
    const runner = join(project, 'run-fetch.ts')
    await writeFile(script, blockWith('POST(request: Request)'))
    const requests = [
      signedWebhook(secret),
      signedWebhook('another'),
      signedWebhook(secret, { timestamp: secondsNow() - 900 }),
    ]
    const sent = requests.map(({ headers, rawBody }) => ({ headers, body: rawBody.toString() }))
    await writeFile(
      runner,
      `const { POST } = await import(${JSON.stringify(pathToFileURL(script).href)})
      const statuses = []
      for (const { headers, body } of ${JSON.stringify(sent)}) {
        statuses.push((await POST(new Request('http://here/', { method: 'POST', headers, body }))).status)
      }
      console.log(JSON.stringify({ statuses }))`,
    )
    const child = spawnChild<{ statuses: number[] }>(runner, { cwd: project, env: { CRM_WEBHOOK_SECRET: secret } })
    expect((await child.waitForMessage(() => true)).statuses).toEqual([204, 401, 401])
    expect(child.output()).toContain('received msg_1')
  })
})

describe('docs/receiving.md', () => {
  it('names every code and status of a refusal', async () => {
    const errors = await readFile(join(root, 'src/core/errors.ts'), 'utf8')
    const codes = [...errors.matchAll(/'(WAYBILL_WEBHOOK_\w+)'/g)].map(([, found = '']) => found)
    expect(codes.length).toBeGreaterThan(8)
    // the one of a secret is an InputError, and stands in the reference
    for (const found of codes.filter((one) => !one.endsWith('SECRET_INVALID'))) expect(page).toContain(`\`${found}\``)
  })
})
