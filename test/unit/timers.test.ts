import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Group, type GroupMember } from '../../src/adapters/webhook/group.js'
import { Alarm } from '../../src/core/alarm.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('an alarm', () => {
  const rang: number[] = []
  let alarm: Alarm

  beforeEach(() => {
    rang.length = 0
    const start = performance.now()
    alarm = new Alarm(() => rang.push(Math.round(performance.now() - start)))
  })

  test('rings once, at the time that was asked for', () => {
    alarm.set(50)
    vi.advanceTimersByTime(500)
    expect(rang).toEqual([50])
  })

  test('rings at the latest wish, sooner or later than the one before', () => {
    alarm.set(50)
    vi.advanceTimersByTime(20)
    alarm.set(100)
    vi.advanceTimersByTime(500)
    alarm.set(1000)
    alarm.set(10)
    vi.advanceTimersByTime(2000)
    expect(rang).toEqual([120, 530])
  })

  test('rings no more when it was cleared, and again when it is set again', () => {
    alarm.set(50)
    alarm.clear()
    vi.advanceTimersByTime(100)
    expect(rang).toEqual([])
    alarm.set(50)
    vi.advanceTimersByTime(100)
    expect(rang).toEqual([150])
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a group of exchanges', () => {
  const limitMs = 1000
  let group: Group
  let ended: string[]

  beforeEach(() => {
    group = new Group(limitMs)
    ended = []
  })

  function add(name: string, begun = true): GroupMember & { deadline: number } {
    const start = performance.now()
    const end = (how: string): void => {
      ended.push(`${name} ${how} ${Math.round(performance.now() - start)}`)
      group.remove(member)
    }
    const member = {
      place: -1,
      deadline: begun ? start + limitMs : Infinity,
      abort: () => end('aborted after'),
      timedOut: () => end('out of time after'),
    }
    group.add(member)
    return member
  }

  test('each that is left runs out of time at its own deadline, and not before it has begun', () => {
    const first = add('first')
    vi.advanceTimersByTime(300)
    add('second')
    vi.advanceTimersByTime(300)
    const third = add('third', false)
    add('fourth')
    group.remove(first)
    vi.advanceTimersByTime(300)
    third.deadline = performance.now() + limitMs
    vi.advanceTimersByTime(10_000)
    expect(ended).toEqual([
      'second out of time after 1000',
      'fourth out of time after 1000',
      'third out of time after 1300',
    ])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('abort ends all of them, whatever order others left in', () => {
    const members = ['a', 'b', 'c', 'd'].map((name) => add(name))
    group.remove(members[1] as GroupMember)
    group.remove(members[3] as GroupMember)
    group.abort()
    expect(ended.sort()).toEqual(['a aborted after 0', 'c aborted after 0'])
  })
})
