import { describe, expect, it } from 'vitest'
import { Deployments, type Note, firstConfiguration } from '../proof/configurations.js'

const at = (iso: string): number => new Date(iso).getTime()
const noted = (seen: number, until: number | undefined, changed: Partial<Note> = {}): Note => ({
  ...{ topic: 'order.paid', seen, at: at('2026-11-30T12:00:00Z') },
  ...(until !== undefined && { until }),
  ...changed,
})

describe('what a message of the proof has to reach', () => {
  const deployments = new Deployments({ generation: 1, wants: { crm: ['order.changed'], old: ['**'] } })
  deployments.begin({ generation: 2, wants: { crm: ['**'], old: ['**'] }, options: { crm: { order: 'none' } } })
  deployments.begin({
    generation: 3,
    wants: { crm: ['**'], all: ['**'], dated: ['**'], next: ['**'] },
    options: { all: { from: 'earliest' }, dated: { from: '2026-11-30T12:00:00Z' }, next: { from: 'latest' } },
  })

  it.each<[string, string, Note, string]>([
    ['the routes of its configuration', 'crm', noted(1, 1), 'no'],
    ['the routes of its configuration', 'crm', noted(1, 1, { topic: 'order.changed' }), 'yes'],
    ['newer routes', 'crm', noted(2, 2), 'yes'],
    ['any of two configurations', 'crm', noted(1, 2), 'either'],
    ['two configurations that agree', 'crm', noted(2, 3), 'yes'],
    ['the newest ones, where its client heard of no commit', 'crm', noted(1, undefined), 'either'],
    ['a destination that is removed later', 'old', noted(2, 2), 'either'],
    ['a destination that was removed', 'old', noted(3, 3), 'no'],
    ['a destination that reads everything', 'all', noted(1, 1), 'yes'],
    ['a destination that reads from a time on', 'dated', noted(2, 2), 'yes'],
    ['a destination before its time', 'dated', noted(2, 2, { at: at('2026-11-30T11:59:59Z') }), 'either'],
    ['a destination that reads from now on', 'next', noted(2, 2), 'no'],
    ['a destination that comes meanwhile', 'next', noted(2, 3), 'either'],
  ])('%s: %s', (_, destination, note, answer) => {
    expect(deployments.isWanted(destination, note)).toBe(answer)
  })

  it('is everything, where no publisher noted anything', () => {
    expect(new Deployments(firstConfiguration).isWanted('crm', undefined)).toBe('yes')
  })

  it('and in order, where each configuration that it may be treated by says so', () => {
    expect(
      [noted(1, 1), noted(1, 2), noted(2, 2), noted(3, 3)].map((note) => deployments.isOrdered('crm', note)),
    ).toEqual([...[true, false, false, true]])
  })
})
