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

/** Runs a module of a page: its imports are looked up in `modules`. Gives what it exports. */
export function runModule(code: string, modules: Readonly<Record<string, object>>): object {
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2023,
      esModuleInterop: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
    },
  })
  const require = (name: string): object => {
    const found = modules[name]
    if (found === undefined) throw new Error(`a page imports ${name}, which its test does not know`)
    return { __esModule: true, ...found }
  }
  const exports = {}
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- our own page
  const run = new Function('require', 'exports', outputText) as (...given: unknown[]) => void
  run(require, exports)
  return exports
}
