import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { spawnChild } from '../support/children.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { startHalfOpenProxy } from '../support/half-open-proxy.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { kcatConsume } from '../support/kcat.js'
import { consumeAll, createTestTopic, kafkaClient, withAdmin } from '../support/kafka.js'
import {
  amqpManagementUrl,
  consumeQueue,
  createTestExchange,
  createTestQueue,
  openChannel,
  queueDepth,
} from '../support/rabbitmq.js'
import { eventually, waitFor, patienceMs } from '../support/wait-for.js'

describe.each(['pg18', 'pg15'] as const)('a database on %s', (server) => {
  const database = useDatabase({ server })
  const major = server === 'pg18' ? '18' : '15'

  test('is of the right version, and durable', async () => {
    const { rows } = await database().pool.query<Record<string, string>>(
      `select split_part(current_setting('server_version'), '.', 1) as major, current_database() as name,
              current_setting('fsync') as fsync, current_setting('server_encoding') as encoding`,
    )
    expect(rows).toEqual([{ major, name: database().name, fsync: 'on', encoding: 'UTF8' }])
  })

  test('answers through PgBouncer, each transaction on any connection', async () => {
    const client = new pg.Client({ connectionString: database().pgbouncerUrl })
    await client.connect()
    try {
      const { rows } = await client.query<Record<string, string>>(
        `select split_part(current_setting('server_version'), '.', 1) as major, current_database() as name`,
      )
      expect(rows).toEqual([{ major, name: database().name }])
    } finally {
      await client.end()
    }
  })

  test('is dropped with what would stand in the way', async () => {
    const other = await createTestDatabase({ server })
    await other.pool.query(`select pg_create_logical_replication_slot('${other.name}', 'pgoutput')`)
    await other.pool.query(`create table t (); begin; prepare transaction '${other.name}'`)
    await other.drop()
    const { rowCount } = await database().pool.query('select from pg_database where datname = $1', [other.name])
    expect(rowCount).toBe(0)
  })
})

test('RabbitMQ takes, routes and gives back a message', async () => {
  const queue = await createTestQueue()
  const exchange = await createTestExchange('topic')
  const channel = await openChannel()
  await channel.bindQueue(queue.name, exchange.name, 'order.#')
  channel.publish(exchange.name, 'order.created', Buffer.from([0, 255, 10]), { persistent: true, messageId: 'm-1' })
  await channel.waitForConfirms()
  expect(await queueDepth(queue.name)).toBe(1)
  const [message] = await consumeQueue(queue.name, 1)
  expect(message?.content).toEqual(Buffer.from([0, 255, 10]))
  expect(message?.properties.messageId).toBe('m-1')

  const { origin, username, password } = new URL(amqpManagementUrl())
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const overview = await fetch(`${origin}/api/overview`, { headers: { authorization } })
  expect(overview.status).toBe(200)
})

test('Kafka takes a record, and kcat sees its bytes', async () => {
  const topic = await createTestTopic({ partitions: 3, config: { 'retention.ms': '60000' } })
  const producer = kafkaClient().producer({ allowAutoTopicCreation: false })
  await producer.connect()
  const value = Buffer.from([0, 10, 255, 32])
  const headers = { id: 'a,b=c', empty: '', many: ['1', '2'] }
  await producer.send({ topic: topic.name, acks: -1, messages: [{ key: 'k 1', value, headers, partition: 2 }] })
  await producer.send({ topic: topic.name, acks: -1, messages: [{ key: null, value: null, partition: 1 }] })
  await producer.disconnect()

  const records = await consumeAll(topic.name, 2)
  expect(records.find(({ partition }) => partition === 2)?.message.value).toEqual(value)

  const seen = await kcatConsume(topic.name)
  expect(seen.find(({ partition }) => partition === 1)).toMatchObject({ key: null, payload: null, headers: [] })
  expect(seen.find(({ partition }) => partition === 2)).toMatchObject({
    offset: 0n,
    key: Buffer.from('k 1'),
    payload: value,
    headers: [
      ['id', 'a,b=c'],
      ['empty', ''],
      ['many', '1'],
      ['many', '2'],
    ],
  })
})

test('Kafka makes no topic that nobody declared', async () => {
  const producer = kafkaClient().producer({ retry: { retries: 0 } })
  await producer.connect()
  await expect(producer.send({ topic: 'nobody-declared-me', messages: [{ value: 'x' }] })).rejects.toThrow()
  await producer.disconnect()
  expect(await withAdmin((admin) => admin.listTopics())).not.toContain('nobody-declared-me')
})

