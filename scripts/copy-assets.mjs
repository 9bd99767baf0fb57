// Run after tsc: SQL files are read beside the modules that use them, so the build needs them in the same places.
import { cp, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const source = join(root, 'src')
const entries = await readdir(source, { recursive: true, withFileTypes: true })
const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.sql'))
await Promise.all(
  files.map((entry) => {
    const from = join(entry.parentPath, entry.name)
    return cp(from, join(root, 'dist', from.slice(source.length)))
  }),
)
console.log(`copied ${files.length} SQL files to dist`)
