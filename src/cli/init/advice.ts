import type { App } from './app.js'
import { managerCommands } from './package-manager.js'
import type { PlannedFile } from './plan.js'
import { stacks, type StackName } from './stacks.js'

/** What the reader has to know of, beside the files. */
export function remarks(app: App, stack: StackName, files: readonly PlannedFile[]): string[] {
  const said: string[] = []
  if (app.stacks.length === 0) said.push('no data layer was found: the first publish is for pg; --stack names another')
  const { refusesEsModules } = app.compiler
  const config = files.find(({ path }) => path.startsWith('waybill.config.'))
  if (app.language === 'typescript' && refusesEsModules !== undefined) {
    said.push(
      `tsconfig.json has ${refusesEsModules}, with which TypeScript refuses waybill/config, waybill/dispatcher and waybill/jobs, ES modules that Node.js requires: set "module": "nodenext"`,
    )
  }
  if (app.language === 'typescript' && config?.action === 'create' && config.path.endsWith('.mjs')) {
    said.push(
      'the configuration is waybill.config.mjs: your tsconfig.json would compile a waybill.config.ts along, and all output would move to a folder "src"',
    )
  }
  if (stack === 'prisma') {
    said.push(
      app.prisma.namesWaybill
        ? 'take "waybill" out of `schemas` in your Prisma schema: prisma migrate dev would take Waybill\'s tables for its own'
        : 'Waybill\'s tables are in the schema "waybill": leave it out of `schemas` in your Prisma schema, and prisma migrate dev does not see them',
    )
  }
  return said
}

/** What to run next, in this order. */
export function nextSteps(app: App, stack: StackName): string[] {
  const { add, run, execute } = managerCommands[app.packageManager]
  const wanted = ['waybill', ...(app.stacks.length === 0 ? stacks[stack].packages.slice(0, 1) : [])]
  const missing = wanted.filter((name) => !app.packages.has(name))
  return [
    ...(missing.length === 0 ? [] : [`${add} ${missing.join(' ')}`]),
    'set WAYBILL_DATABASE_URL, as in .env.example, to the database that your app writes to',
    `${run} waybill:migrate`,
    `call createOrder of ${app.folder}/create-order with your ${stacks[stack].client}: it gives the id of the message`,
    `${run} waybill:dispatch    # delivers, until Ctrl-C`,
    `${execute} waybill show ID    # where the message went`,
  ]
}
