import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import ts from 'typescript'

const root = join(import.meta.dirname, '../..')

/** Blocks of code of a page under docs/, by their language. */
export async function blocksOf(page: string, language: string): Promise<string[]> {
  const text = await readFile(join(root, 'docs', page), 'utf8')
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, of, code]) => (of === language ? [code ?? ''] : []))
}

/** What the compiler says of files that are not on disk: names below docs/ and their code. Empty when all is well. */
export function compileErrors(
  code: Readonly<Record<string, string>>,
  paths: Record<string, string[]>,
  compilerOptions: ts.CompilerOptions = {},
): string {
  const files = new Map(Object.entries(code).map(([name, text]) => [join(root, 'docs', name), text]))
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: { compilerOptions: object }
  }
  const { options: ours } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, paths }, root)
  const options = { ...ours, ...compilerOptions }
  const host = ts.createCompilerHost(options)
  const disk = ts.createCompilerHost(options)
  host.fileExists = (path) => files.has(path) || disk.fileExists(path)
  // a directory that is not there is not looked into
  const directories = new Set([...files.keys()].map(dirname))
  host.directoryExists = (path) => directories.has(path) || (disk.directoryExists?.(path) ?? true)
  host.readFile = (path) => files.get(path) ?? disk.readFile(path)
  host.getSourceFile = (path, target) => {
    const text = files.get(path)
    return text === undefined ? disk.getSourceFile(path, target) : ts.createSourceFile(path, text, target)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  const errors = ts.getPreEmitDiagnostics(program).filter(({ file }) => file === undefined || files.has(file.fileName))
  return ts.formatDiagnostics(errors, { ...host, getNewLine: () => '\n' })
}

/** What a page's modules import, by name. */
export type PageModules = Readonly<Record<string, object>>

/** Runs a module of a page: its imports are looked up in `modules`. Gives what it exports. */
export function runModule(code: string, modules: PageModules): object {
  const exports = {}
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- our own page
  const run = new Function('require', 'exports', compiled(code)) as (...given: unknown[]) => void
  run(requireFrom(modules), exports)
  return exports
}

/** The same for a module that awaits at its top. */
export async function runAsyncModule(code: string, modules: PageModules): Promise<object> {
  const exports = {}
  await asyncFunction(['require', 'exports'], compiled(code))(requireFrom(modules), exports)
  return exports
}

/** The value of an expression that a page shows; `scope` has its variables. */
export async function valueOf(expression: string, scope: Readonly<Record<string, unknown>>): Promise<unknown> {
  // in an array: some of these values are thenable
  const [value] = (await asyncFunction(
    Object.keys(scope),
    `return [${expression}]`,
  )(...Object.values(scope))) as unknown[]
  return value
}

function asyncFunction(names: readonly string[], body: string): (...given: unknown[]) => Promise<unknown> {
  const AsyncFunction = (async () => undefined).constructor as FunctionConstructor
  return new AsyncFunction(...names, body) as (...given: unknown[]) => Promise<unknown>
}

function compiled(code: string): string {
  return ts.transpileModule(code, {
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2023,
      esModuleInterop: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
    },
  }).outputText
}

function requireFrom(modules: PageModules): (name: string) => object {
  return (name) => {
    const found = modules[name]
    if (found === undefined) throw new Error(`a page imports ${name}, which its test does not know`)
    return { __esModule: true, ...found }
  }
}
