import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const database = new pg.Pool({ connectionString: process.env.DATABASE_URL })
let app
let url

before(async () => {
  assert.ok(process.env.DATABASE_URL, 'set DATABASE_URL to a database for these tests')
  const waybill = join(dirname(fileURLToPath(import.meta.resolve('waybill/package.json'))), 'dist/cli/main.js')
  execFileSync(process.execPath, [waybill, 'migrate', '--database-url', process.env.DATABASE_URL])
  await database.query(readFileSync(join(root, 'schema.sql'), 'utf8'))
  app = spawn(process.execPath, [join(root, 'dist/main.js')], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  url = await new Promise((resolve, reject) => {
    app.once('exit', (code) => reject(new Error(`the application ended with ${code} before it listened`)))
    createInterface({ input: app.stdout }).on('line', (line) => {
      const found = /^listening at (\S+)/.exec(line)
      if (found) resolve(found[1])
    })
  })
})

after(async () => {
  app?.kill('SIGKILL')
  await database.end()
})

const post = (path, body) =>
  fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const show = async (id) => (await fetch(`${url}/orders/${id}`)).json()

/** Asks until it holds; a machine may be slow. */
async function waitFor(what, holds) {
  for (const deadline = Date.now() + 60_000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (await holds()) return
    assert.ok(Date.now() < deadline, `waited a minute for ${what}`)
  }
}

test('an order that is placed and cancelled is mailed about, each once', async () => {
  const placed = await post('/orders', { customer: 'Ada', cents: 1999 })
  assert.equal(placed.status, 201)
  const { id } = await placed.json()
  assert.equal((await post(`/orders/${id}/cancel`)).status, 204)
  await waitFor('both mails', async () => (await show(id)).mails.length === 2)
  assert.deepEqual(await show(id), {
    status: 'cancelled',
    mails: ['Thank you, Ada', 'Your order is cancelled: the customer asked'],
  })
})

test('what is rolled back is not published', async () => {
  const { id } = await (await post('/orders', { customer: 'Bob', cents: 1 })).json()
  await post(`/orders/${id}/cancel`)
  assert.equal((await post(`/orders/${id}/cancel`)).status, 409)
  const { rows } = await database.query(`select topic from waybill.messages where key = $1 order by seq`, [id])
  assert.deepEqual(rows, [{ topic: 'order.created' }, { topic: 'order.cancelled' }])
})

test('what is not an order is refused', async () => {
  assert.equal((await post('/orders', { customer: '', cents: 0 })).status, 400)
})

test('the dispatcher is healthy, and has its lane', async () => {
  await waitFor('the lane', async () => (await (await fetch(`${url}/health`)).json()).lanes === 1)
})

test('a SIGTERM ends it in good order', async () => {
  app.kill('SIGTERM')
  const [code, signal] = await once(app, 'exit')
  assert.ok(code === 0 || signal === 'SIGTERM', `it ended with ${code ?? signal}`)
  const { rows } = await database.query(
    'select (select count(*)::int from waybill.workers) as workers, (select count(*)::int from waybill.dispatchers) as dispatchers',
  )
  assert.deepEqual(rows, [{ workers: 0, dispatchers: 0 }])
})
