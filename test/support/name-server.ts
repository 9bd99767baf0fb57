import { createSocket } from 'node:dgram'
import { once } from 'node:events'

/** What a name server says of a name: addresses, that it has none, an error code (2: SERVFAIL), or nothing at all. */
export type NameRecord = readonly string[] | 'none' | 'silent' | number

export interface NameServer {
  /** `127.0.0.1:port`, for `dns.setServers`. */
  readonly address: string
  /** Questions, in order: `name A`, `name AAAA`. */
  readonly asked: string[]
  /** Of a name; names that are not set do not exist. */
  set(name: string, record: NameRecord, ttlSeconds?: number): void
  /** Says nothing to questions of this type, until another is set. */
  silentFor(type: 'A' | 'AAAA' | undefined): void
  close(): void
}

const noSuchName = 3

/** A name server on loopback, over UDP (RFC 1035, 4). */
export async function startNameServer(): Promise<NameServer> {
  const records = new Map<string, { record: NameRecord; ttl: number }>()
  const asked: string[] = []
  let silentType: string | undefined
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    const { name, type, end } = readQuestion(query)
    const typeName = type === 28 ? 'AAAA' : 'A'
    asked.push(`${name} ${typeName}`)
    const { record, ttl } = records.get(name) ?? { record: noSuchName, ttl: 0 }
    if (record === 'silent' || typeName === silentType) return
    const isIpv6 = (address: string): boolean => address.includes(':')
    const addresses = typeof record === 'object' ? record.filter((one) => isIpv6(one) === (type === 28)) : []
    const head = Buffer.alloc(12)
    query.copy(head, 0, 0, 2)
    head.writeUInt16BE(0x8180 | (typeof record === 'number' ? record : 0), 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(addresses.length, 6)
    const answers = addresses.map((address) => answer(address, type, ttl))
    socket.send(Buffer.concat([head, query.subarray(12, end), ...answers]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    set: (name, record, ttlSeconds = 60) => void records.set(name, { record, ttl: ttlSeconds }),
    silentFor(type) {
      silentType = type
    },
    close: () => void socket.close(),
  }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function answer(address: string, type: number, ttl: number): Buffer {
  const data = type === 28 ? ipv6Bytes(address) : Buffer.from(address.split('.').map(Number))
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0) // the question's name
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function ipv6Bytes(address: string): Buffer {
  const [left = '', right] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const words = (part: string): number[] => (part ? part.split(':').map((word) => Number.parseInt(word, 16)) : [])
  const head = words(left)
  const tail = words(right ?? '')
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 255]))
}
