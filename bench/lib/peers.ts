import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(new URL('../package.json', import.meta.url))

/**
 * A package of `bench/package.json`. Its types are given by who asks, so that the checkout type-checks without the other
 * sides installed.
 */
export async function peer<Shape>(name: string): Promise<Shape> {
  const module = (await import(pathToFileURL(require.resolve(name)).href)) as { default?: object }
  return { ...module.default, ...module } as Shape
}

export function peerVersion(name: string): string {
  try {
    return (require(`${name}/package.json`) as { version: string }).version
  } catch {
    return 'version unknown'
  }
}
