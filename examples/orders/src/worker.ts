import { createWorker, type Job } from 'waybill/jobs'
import { databaseUrl, prisma } from './database.js'

const worker = createWorker({
  connectionString: databaseUrl,
  listenUrl: databaseUrl,
  queues: { mail: { concurrency: 5 } },
  handlers: { 'order.created': sendMail, 'payment.*': sendMail },
})
await worker.start()

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void worker.stop({ drainMs: 5_000 }).then(() => prisma.$disconnect()))
}

/** Jobs run at least once: the mail's row, by the message's id, is what a second run would find. */
async function sendMail({ messageId, name, args }: Job): Promise<void> {
  const { orderId, version } = args as { orderId: string; version: number }
  await prisma.mail.upsert({
    where: { messageId },
    create: { messageId, topic: name, orderId, version },
    update: { runs: { increment: 1 } },
  })
}
