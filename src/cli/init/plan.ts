import { configFileNames } from '../../config/file-names.js'
import type { App } from './app.js'
import type { AppFolder } from './app-folder.js'
import type { DestinationKind } from './detect.js'
import { withVariables } from './env-example.js'
import { isObject, parseObject, withMembers } from './json-text.js'
import { refuse } from './refusal.js'
import type { StackName } from './stacks.js'
import { renderConfig, renderModules, type Rendered } from './templates.js'

/** What becomes of one file. Paths are from the root of the application, with `/`. */
export type PlannedFile =
  | { readonly path: string; readonly action: 'create'; readonly before: null; readonly after: string }
  | { readonly path: string; readonly action: 'edit'; readonly before: string; readonly after: string }
  | { readonly path: string; readonly action: 'skip'; readonly reason: string }

const scripts = { 'waybill:migrate': 'waybill migrate', 'waybill:dispatch': 'waybill dispatch' } as const

/** What is to be written, file by file. Nothing that is there is overwritten; package.json and .env.example are added to. */
export async function planFiles(
  folder: AppFolder,
  app: App,
  { stack, destinations }: { readonly stack: StackName; readonly destinations: readonly DestinationKind[] },
): Promise<PlannedFile[]> {
  const config = await planConfig(folder, renderConfig(app, destinations))
  const modules = []
  for (const file of renderModules(app, stack)) modules.push(await planNew(folder, file))
  const ownConfig = config.action === 'skip' && config.reason !== same
  return [config, ...modules, await planScripts(folder), await planEnvExample(folder, ownConfig ? [] : destinations)]
}

const same = 'is there already'

async function planConfig(folder: AppFolder, file: Rendered): Promise<PlannedFile> {
  for (const name of configFileNames) {
    const present = await folder.read(name)
    if (present !== null) return skip(name, present.text, file.text)
  }
  return planNew(folder, file)
}

async function planNew(folder: AppFolder, { path, text }: Rendered): Promise<PlannedFile> {
  const present = await folder.read(path)
  return present === null ? { path, action: 'create', before: null, after: text } : skip(path, present.text, text)
}

function skip(path: string, present: string, wanted: string): PlannedFile {
  return {
    path,
    action: 'skip',
    reason: present === wanted ? same : 'is there already, with a text of your own: it is kept',
  }
}

async function planScripts(folder: AppFolder): Promise<PlannedFile> {
  const path = 'package.json'
  const before = (await folder.read(path))?.text ?? ''
  const present = parseObject(path, before, { comments: false })['scripts'] ?? {}
  if (!isObject(present)) throw refuse(`${path}, scripts`, 'must be an object of names and commands; correct it')
  const missing = Object.entries(scripts).filter(([name]) => !(name in present))
  const kept = Object.entries(scripts).filter(([name, command]) => name in present && present[name] !== command)
  if (missing.length === 0) {
    const reason =
      kept.length === 0 ? 'has the scripts already' : `keeps its own ${kept.map(([name]) => name).join(', ')}`
    return { path, action: 'skip', reason }
  }
  const members = missing.map(([name, command]) => [['scripts', name], command] as const)
  return {
    path,
    action: 'edit',
    before,
    after: withMembers(
      before,
      members.map(([keys, value]) => [[...keys], value]),
    ),
  }
}

async function planEnvExample(folder: AppFolder, kinds: readonly DestinationKind[]): Promise<PlannedFile> {
  const path = '.env.example'
  const present = await folder.read(path)
  const after = withVariables(present?.text ?? '', kinds)
  if (present === null) return { path, action: 'create', before: null, after }
  if (present.text === after) return { path, action: 'skip', reason: 'has the variables already' }
  return { path, action: 'edit', before: present.text, after }
}
