import { loadConfig } from 'waybill/config'
import { createDispatcher } from 'waybill/dispatcher'

const dispatcher = createDispatcher(await loadConfig())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void dispatcher.stop())
await dispatcher.start()
