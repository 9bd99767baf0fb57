import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { isObject } from './json-text.js'

/** What an application's Prisma schema says. */
export interface PrismaFacts {
  /** Where the generated client is: a folder or module from the root of the application, or a package. */
  readonly client: { readonly file: string } | { readonly package: string }
  /** Its datasource names Waybill's schema: `prisma migrate dev` would take Waybill's tables for its own. */
  readonly namesWaybill: boolean
}

export function prismaFacts(root: string, packageJson: Readonly<Record<string, unknown>>): PrismaFacts {
  const file = schemaFile(root, packageJson)
  const text = file === undefined ? '' : schemaText(file)
  const generator = /^\s*generator\s+\w+\s*\{([^}]*)\}/m.exec(text)?.[1] ?? ''
  const setting = (name: string): string | undefined =>
    new RegExp(`^\\s*${name}\\s*=\\s*"([^"]*)"`, 'm').exec(generator)?.[1]
  const output = setting('output')
  const namesWaybill = /^\s*schemas\s*=\s*\[[^\]]*"waybill"/m.test(text)
  if (file === undefined || output === undefined) return { client: { package: '@prisma/client' }, namesWaybill }
  const base = statSync(file).isDirectory() ? file : dirname(file)
  const folder = relative(root, resolve(base, output)).split(sep).join('/')
  // the older generator makes a package of its output, the newer one a module "client" in it
  return {
    client: { file: setting('provider') === 'prisma-client' ? `${folder}/client` : `${folder}/index` },
    namesWaybill,
  }
}

function schemaFile(root: string, packageJson: Readonly<Record<string, unknown>>): string | undefined {
  const settings = packageJson['prisma']
  const named = isObject(settings) && typeof settings['schema'] === 'string' ? [settings['schema']] : []
  const usual = ['prisma/schema.prisma', 'schema.prisma', 'prisma/schema']
  return [...named, ...usual].map((name) => join(root, name)).find((path) => existsSync(path))
}

/** A schema may be spread over the files of a folder. */
function schemaText(path: string): string {
  if (!statSync(path).isDirectory()) return readFileSync(path, 'utf8')
  const names = readdirSync(path).filter((name) => name.endsWith('.prisma'))
  return names.map((name) => readFileSync(join(path, name), 'utf8')).join('\n')
}
