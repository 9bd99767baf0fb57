import type { Socket } from 'node:net'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import { startHalfOpenProxy } from '../support/half-open-proxy.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { tcpServer } from '../support/tcp-server.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText, outbound } from './webhook-fixture.js'

afterEach(closeAdapters)

const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

describe('an endpoint that is down', () => {
  test('refuses connections: pause, and it works again once it is back', async () => {
    const receiver = await startHttpReceiver()
    const { port, url } = receiver
    await receiver.close()
    const adapter = createWebhook({ url })
    expect(brief(await deliverOne(adapter))).toBe('pause CONNECTION_REFUSED')
    const back = await startHttpReceiver({}, { port })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(back.received()).toHaveLength(1)
  })

  test('has a name that does not resolve: pause', async () => {
    const adapter = createWebhook({ url: 'https://no-such-host.invalid/' })
    expect(brief(await deliverOne(adapter))).toBe('pause DNS_FAILED')
  })

  test('never answers: pause when the time is up', async () => {
    let closed = false
    const url = await tcpServer((socket) => socket.resume().once('close', () => (closed = true)))
    // undici's own time is 300 s
    const adapter = createWebhook({ url, timeoutMs: 200 })
    const from = performance.now()
    const outcome = await deliverOne(adapter)
    expect(brief(outcome)).toBe('pause TIMEOUT')
    expect(failureText(outcome)).toContain('200 ms')
    expect(performance.now() - from).toBeLessThan(60_000)
    await waitFor(() => closed, { what: 'the connection to be closed' })
  })

  test.each(['http:', 'https:'])(
    'resets %s connections while they are made: pause, and nothing is thrown',
    async (scheme) => {
      const url = (await tcpServer((socket) => socket.resetAndDestroy())).replace('http:', scheme)
      const adapter = createWebhook({ url, timeoutMs: 2000, concurrency: 8 })
      for (let round = 0; round < 5; round++) {
        const outcomes = await Promise.all(Array.from({ length: 16 }, () => deliverOne(adapter)))
        expect(new Set(outcomes.map(brief))).toEqual(new Set(['pause CONNECTION_RESET']))
      }
    },
  )

  test('takes the connection and never shakes hands: pause when the time is up', async () => {
    const url = (await tcpServer((socket) => socket.resume())).replace('http:', 'https:')
    expect(brief(await deliverOne(createWebhook({ url, timeoutMs: 200 })))).toBe('pause CONNECT_TIMEOUT')
  })

  test('is cut off by a network that says nothing: pause, and it works again once it is back', async () => {
    const receiver = await startHttpReceiver()
    const proxy = await startHalfOpenProxy({ port: receiver.port })
    const adapter = createWebhook({ url: proxy.through(receiver.url), timeoutMs: 300, concurrency: 1 })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    proxy.swallow()
    expect(brief(await deliverOne(adapter))).toBe('pause TIMEOUT')
    proxy.restore()
    await eventually(async () => expect(brief(await deliverOne(adapter))).toBe('delivered'))
  })

  test('speaks something else than HTTP: pause', async () => {
    const url = await tcpServer((socket) => socket.once('data', () => socket.end('220 mail.example ESMTP\r\n')))
    expect(brief(await deliverOne(createWebhook({ url })))).toBe('pause HTTP_PROTOCOL')
  })

  test('cuts every connection before it answers: two tries in one attempt, then pause', async () => {
    const receiver = await startHttpReceiver('destroy')
    const message = outbound()
    expect(brief(await deliverOne(createWebhook({ url: receiver.url }), message))).toBe('pause CONNECTION_RESET')
    expect(receiver.received().map((request) => request.headers['webhook-id'])).toEqual([message.id, message.id])
  })
})

describe('keep-alive', () => {
  test('one connection serves many messages', async () => {
    const receiver = await startHttpReceiver()
    const adapter = createWebhook({ url: receiver.url, concurrency: 1 })
    for (let n = 0; n < 5; n++) expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(receiver.openConnections()).toBe(1)
  })

  test.each([
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
    ['closes', (socket: Socket) => socket.end()],
  ])('a server that %s an idle connection just as it is used again costs no attempt', async (_, finish) => {
    let requests = 0
    const url = await tcpServer((socket, index) => {
      let served = 0
      socket.on('data', () => {
        requests += 1
        served += 1
        // the first connection serves one request, and is gone as the second one comes in
        if (index === 0 && served === 2) finish(socket)
        else socket.write(ok)
      })
    })
    const adapter = createWebhook({ url, concurrency: 1 })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(requests).toBe(3)
  })
})

