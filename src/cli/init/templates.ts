import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import type { App } from './app.js'
import { toCommonJs } from './commonjs.js'
import type { DestinationKind } from './detect.js'
import { stacks, type Stack, type StackName } from './stacks.js'

/** A file to be written: its path from the root of the application, and its text. */
export interface Rendered {
  readonly path: string
  readonly text: string
}

/** Three folders up from here, in the source and in the build alike. */
const directory = new URL('../../../templates/init/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, directory), 'utf8')

/** The file's name depends on who would run into it: a compiler that takes all files of the root along. */
export function renderConfig(app: App, kinds: readonly DestinationKind[]): Rendered {
  const typescript = app.language === 'typescript' && !app.compiler.compilesRootFiles
  return { path: `waybill.config.${typescript ? 'ts' : 'mjs'}`, text: read(`config/${kinds.join('-')}.ts`) }
}

/** Topics, the queue, a first publish, and where the framework is known a route to it. */
export function renderModules(app: App, stack: StackName): Rendered[] {
  const typescript = app.language === 'typescript'
  const known = typescript ? '.ts' : '.js'
  const files: [name: string, template: string][] = [
    ['topics', app.hasZod ? 'topics/zod.ts' : 'topics/names.ts'],
    ['queue', 'queue.ts'],
    ['create-order', `publish/${stack}${known}`],
  ]
  // a controller of NestJS is a matter of decorators, which JavaScript has not
  if (app.framework === 'nestjs' && typescript) files.push(['orders.controller', 'routes/nestjs.ts'])
  else if (app.framework !== 'none' && app.framework !== 'nestjs') {
    files.push(['order-routes', `routes/${app.framework}${known}`])
  }
  return files.map(([name, template]) => ({
    path: `${app.folder}/${name}${known}`,
    text: render(read(template), app, stack),
  }))
}

function render(template: string, app: App, name: StackName): string {
  const stack = ofApp(app, name)
  const { client, type, typeArguments = '', module } = stack
  const filled = template
    .replace('import { $Class }', stack.isInterface ? 'import type { $Class }' : 'import { $Class }')
    .replaceAll('$token', stack.isInterface ? `'${client}'` : type)
    .replaceAll('$module', module)
    .replaceAll('$Class', type)
    .replaceAll('$Type', `${type}${typeArguments}`)
    .replaceAll('$client', client)
    // what the templates of the stacks themselves name
    .replaceAll(stacks[name].module, module)
    .replaceAll(stacks[name].type, type)
  if (app.language === 'javascript') return app.modules === 'commonjs' ? toCommonJs(filled) : filled
  return filled.replaceAll(/from '(\.\/[\w-]+)\.js'/g, `from '$1${app.compiler.extension}'`)
}

/** The stack as this application has it: Drizzle over postgres.js, a client that Prisma generated into the source. */
function ofApp(app: App, name: StackName): Stack {
  const stack = stacks[name]
  if (name === 'drizzle' && app.packages.has('postgres') && !app.packages.has('pg')) {
    return { ...stack, type: 'PostgresJsDatabase', module: 'drizzle-orm/postgres-js' }
  }
  const { client } = app.prisma
  if (name !== 'prisma' || !('file' in client)) return stack
  const extension = app.language === 'typescript' ? app.compiler.extension : '.js'
  const path = posix.relative(app.folder, client.file)
  return { ...stack, module: `${path.startsWith('.') ? path : `./${path}`}${extension}` }
}
