import type { DiscoveryService, MetadataScanner } from '@nestjs/core'
import type { JobHandler } from '../jobs/types.js'
import { subscriptionsOf, type Subscription } from './on-message.js'

/** A method with `@OnMessage` on a provider or a controller of the application. */
export interface FoundHandler extends Subscription {
  /** For messages: `Mailer.send (MailModule)`. */
  readonly place: string
  readonly run: JobHandler
  /** Not one instance for the whole life of the application. */
  readonly scoped: boolean
}

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number]
type Methods = Readonly<Record<string, JobHandler>>

/** All of them, once for each instance that is there. */
export function findHandlers(discovery: DiscoveryService, scanner: MetadataScanner): FoundHandler[] {
  const seen = new Set<unknown>()
  return [...discovery.getProviders(), ...discovery.getControllers()].flatMap((wrapper) => {
    const instance: unknown = wrapper.instance
    if (typeof instance !== 'object' || instance === null || seen.has(instance)) return []
    seen.add(instance)
    const prototype = Object.getPrototypeOf(instance) as object | null
    if (prototype === null) return []
    return scanner.getAllMethodNames(prototype).flatMap((method) =>
      subscriptionsOf(prototype, method).map((subscription) => ({
        ...subscription,
        place: placeOf(wrapper, prototype, method),
        // looked up at each call: a test may have put a spy there
        run: (job, context) => (instance as Methods)[method]?.(job, context),
        scoped: wrapper.isTransient || !wrapper.isDependencyTreeStatic(),
      })),
    )
  })
}

function placeOf(wrapper: Wrapper, prototype: object, method: string): string {
  const host = wrapper.host?.name
  return `${prototype.constructor.name}.${method}${host === undefined ? '' : ` (${host})`}`
}
