import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

export type PackageManager = 'npm' | 'pnpm' | 'yarn' | 'bun'

const lockFiles: readonly (readonly [file: string, manager: PackageManager])[] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
  ['npm-shrinkwrap.json', 'npm'],
]

/** By the field `packageManager`, else by the nearest lock file, which a package of a workspace has above it. */
export function packageManagerOf(root: string, field: unknown): PackageManager {
  const named = typeof field === 'string' ? /^(npm|pnpm|yarn|bun)@/.exec(field)?.[1] : undefined
  if (named !== undefined) return named as PackageManager
  for (let folder = root; ; folder = dirname(folder)) {
    const found = lockFiles.find(([file]) => existsSync(join(folder, file)))
    if (found) return found[1]
    if (folder === dirname(folder)) return 'npm'
  }
}

/** How each is told to install, to run a script of package.json, and to run the program of a package. */
export const managerCommands: Readonly<
  Record<PackageManager, { readonly add: string; readonly run: string; readonly execute: string }>
> = {
  npm: { add: 'npm install', run: 'npm run', execute: 'npx' },
  pnpm: { add: 'pnpm add', run: 'pnpm run', execute: 'pnpm exec' },
  yarn: { add: 'yarn add', run: 'yarn run', execute: 'yarn' },
  bun: { add: 'bun add', run: 'bun run', execute: 'bunx' },
}
