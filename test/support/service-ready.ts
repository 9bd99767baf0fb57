import type { Service, ServiceState } from '../../scripts/services/types.js'
import { waitFor } from './wait-for.js'

/** Waits until a server of a test's own answers. */
export async function serviceReady(service: Service, state: ServiceState): Promise<void> {
  const answers = (): Promise<boolean> =>
    service.probe(state).then(
      () => true,
      () => false,
    )
  await waitFor(answers, { timeoutMs: 120_000, intervalMs: 200, what: `${service.name} is ready` })
}
