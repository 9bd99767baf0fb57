import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onFileEnd } from './cleanup.js'

export interface SwitchProxy {
  readonly port: number
  /** New connections go there. Those that are open are cut, but for a share of them, `keep`: none by default. */
  switchTo(port: number, keep?: number): void
}

/** One address whose target a test switches, as a failover does: connections to the old target are cut. */
export async function startSwitchProxy(port: number): Promise<SwitchProxy> {
  let target = port
  const open = new Map<Socket, Socket>()
  const cut = (near: Socket): void => {
    open.get(near)?.destroy()
    near.destroy()
    open.delete(near)
  }
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
    open.set(near, far)
    for (const socket of [near, far]) {
      socket.on('error', () => undefined)
      socket.on('close', () => cut(near))
    }
    near.on('close', () => far.destroy())
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(() => {
    for (const near of [...open.keys()]) cut(near)
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    switchTo(next, keep = 0) {
      target = next
      const all = [...open.keys()]
      for (const near of all.slice(Math.floor(keep * all.length))) cut(near)
    },
  }
}
