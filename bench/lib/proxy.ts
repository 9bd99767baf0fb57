import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface CountingProxy {
  /** The database's URL, through the proxy. */
  readonly url: string
  /** Statements since the last call. */
  take(): string[]
  close(): Promise<void>
}

/**
 * Stands between a program and PostgreSQL and notes every statement: each simple query's parts, and each execution of the
 * extended protocol (protocol, 55.7). Nothing has to be set on the server.
 */
export async function countingProxy(url: string): Promise<CountingProxy> {
  const target = new URL(url)
  const statements: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    const read = frontendReader((text) => statements.push(text))
    client.on('data', (chunk) => {
      read(chunk)
      upstream.write(chunk)
    })
    upstream.pipe(client)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as AddressInfo).port)
  return {
    url: through.href,
    take: () => statements.splice(0),
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function frontendReader(statement: (text: string) => void): (chunk: Buffer) => void {
  let buffer = Buffer.alloc(0)
  let started = false
  let parsed = ''
  return (chunk) => {
    buffer = Buffer.concat([buffer, chunk])
    for (;;) {
      const head = started ? 1 : 0
      if (buffer.length < head + 4) return
      const length = head + buffer.readInt32BE(head)
      if (buffer.length < length) return
      const type = started ? String.fromCharCode(buffer[0] as number) : ''
      const body = buffer.subarray(head + 4, length)
      buffer = buffer.subarray(length)
      if (!started) started = true
      else if (type === 'Q') for (const part of parts(body.toString('utf8', 0, body.length - 1))) statement(part)
      else if (type === 'P') parsed = body.toString('utf8', body.indexOf(0) + 1, body.indexOf(0, body.indexOf(0) + 1))
      else if (type === 'E') statement(parsed)
    }
  }
}

function parts(sql: string): string[] {
  return sql
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
