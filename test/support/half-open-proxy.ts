import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onFileEnd } from './cleanup.js'
import { ProxiedConnection, type Direction, type ProxyMode } from './proxied-connection.js'

export { type Direction } from './proxied-connection.js'

export interface HalfOpenProxy {
  readonly host: string
  readonly port: number
  /** The given URL with this proxy in place of its host and port. */
  through(url: string): string
  /** Keeps every socket open and forwards nothing in this direction, not even a close: the network is gone. */
  swallow(direction?: Direction | 'both'): void
  /** Nothing passes through the connections of now any more, not even a close, until `remember`; new ones are welcome. */
  forget(): void
  /** What was forgotten goes on where it was, as after packets that were lost and sent again. */
  remember(): void
  /** Holds back every chunk for so long, in both directions. */
  delay(milliseconds: number): void
  /** Throws away what comes in this direction: a stream with a hole, unlike what `swallow` holds for later. */
  drop(direction?: Direction | 'both'): void
  /** Resets each connection on which a client sends these bytes, in place of them, until `restore`; tells of each. */
  cutWhere(bytes: Buffer, onCut: () => void): void
  /** Forwards again, first what was swallowed, as TCP does when the cable is back. */
  restore(): void
  /** Resets all connections of now; new ones are welcome. */
  cut(): void
  /** Resets new connections at once, until `restore`. */
  refuse(): void
  connections(): number
  close(): Promise<void>
}

/** A TCP proxy whose network can break in the ways that a closed socket never shows; closed when the file ends. */
export async function startHalfOpenProxy(target: {
  readonly host?: string
  readonly port: number
}): Promise<HalfOpenProxy> {
  const open = new Set<ProxiedConnection>()
  const mode = {
    ...{ swallow: new Set<Direction>(), drop: new Set<Direction>(), delayMs: 0, refuse: false },
    cutWhere: undefined as ProxyMode['cutWhere'],
  }

  const server = createServer({ allowHalfOpen: true }, (client: Socket) => {
    if (mode.refuse) {
      client.on('error', () => undefined)
      client.resetAndDestroy()
      return
    }
    const upstream = connect({ host: target.host ?? '127.0.0.1', port: target.port, allowHalfOpen: true })
    const connection = new ProxiedConnection(client, upstream, mode, () => open.delete(connection))
    open.add(connection)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const cut = () => {
    for (const connection of [...open]) connection.reset()
  }
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    cut()
    await closed
  }
  onFileEnd(close)
  return {
    host: '127.0.0.1',
    port,
    through(url) {
      const changed = new URL(url)
      changed.host = `127.0.0.1:${port}`
      return changed.href
    },
    swallow(direction = 'both') {
      for (const each of directions(direction)) mode.swallow.add(each)
    },
    drop(direction = 'both') {
      for (const each of directions(direction)) mode.drop.add(each)
    },
    forget() {
      for (const connection of open) connection.forget()
    },
    remember() {
      for (const connection of open) connection.remember()
    },
    delay(milliseconds) {
      mode.delayMs = milliseconds
    },
    cutWhere(bytes, onCut) {
      mode.cutWhere = { bytes, onCut }
    },
    restore() {
      mode.cutWhere = undefined
      mode.swallow.clear()
      mode.drop.clear()
      mode.delayMs = 0
      mode.refuse = false
      for (const connection of [...open]) connection.flush()
    },
    cut,
    refuse() {
      mode.refuse = true
    },
    connections: () => open.size,
    close,
  }
}

function directions(direction: Direction | 'both'): Direction[] {
  return direction === 'both' ? ['toServer', 'toClient'] : [direction]
}
