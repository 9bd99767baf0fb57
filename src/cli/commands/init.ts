import { resolve } from 'node:path'
import type { App } from '../init/app.js'
import { destinationKinds } from '../init/detect.js'
import type { PlannedFile } from '../init/plan.js'
import { stackNames, type StackName } from '../init/stacks.js'
import { type CommandContext, defineCommand, type ExitCode, option, usageError } from '../command.js'
import { printable } from '../output.js'

/** `waybill init`: writes what a first publish needs into an application. */
export const register = defineCommand({
  name: 'init',
  summary: 'Write into your app what a first publish needs, after showing it',
  description: [
    'Looks at package.json and what lies beside it, shows a diff of everything that it would write, and asks. A file that',
    'is there is never overwritten; package.json gets two scripts and .env.example the variables that it lacks. Without',
    'a terminal it writes with --yes only, and exits with 1 else. Connects to nothing, and reads no configuration.',
  ].join('\n'),
  options: {
    dir: option.text({ summary: 'folder of the app (default: the current one)', value: 'folder' }),
    stack: option.choice(stackNames, { summary: 'data layer that publishes, where it is not the one found' }),
    destination: option.choice(destinationKinds, { summary: 'kind of destination, in place of what was found' }),
    dryRun: option.flag({ summary: 'only show what would be written' }),
    yes: option.flag({ summary: 'write without asking' }),
  },
  async run(ctx, _args, options): Promise<ExitCode> {
    const [{ AppFolder }, { inspectApp }, { planFiles }, { nextSteps, remarks }, { diffOf }, { writeFiles }, asking] =
      await Promise.all([
        import('../init/app-folder.js'),
        import('../init/app.js'),
        import('../init/plan.js'),
        import('../init/advice.js'),
        import('../init/diff-text.js'),
        import('../init/write.js'),
        import('../ask.js'),
      ])
    const { io, out } = ctx
    const folder = await AppFolder.open(resolve(io.cwd, options.dir ?? '.'))
    const app = await inspectApp(folder)
    const terminal = asking.isTerminal(io) && !out.json
    const stack = options.stack ?? (await chooseStack(ctx, app, terminal))
    const destinations = options.destination ? [options.destination] : app.destinations
    const files = await planFiles(folder, app, { stack, destinations })
    const changes = files.filter(({ action }) => action !== 'skip')
    const notes = remarks(app, stack, files)
    const next = nextSteps(app, stack)

    for (const file of files) out.note(textOf(file, diffOf(file)))
    for (const note of notes) out.note(`note: ${printable(note)}`)
    const write = changes.length > 0 && !options.dryRun && (options.yes || (terminal && (await agreed(changes.length))))
    if (write) await writeFiles(folder, files)

    const written = write ? `wrote ${counted(changes.length)}; next:` : undefined
    const { packageManager, language, modules, framework, testRunner } = app
    const detected = { packageManager, language, modules, framework, stacks: app.stacks, testRunner, destinations }
    const plan = files.map((file) => ({
      path: file.path,
      action: file.action,
      reason: file.action === 'skip' ? file.reason : null,
      diff: diffOf(file),
    }))
    const unwritten = changes.length === 0 ? 'nothing to do: all of it is there' : 'nothing was changed'
    const hint = write || options.dryRun || terminal || changes.length === 0 ? '' : '; say --yes to write it'
    out.value(
      { dir: folder.root, detected, stack, files: plan, written: write, notes, next },
      written === undefined ? unwritten + hint : [written, ...next.map((step) => `  ${step}`)].join('\n'),
    )
    return write || options.dryRun || changes.length === 0 ? 0 : 1

    async function agreed(count: number): Promise<boolean> {
      return /^y(es)?$/i.test(await asking.ask(io, `write ${counted(count)}? [y/N] `))
    }
  },
})

const counted = (count: number): string => (count === 1 ? '1 file' : `${count} files`)

async function chooseStack({ io }: CommandContext, app: App, terminal: boolean): Promise<StackName> {
  const [first = 'pg', ...others] = app.stacks
  if (others.length === 0) return first
  const names = app.stacks.join(', ')
  if (terminal) {
    const { ask } = await import('../ask.js')
    const answer = await ask(io, `the app has ${names}: which one writes its data? `)
    const chosen = app.stacks.find((name) => name === answer)
    if (chosen !== undefined) return chosen
  }
  throw usageError(`the app has ${names}: say with --stack which one writes its data`)
}

function textOf(file: PlannedFile, diff: string | null): string {
  if (file.action === 'skip') return `skip ${printable(file.path)}: ${file.reason}`
  const lines = (diff ?? '').trimEnd().split('\n')
  // tabs indent code, and a carriage return ends a line here as it does in the file
  const shown = lines.map((line) => line.replace(/\r$/, '').split('\t').map(printable).join('\t'))
  return [`${file.action} ${printable(file.path)}`, ...shown, ''].join('\n')
}
