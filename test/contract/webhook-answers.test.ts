import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { tcpServer } from '../support/tcp-server.js'
import { brief, closeAdapters, createWebhook, deliverOne, failureText } from './webhook-fixture.js'

afterEach(closeAdapters)

interface RawServer {
  readonly url: string
  /** Requests, by the number of their connection. */
  readonly requests: number[]
}

/** Answers each whole request with what `answer` writes. `number` counts requests, from 1. */
async function rawServer(answer: (socket: Socket, number: number) => void): Promise<RawServer> {
  const requests: number[] = []
  const url = await tcpServer((socket, index) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (;;) {
        const head = text.indexOf('\r\n\r\n')
        const end = head + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
        if (head < 0 || text.length < end) return
        text = text.slice(end)
        requests.push(index + 1)
        answer(socket, requests.length)
      }
    })
  })
  return { url: `${url}/`, requests }
}

const lines = (text: string): string => text.replaceAll('\n', '\r\n')
const gzipped = gzipSync('{"why":"because"}')

describe('the status line is the answer, whatever the HTTP client makes of the rest', () => {
  test.each([
    ['a head of 20 kB', `HTTP/1.1 200 OK\nX-Big: ${'x'.repeat(20_000)}\nContent-Length: 0\n\n`],
    ['a head of 2 MB', `HTTP/1.1 200 OK\n${'X-Big: x\n'.repeat(250_000)}Content-Length: 0\n\n`],
    ['Content-Length beside chunks', 'HTTP/1.1 200 OK\nContent-Length: 3\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n'],
    ['Content-Length twice', 'HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nokk'],
    ['a negative Content-Length', 'HTTP/1.1 200 OK\nContent-Length: -1\n\n'],
    ['a name that is none', 'HTTP/1.1 200 OK\nBad Name\u0001: x\nContent-Length: 0\n\n'],
    ['100 in front', 'HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    [
      '100, 102 and 103 in front',
      'HTTP/1.1 100 Continue\n\nHTTP/1.1 102 Processing\nA: b\n\nHTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 204 No\n\n',
    ],
    ['HTTP/2.0 in the status line', 'HTTP/2.0 200 OK\nContent-Length: 0\n\n'],
    ['lower case', 'http/1.1 200 OK\nContent-Length: 0\n\n'],
    ['an empty line in front', '\nHTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['two answers at once', 'HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 500 No\nContent-Length: 0\n\n'],
  ])('2xx with %s is delivered, and sent once', async (_, answer) => {
    const server = await rawServer((socket) => socket.write(lines(answer)))
    const adapter = createWebhook({ url: server.url, timeoutMs: 3000 })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(server.requests).toHaveLength(1)
  })

  test.each(['HTTP/1.1 200 OK\nX-Half: ', 'HTTP/1.1 200 OK\n', 'HTTP/1.1 200 '])(
    '2xx that breaks off in its head (%j) is delivered, by a cut and by silence',
    async (answer) => {
      for (const end of ['cut', 'silence']) {
        const server = await rawServer((socket) =>
          end === 'cut' ? socket.end(lines(answer)) : socket.write(lines(answer)),
        )
        const adapter = createWebhook({ url: server.url, timeoutMs: 300 })
        expect(brief(await deliverOne(adapter))).toBe('delivered')
        expect(server.requests).toHaveLength(1)
      }
    },
  )

  test('byte by byte, an answer reads the same', async () => {
    const text = lines('\nHTTP/1.1 100 Continue\n\nHTTP/1.1 201 Made\nContent-Length: 2\n\nok')
    const slowly = async (socket: Socket): Promise<void> => {
      socket.setNoDelay(true)
      for (const byte of text) {
        socket.write(byte)
        await sleep(1)
      }
    }
    const server = await rawServer((socket) => void slowly(socket))
    const outcome = await deliverOne(createWebhook({ url: server.url, timeoutMs: 5000 }))
    expect(outcome).toMatchObject({ kind: 'delivered', receipt: { status: 201 } })
    expect(server.requests).toHaveLength(1)
  })

  test.each([
    [
      '503 with a head of 20 kB',
      `HTTP/1.1 503 No\nX-Big: ${'x'.repeat(20_000)}\nContent-Length: 0\n\n`,
      'pause HTTP_503',
    ],
    ['422 with two lengths', 'HTTP/1.1 422 No\nContent-Length: 2\nContent-Length: 3\n\nokk', 'retry HTTP_422'],
    [
      'an upgrade that nothing asked for',
      'HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\n',
      'retry HTTP_101',
    ],
    ['099', 'HTTP/1.1 099 Low\nContent-Length: 0\n\n', 'retry HTTP_099'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\nContent-Length: 0\n\n', 'retry HTTP_PROTOCOL'],
    ['no status', 'HTTP/1.1 OK\nContent-Length: 0\n\n', 'retry HTTP_PROTOCOL'],
    ['a banner', 'SSH-2.0-OpenSSH_9.2\n', 'pause HTTP_PROTOCOL'],
  ])('%s is what it says, and sent once in the attempt', async (_, answer, expected) => {
    const server = await rawServer((socket) => socket.write(lines(answer)))
    const outcome = await deliverOne(createWebhook({ url: server.url, timeoutMs: 3000 }))
    expect(brief(outcome)).toBe(expected)
    expect(failureText(outcome)).not.toMatch(/assert|expression/i)
    expect(server.requests).toHaveLength(1)
  })

  test('informational answers without end take the time of the request, and no memory', async () => {
    const server = await rawServer((socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(1000)), 1)
      socket.once('close', () => clearInterval(timer))
    })
    expect(brief(await deliverOne(createWebhook({ url: server.url, timeoutMs: 300 })))).toBe('pause TIMEOUT')
  })
})