describe('the half-open proxy', () => {
  async function echoThroughProxy() {
    const receiver = await startHttpReceiver(({ body }) => ({ body }))
    const proxy = await startHalfOpenProxy({ port: receiver.port })
    const socket = connect(proxy.port, '127.0.0.1')
    const read = { text: '', closed: false }
    socket.on('data', (chunk: Buffer) => (read.text += chunk.toString()))
    socket.on('error', () => undefined)
    socket.on('close', () => (read.closed = true))
    return { receiver, proxy, socket, read }
  }
  const ask = (socket: Socket, body: string) =>
    socket.write(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`)

  test('swallows both ways with all sockets open, then delivers what was held', async () => {
    const { receiver, proxy, socket, read } = await echoThroughProxy()
    ask(socket, 'one')
    await eventually(() => expect(read.text).toContain('one'))
    proxy.swallow()
    ask(socket, 'two')
    await sleep(150)
    expect(receiver.received()).toHaveLength(1)
    expect([read.closed, proxy.connections(), receiver.openConnections()]).toEqual([false, 1, 1])
    proxy.restore()
    await eventually(() => expect(read.text).toContain('two'))
  })

  test('hides even a close, and swallows in one direction alone', async () => {
    const { receiver, proxy, socket, read } = await echoThroughProxy()
    ask(socket, 'one')
    await eventually(() => expect(read.text).toContain('one'))
    proxy.swallow('toClient')
    ask(socket, 'two')
    await receiver.waitForCount(2)
    await receiver.close()
    await sleep(100)
    expect(read.closed).toBe(false)
    expect(read.text).not.toContain('two')
    proxy.restore()
    await waitFor(() => read.closed)
  })

  test('delays, cuts and refuses', async () => {
    const { proxy, socket, read } = await echoThroughProxy()
    proxy.delay(100)
    const asked = performance.now()
    ask(socket, 'slow')
    await eventually(() => expect(read.text).toContain('slow'))
    expect(performance.now() - asked).toBeGreaterThanOrEqual(200)
    proxy.cut()
    await waitFor(() => read.closed)
    proxy.refuse()
    const refused = connect(proxy.port, '127.0.0.1')
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => refused.once('error', resolve))
    expect(error.code).toBe('ECONNRESET')
  })
})

describe('the HTTP receiver', () => {
  const post = (url: string, body: string | Buffer) =>
    fetch(url, { method: 'POST', body, headers: { 'x-test': 'é' }, signal: AbortSignal.timeout(patienceMs) })

  test('records bytes, headers and order, and answers by script', async () => {
    const receiver = await startHttpReceiver(({ index }) => ({
      status: index === 0 ? 503 : 201,
      headers: { 'retry-after': '7' },
      body: `answer ${index}`,
    }))
    const first = await post(`${receiver.url}/hook?a=1`, Buffer.from([0, 255]))
    expect([first.status, first.headers.get('retry-after'), await first.text()]).toEqual([503, '7', 'answer 0'])
    expect((await post(receiver.url, 'two')).status).toBe(201)
    const [one, two] = await receiver.waitForCount(2)
    expect(one).toMatchObject({ index: 0, method: 'POST', url: '/hook?a=1', body: Buffer.from([0, 255]) })
    expect(two?.body.toString()).toBe('two')
    expect(two?.arrivedAt).toBeGreaterThan(one?.arrivedAt ?? Infinity)
  })

  test('hangs, destroys, delays and stops half-way', async () => {
    const receiver = await startHttpReceiver('hang')
    const hanging = new AbortController()
    const unanswered = fetch(receiver.url, { method: 'POST', body: 'x', signal: hanging.signal })
    await receiver.waitForCount(1)
    expect(await Promise.race([unanswered, sleep(200, 'no answer')])).toBe('no answer')
    hanging.abort()
    await expect(unanswered).rejects.toThrow(/abort/)
    receiver.respondWith('destroy')
    await expect(post(receiver.url, 'x')).rejects.toThrow(/fetch failed/)
    receiver.respondWith({ delayMs: 150 })
    const asked = performance.now()
    expect((await post(receiver.url, 'x')).status).toBe(200)
    expect(performance.now() - asked).toBeGreaterThanOrEqual(149)
    receiver.respondWith({ body: 'half', headers: { 'content-length': '8' }, then: 'destroy' })
    const half = await post(receiver.url, 'x')
    await expect(half.text()).rejects.toThrow()
    expect(receiver.received()).toHaveLength(4)
  })

  test('keeps the order of arrival when a body is slow', async () => {
    const receiver = await startHttpReceiver()
    const slow = request(receiver.url, { method: 'POST' })
    slow.write('s')
    await waitFor(() => receiver.openConnections() === 1)
    await sleep(20)
    await post(receiver.url, 'quick')
    slow.end('low')
    const bodies = (await receiver.waitForCount(2)).map(({ body }) => body.toString())
    expect(bodies).toEqual(['slow', 'quick'])
  })
})

test('a child talks in JSON lines, freezes, and is killed', async () => {
  type Message = { kind: 'ready'; pid: number } | { kind: 'echo'; line: unknown }
  const child = spawnChild<Message>(join(import.meta.dirname, '../support/fixtures/echo-child.ts'))
  const ready = await child.waitForMessage(({ kind }) => kind === 'ready')
  expect(ready).toEqual({ kind: 'ready', pid: child.pid })
  child.signal('SIGSTOP')
  child.send({ n: 1 })
  await sleep(100)
  expect(child.messages()).toHaveLength(1)
  child.signal('SIGCONT')
  expect(await child.waitForMessage(({ kind }) => kind === 'echo')).toEqual({ kind: 'echo', line: { n: 1 } })
  expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  await expect(child.waitForMessage(() => false)).rejects.toThrow(/ended with SIGKILL/)
})
