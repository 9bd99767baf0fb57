import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

// compiled, this file lies beside a link to the checkout's `bench` (build.ts)
const linked = fileURLToPath(new URL('../peers/package.json', import.meta.url))
const require = createRequire(existsSync(linked) ? linked : new URL('../package.json', import.meta.url))

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