describe('what is left of an answer', () => {
  /** What the endpoint said of each message, and what was recorded. */
  async function record(server: RawServer, count: number, pauseMs: number): Promise<string[]> {
    const adapter = createWebhook({ url: server.url, concurrency: 1, timeoutMs: 2000 })
    const outcomes: (Outcome | undefined)[] = []
    for (let index = 0; index < count; index++) {
      outcomes.push(await deliverOne(adapter))
      await sleep(pauseMs)
    }
    return outcomes.map(brief)
  }

  test.each([0, 1, 5])('an answer too many is no later message’s (%i ms between them)', async (pauseMs) => {
    const said: string[] = []
    const server = await rawServer((socket, number) => {
      const answer = (status: number) => void socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`)
      said.push(number % 2 === 1 ? 'delivered' : 'retry HTTP_500')
      if (number % 2 === 0) return void setTimeout(answer, 10, 500)
      answer(200)
      setTimeout(answer, 2, 200)
    })
    expect(await record(server, 10, pauseMs)).toEqual(said)
    // once it has sent too much, no connection serves another request
    expect(new Set(server.requests).size).toBe(10)
  })

  test('a body that comes late, or with a 204, is a connection lost: the message goes again on a new one', async () => {
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 204 No Content\r\n\r\n')
      // after the connection's rest: it is in use again by then
      setTimeout(() => socket.write('hello'), 40)
    })
    const outcomes = await record(server, 30, 3)
    expect(outcomes).toEqual(Array.from({ length: 30 }, () => 'delivered'))
  })

  test('without keep-alive each message has a connection of its own, and says so', async () => {
    const receiver = await startHttpReceiver()
    const adapter = createWebhook({ url: receiver.url, keepAlive: false, concurrency: 2 })
    for (let index = 0; index < 5; index++) expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(receiver.received().map(({ headers }) => headers['connection'])).toEqual(
      Array.from({ length: 5 }, () => 'close'),
    )
    const server = await rawServer((socket) => socket.write('HTTP/1.1 204 No Content\r\n\r\n'))
    const other = createWebhook({ url: server.url, keepAlive: false })
    for (let index = 0; index < 5; index++) expect(brief(await deliverOne(other))).toBe('delivered')
    expect(server.requests).toEqual([1, 2, 3, 4, 5])
  })

  test('a 408 before an idle connection is closed is no reason for distrust', async () => {
    const server = await rawServer((socket, number) => {
      socket.write('HTTP/1.1 204 No Content\r\n\r\n')
      if (number === 1) setTimeout(() => socket.end('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n'), 5)
    })
    const adapter = createWebhook({ url: server.url, concurrency: 1 })
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    await sleep(100)
    for (let index = 0; index < 5; index++) expect(brief(await deliverOne(adapter))).toBe('delivered')
    expect(server.requests).toEqual([1, 2, 2, 2, 2, 2])
  })

  test('an endpoint that sends nothing too much keeps its connection', async () => {
    const server = await rawServer((socket) => socket.write('HTTP/1.1 204 No Content\r\n\r\n'))
    expect(await record(server, 20, 1)).toEqual(Array.from({ length: 20 }, () => 'delivered'))
    expect(new Set(server.requests)).toEqual(new Set([1]))
  })
})

test('a connection has a life, also while messages flow and where the server would keep it for longer', async () => {
  const server = await rawServer((socket) =>
    socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=600\r\nContent-Length: 0\r\n\r\n'),
  )
  const adapter = createWebhook({ url: server.url, connectionLifetimeMs: 1000, concurrency: 1 })
  const until = performance.now() + 2500
  while (performance.now() < until) {
    expect(brief(await deliverOne(adapter))).toBe('delivered')
    await sleep(5)
  }
  const connections = new Set(server.requests).size
  expect(connections).toBeGreaterThanOrEqual(3)
  expect(connections).toBeLessThanOrEqual(5)
})

test.each([
  ['gzip', gzipped],
  ['something else', Buffer.from('br-bytes')],
])('a refusal that is encoded (%s) does not leave its bytes in the error', async (encoding, body) => {
  const server = await rawServer((socket) => {
    socket.write(
      `HTTP/1.1 422 No\r\nContent-Type: application/json\r\nContent-Encoding: ${encoding}\r\nContent-Length: ${body.length}\r\n\r\n`,
    )
    socket.write(body)
  })
  const text = failureText(await deliverOne(createWebhook({ url: server.url })))
  expect(text).toBe(`POST ${server.url.slice(0, -1)} answered 422`)
})
