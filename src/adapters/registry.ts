import { WaybillError } from '../core/errors.js'
import type { AdapterFactory } from './contract.js'

/** Kinds of destination by name. A list in `src/adapters/default-registry.ts` fills it; users may add their own. */
export class AdapterRegistry {
  readonly #factories = new Map<string, AdapterFactory<never>>()

  register<Settings>(factory: AdapterFactory<Settings>): this {
    this.#factories.set(factory.kind, factory)
    return this
  }

  get(kind: string): AdapterFactory {
    const factory = this.#factories.get(kind)
    if (!factory) {
      const known = [...this.#factories.keys()].sort().join(', ')
      throw new WaybillError(
        'WAYBILL_UNKNOWN_ADAPTER',
        `no adapter of kind ${JSON.stringify(kind)}; known kinds: ${known}`,
      )
    }
    return factory
  }

  kinds(): string[] {
    return [...this.#factories.keys()]
  }
}
