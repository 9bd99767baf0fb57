import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onFileEnd } from './cleanup.js'

/** One address whose target a test switches, as a failover does: connections to the old target are cut. */
export async function startSwitchProxy(port: number): Promise<{ port: number; switchTo(port: number): void }> {
  let target = port
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    switchTo(next) {
      target = next
      for (const socket of sockets) socket.destroy()
    },
  }
}
