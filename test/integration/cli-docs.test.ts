import { readFile } from 'node:fs/promises'
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { commands } from '../../src/cli/commands/index.js'
import { errorCodes } from '../../src/core/errors.js'
import { metricDefinitions } from '../../src/telemetry/metrics.js'
import { useDatabase } from '../support/database.js'
import { cli } from './cli-fixture.js'

const database = useDatabase()
const read = (page: string) => readFile(new URL(`../../docs/${page}`, import.meta.url), 'utf8')
const reference = await read('reference.md')
const cliPage = await read('cli.md')

/** Rows of the first table below a heading: cells without backticks. */
function tableBelow(page: string, heading: string): string[][] {
  const section = page.split(`\n${heading}\n`)[1]?.split(/\n#{2,3} /)[0] ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('| '))
  return lines.slice(1).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

/** Every command with its words, and its options as they are typed. */
function everyCommand(): { name: string; options: string[] }[] {
  const program = new Command('waybill')
  const session = { io: undefined as never, exitCode: 0 as const }
  for (const register of commands) register(program, session)
  const walk = (command: Command, words: readonly string[]): { name: string; options: string[] }[] => {
    const own = { name: words.join(' '), options: command.options.map((option) => option.long ?? '') }
    return [
      ...(words.length === 0 ? [] : [own]),
      ...command.commands.flatMap((sub) => walk(sub, [...words, sub.name()])),
    ]
  }
  return walk(program, [])
}

describe('docs/reference.md', () => {
  it('has every error code, once, in the order of the code, with what to do', () => {
    const rows = tableBelow(reference, '## Errors')
    expect(rows.map(([code]) => code)).toEqual([...errorCodes])
    for (const row of rows) expect(row[1]?.length).toBeGreaterThan(10)
  })

  it('has every metric, with its type, its labels and its help', () => {
    expect(tableBelow(reference, '## Metrics')).toEqual(
      Object.entries(metricDefinitions).map(([name, { type, labels, help }]) => [name, type, labels.join(', '), help]),
    )
  })

  it.each(['undelivered', 'lane_status'])('has every column of waybill.%s with its type', async (view) => {
    const { rows } = await database().pool.query<{ name: string; type: string }>(
      `select a.attname as name, replace(format_type(a.atttypid, null), 'timestamp with time zone', 'timestamptz') as type
         from pg_attribute a where a.attrelid = $1::regclass and a.attnum > 0 order by a.attnum`,
      [`waybill.${view}`],
    )
    const documented = tableBelow(reference, `### \`waybill.${view}\``).map(([name, type]) => ({ name, type }))
    expect(documented).toEqual(rows)
  })

  it('has the signature of waybill.publish', async () => {
    const { rows } = await database().pool.query<{ signature: string }>(
      `select pg_get_function_arguments('waybill.publish'::regproc) || ' ' || pg_get_function_result('waybill.publish'::regproc) as signature`,
    )
    const plain = (text: string) =>
      text
        .toLowerCase()
        .replaceAll(/::(text\[\]|text|json|uuid|interval|timestamp with time zone)/g, '')
        .replaceAll('timestamp with time zone', 'timestamptz')
        .replaceAll('24:00:00', '24 hours')
        .replaceAll(/[()\s]+/g, ' ')
        .replaceAll(' returns', '')
        .trim()
    const written = /waybill\.publish\(([\s\S]*?\) returns uuid)/.exec(reference)?.[1] ?? ''
    expect(plain(written)).toBe(plain(rows[0]?.signature ?? ''))
  })

  it('has every command', () => {
    for (const { name } of everyCommand()) expect(reference).toContain(`\`${name}\``)
  })
})

describe('docs/cli.md', () => {
  it('has a section for every command, and for nothing else', () => {
    const headings = [...cliPage.matchAll(/^## waybill (.+)$/gm)].map((match) => match[1])
    expect([...headings].sort()).toEqual(
      everyCommand()
        .map((command) => command.name)
        .sort(),
    )
  })

  it('has every option of every command, and none that is not there', () => {
    const shared = new Set(['--config', '--database-url', '--json', '--help', '--version'])
    const sections = new Map(
      cliPage
        .split(/^## waybill /m)
        .slice(1)
        .map((section) => [section.split('\n', 1)[0] ?? '', section]),
    )
    const known = new Set(everyCommand().flatMap((command) => command.options))
    for (const { name, options } of everyCommand()) {
      // retry and drop share a table
      const text = name === 'retry' ? `${sections.get('retry')}${sections.get('drop')}` : (sections.get(name) ?? '')
      for (const option of options) expect(text, `${name} ${option}`).toContain(`\`${option}`)
    }
    const mentioned = [...cliPage.matchAll(/(?<![\w-])--[a-z][a-z-]+/g)].map((match) => match[0])
    expect(mentioned.filter((option) => !known.has(option) && !shared.has(option))).toEqual([])
  })

  it('has the exit codes that the commands have', async () => {
    expect((await cli(['config', '--help'])).code).toBe(0)
    expect((await cli(['config'])).code).toBe(1)
    expect((await cli(['bogus'])).code).toBe(2)
  })
})

describe('waybill --help', () => {
  it('lists every command, and each has help of its own that needs nothing', async () => {
    const help = (await cli(['--help'])).stdout
    for (const { name } of everyCommand()) {
      expect(help).toContain(`  ${name.split(' ')[0] ?? ''} `)
      const own = await cli([...name.split(' '), '--help'])
      expect(own).toMatchObject({ code: 0, stderr: '' })
      expect(own.stdout).toContain(`Usage: waybill ${name}`)
      const said = own.stdout.slice(0, own.stdout.search(/^(?:Arguments|Options):$/m))
      // what is set out in columns is indented, and a line of it is never broken: only its next line comes after
      expect(said, name).not.toMatch(/^\S.* {3}\S/m)
      expect(said, name).not.toMatch(/^ {2}.*\n\S/m)
    }
  })
})
