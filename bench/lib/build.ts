import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import typescript from 'typescript'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { ModuleKind, ScriptTarget } = typescript

/**
 * Compiles Waybill and the sides into a directory of their own: what is measured is the program as it is shipped, not a
 * loader that compiles while it runs. Gives the directory and how to be rid of it.
 */
export async function buildSides(): Promise<{ directory: string; remove(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'waybill-bench-'))
  for (const folder of ['src', 'bench/lib', 'bench/sides']) {
    const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true })
    for (const entry of entries) {
      const from = join(entry.parentPath, entry.name)
      const to = join(directory, from.slice(root.length))
      if (entry.isDirectory()) await mkdir(to, { recursive: true })
      else if (!entry.isFile()) continue
      else if (entry.name.endsWith('.ts')) await compile(from, to.replace(/\.ts$/, '.js'))
      else if (entry.name.endsWith('.sql')) {
        await mkdir(dirname(to), { recursive: true })
        await cp(from, to)
      }
    }
  }
  for (const link of ['package.json', 'node_modules', 'prisma']) await symlink(join(root, link), join(directory, link))
  // under another name: what the other sides bring must not shadow what Waybill's side imports
  await symlink(join(root, 'bench'), join(directory, 'bench', 'peers'))
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) }
}

async function compile(from: string, to: string): Promise<void> {
  const { outputText } = typescript.transpileModule(await readFile(from, 'utf8'), {
    compilerOptions: { target: ScriptTarget.ES2023, module: ModuleKind.ESNext, verbatimModuleSyntax: true },
    fileName: from,
  })
  await mkdir(dirname(to), { recursive: true })
  await writeFile(to, outputText)
}
