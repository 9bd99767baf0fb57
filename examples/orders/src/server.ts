import { createServer, type IncomingMessage } from 'node:http'
import { ZodError } from 'zod'
import { prisma } from './database.js'
import { cancelOrder, createOrder, payOrder, queue, refundOrder, Refused, shipOrder, showOrder } from './orders.js'

type Controller = (id: string, body: unknown) => Promise<unknown>

const uuid = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'
const routes: readonly (readonly [method: string, path: RegExp, controller: Controller, status: number])[] = [
  ['POST', /^\/orders$/, createOrder, 201],
  ['GET', new RegExp(`^/orders/${uuid}$`), showOrder, 200],
  ['POST', new RegExp(`^/orders/${uuid}/pay$`), payOrder, 200],
  ['POST', new RegExp(`^/orders/${uuid}/ship$`), shipOrder, 200],
  ['POST', new RegExp(`^/orders/${uuid}/cancel$`), cancelOrder, 200],
  ['POST', new RegExp(`^/orders/${uuid}/refund$`), refundOrder, 200],
  ['GET', /^\/health$/, async () => ({ ok: true }), 200],
]

const server = createServer((request, response) => {
  void answer(request).then(({ status, body }) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
})
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => console.log('listening', server.address()))

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())

async function answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
  try {
    for (const [method, pattern, controller, status] of routes) {
      const match = method === request.method ? pattern.exec(path) : null
      if (match) return { status, body: await controller(match[1] ?? '', await readJson(request)) }
    }
    throw new Refused(404, `nothing at ${request.method} ${path}`)
  } catch (error) {
    if (error instanceof Refused) return { status: error.status, body: { error: error.message } }
    if (error instanceof ZodError) return { status: 400, body: { error: 'invalid', issues: error.issues } }
    console.error(error)
    return { status: 500, body: { error: 'internal error' } }
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  try {
    return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new Refused(400, 'the body is not JSON')
  }
}

async function stop(): Promise<void> {
  await new Promise((resolve) => {
    server.close(resolve)
    server.closeIdleConnections()
  })
  await queue.close()
  await prisma.$disconnect()
}