describe('an answer that does not end', () => {
  test('2xx counts when its head is there, however its body goes on', async () => {
    const receiver = await startHttpReceiver({ status: 200, body: 'some', then: 'destroy' })
    expect(brief(await deliverOne(createWebhook({ url: receiver.url })))).toBe('delivered')
  })

  test('2xx settles before its body has come', async () => {
    const sockets: Socket[] = []
    const url = await tcpServer((socket) => {
      sockets.push(socket)
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome'))
    })
    const from = performance.now()
    // the rest comes when it has settled: who waits for it waits until the time is up
    await createWebhook({ url, timeoutMs: 20_000 }).deliver([outbound()], {
      signal: new AbortController().signal,
      settle: () => sockets.forEach((socket) => socket.write('thing')),
    })
    expect(performance.now() - from).toBeLessThan(19_000)
  })

  test('2xx whose body never ends: the call ends when the time is up', async () => {
    let closed = false
    const url = await tcpServer((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome'))
      socket.once('close', () => (closed = true))
    })
    const from = performance.now()
    expect(brief(await deliverOne(createWebhook({ url, timeoutMs: 400 })))).toBe('delivered')
    expect(performance.now() - from).toBeGreaterThan(350)
    await waitFor(() => closed, { what: 'the connection to be closed' })
  })

  test('any other status counts too, with what there was of the text', async () => {
    const headers = { 'content-type': 'text/plain', 'content-length': '1000' }
    const receiver = await startHttpReceiver({ status: 400, headers, body: 'bad amount', then: 'destroy' })
    const adapter = createWebhook({ url: receiver.url, timeoutMs: 300 })
    const cut = await deliverOne(adapter)
    expect([brief(cut), failureText(cut)]).toEqual(['retry HTTP_400', expect.stringContaining('bad amount')])
    receiver.respondWith({ status: 503, headers, body: 'later', then: 'hang' })
    const slow = await deliverOne(adapter)
    expect([brief(slow), failureText(slow)]).toEqual(['pause HTTP_503', expect.stringContaining('later')])
  })

  test('is not read beyond 64 KiB', async () => {
    let sent = 0
    let closed = false
    const url = await tcpServer((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n')
        const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
        const pump = (): void => {
          while (!closed && socket.write(chunk)) sent += 0x4000
          if (!closed) socket.once('drain', pump)
        }
        socket.once('close', () => (closed = true))
        pump()
      })
    })
    const from = performance.now()
    expect(brief(await deliverOne(createWebhook({ url, timeoutMs: 20_000 })))).toBe('retry HTTP_500')
    expect(performance.now() - from).toBeLessThan(10_000)
    await waitFor(() => closed, { what: 'the connection to be closed' })
    expect(sent).toBeLessThan(50_000_000)
  })
})

describe('stopping', () => {
  test('an abort ends what is under way, unsettled, and closes its connection', async () => {
    const receiver = await startHttpReceiver('hang')
    const adapter = createWebhook({ url: receiver.url })
    const stop = new AbortController()
    const delivering = [1, 2, 3].map(() => deliverOne(adapter, outbound(), stop.signal))
    await receiver.waitForCount(3)
    stop.abort()
    expect(await Promise.all(delivering)).toEqual([undefined, undefined, undefined])
    await waitFor(() => receiver.openConnections() === 0, { what: 'the connections to be closed' })
    receiver.respondWith({})
    expect(brief(await deliverOne(adapter))).toBe('delivered')
  })

  test('an aborted signal starts nothing', async () => {
    const receiver = await startHttpReceiver()
    expect(await deliverOne(createWebhook({ url: receiver.url }), outbound(), AbortSignal.abort())).toBeUndefined()
    expect(receiver.received()).toHaveLength(0)
  })

  test('close waits for what is under way, then refuses and holds no connection', async () => {
    const receiver = await startHttpReceiver('hang')
    let answer: (() => void) | undefined
    receiver.respondWith(() => new Promise((resolve) => (answer = () => resolve({ status: 200 }))))
    const adapter = createWebhook({ url: receiver.url })
    const delivering = deliverOne(adapter)
    await receiver.waitForCount(1)
    let closed = false
    const closing = Promise.all([adapter.close(), adapter.close()]).then(() => (closed = true))
    await expect(deliverOne(adapter)).rejects.toMatchObject({ code: 'WAYBILL_ADAPTER_CLOSED' })
    expect(closed).toBe(false)
    answer?.()
    expect(brief(await delivering)).toBe('delivered')
    await closing
    await waitFor(() => receiver.openConnections() === 0, { what: 'the connections to be closed' })
  })
})

describe('how much at once', () => {
  test('never more than `concurrency` requests, and each is settled as it is answered', async () => {
    let underWay = 0
    let most = 0
    const receiver = await startHttpReceiver(async () => {
      most = Math.max(most, ++underWay)
      await new Promise((resolve) => setTimeout(resolve, 20))
      underWay -= 1
      return { status: 200 }
    })
    const adapter = createWebhook({ url: receiver.url, concurrency: 3 })
    const outcomes: (Outcome | undefined)[] = []
    const batch = Array.from({ length: 12 }, () => outbound())
    await adapter.deliver(batch, {
      signal: new AbortController().signal,
      settle: (index, outcome) => (outcomes[index] = outcome),
    })
    expect(outcomes.map(brief)).toEqual(batch.map(() => 'delivered'))
    expect(most).toBe(3)
  })

  test('a rate limit spaces requests out', async () => {
    const receiver = await startHttpReceiver()
    const adapter = createWebhook({ url: receiver.url, rateLimit: { perSecond: 20 } })
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => deliverOne(adapter)))
    expect(outcomes.map(brief)).toEqual(Array.from({ length: 6 }, () => 'delivered'))
    const at = receiver.received().map((request) => request.arrivedAt)
    // six at 20 a second: the last one 250 ms after the first, less what timers and the network blur
    expect((at.at(-1) ?? 0) - (at[0] ?? 0)).toBeGreaterThan(200)
  })

  test('many messages with one signal leave no listeners behind', async () => {
    const receiver = await startHttpReceiver()
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => void warnings.push(warning)
    process.on('warning', onWarning)
    onTestFinished(() => void process.off('warning', onWarning))
    const adapter = createWebhook({ url: receiver.url, concurrency: 32 })
    const { signal } = new AbortController()
    await Promise.all(Array.from({ length: 100 }, () => deliverOne(adapter, outbound(), signal)))
    await new Promise((resolve) => setImmediate(resolve))
    expect(warnings).toEqual([])
  })
})
