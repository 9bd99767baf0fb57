import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { Inbox, InputError } from '../../src/inbox/index.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { begun, claim, untilBlocked } from './inbox-fixture.js'

const effect = (client: pg.Client | pg.PoolClient, id: string) => client.query('insert into effects values ($1)', [id])

describe.each(['pg18', 'pg15'] as const)('Inbox.once on %s', (server) => {
  const database = useDatabase({ server })
  const inbox = new Inbox({ consumer: 'billing' })
  const effects = async (id: string): Promise<number | null> => {
    await database().pool.query('create table if not exists effects (id text)')
    return (await database().pool.query('select from effects where id = $1', [id])).rowCount
  }

  it('does the work once, gives its result, and then says that it was done', async () => {
    await effects('')
    const client = await begun(database())
    expect(await inbox.once('m1', { tx: client }, async (tx) => (await effect(tx, 'm1')).rowCount)).toEqual({
      done: true,
      result: 1,
    })
    expect(await inbox.once('m1', { tx: client }, () => expect.unreachable())).toEqual({
      done: false,
      reason: 'duplicate',
    })
    await client.query('commit; begin')
    expect(await inbox.once('m1', { tx: client }, () => expect.unreachable())).toMatchObject({ reason: 'duplicate' })
    expect(await inbox.once('m1', { tx: client, consumer: 'mail' }, () => 'not async')).toEqual({
      done: true,
      result: 'not async',
    })
    await client.query('commit')
    expect(await effects('m1')).toBe(1)
  })

  it.each([
    ['transaction', 'begin', 'rollback; begin', 'commit'],
    ['savepoint of one transaction', 'begin; savepoint s', 'rollback to s', 'commit'],
  ])('takes back no claim of a later %s on the same client', async (what, begin, again, commit) => {
    await effects('')
    const id = `late in a ${what}`
    const client = await begun(database())
    await client.query('commit')
    await client.query(begin)
    let fail = (_: Error): void => undefined
    const first = inbox.once(id, { tx: client }, async () => {
      await effect(client, id)
      await new Promise<void>((_, reject) => (fail = reject))
    })
    const failed = expect(first).rejects.toThrow('the outside call failed')
    // its effect is there: it hangs in its work
    await client.query('select 1')
    await new Promise((resolve) => setImmediate(resolve))
    // given up, and delivered again
    await client.query(again)
    const second = await inbox.once(id, { tx: client }, async (tx) => {
      await effect(tx, id)
      fail(new Error('the outside call failed'))
      await failed
    })
    expect(second).toMatchObject({ done: true })
    await client.query(commit)
    await client.query('begin')
    expect(await inbox.once(id, { tx: client }, () => expect.unreachable())).toMatchObject({ reason: 'duplicate' })
    await client.query('commit')
    expect(await effects(id)).toBe(1)
  })

  it('waits for another transaction, or skips what it is at', async () => {
    await effects('')
    const [one, two] = [await begun(database()), await begun(database())]
    await inbox.once('m2', { tx: one }, (tx) => effect(tx, 'm2'))
    expect(await inbox.once('m2', { tx: two, onBusy: 'skip' }, () => expect.unreachable())).toEqual({
      done: false,
      reason: 'busy',
    })
    const second = inbox.once('m2', { tx: two }, (tx) => effect(tx, 'm2'))
    await untilBlocked(database(), two, one)
    await one.query('rollback')
    expect(await second).toMatchObject({ done: true })
    await two.query('commit')
    expect(await effects('m2')).toBe(1)
  })

  it('passes the error of the work on; a rollback forgets the claim with what was written', async () => {
    await effects('')
    const client = await begun(database())
    const failure = new Error('no')
    const failing = inbox.once('m3', { tx: client }, async (tx) => {
      await effect(tx, 'm3')
      throw failure
    })
    await expect(failing).rejects.toBe(failure)
    await client.query('rollback')
    expect(await effects('m3')).toBe(0)
    expect(await claim(database().pool, 'billing', 'm3')).toBe(true)
  })

  it('takes the claim back when the work throws, so that who commits all the same has not lost the message', async () => {
    await effects('')
    const client = await begun(database())
    for (const onBusy of ['wait', 'skip'] as const) {
      const failing = inbox.once('m4', { tx: client, onBusy }, async (tx) => {
        await effect(tx, 'm4')
        throw new Error('no')
      })
      await failing.catch(() => undefined)
    }
    await client.query('commit')
    // what the work wrote is there; docs/inbox.md says to put a savepoint around
    expect(await effects('m4')).toBe(2)
    expect(await claim(database().pool, 'billing', 'm4')).toBe(true)

    await client.query('begin; savepoint s')
    await inbox
      .once('m5', { tx: client }, async (tx) => {
        await effect(tx, 'm5')
        await tx.query('select 1 / 0')
      })
      .catch(() => client.query('rollback to s'))
    await client.query('commit')
    expect(await effects('m5')).toBe(0)
    expect(await claim(database().pool, 'billing', 'm5')).toBe(true)
  })

  it('lets the error of a broken transaction through, whatever comes of the claim', async () => {
    const client = await begun(database())
    const failing = inbox.once('m6', { tx: client }, (tx) => tx.query('select 1 / 0'))
    await expect(failing).rejects.toMatchObject({ code: '22012' })
    await client.query('commit')
    expect(await claim(database().pool, 'billing', 'm6')).toBe(true)
  })

  it('lets serialization failures through with their SQLSTATE, for those who run the transaction again', async () => {
    const client = await begun(database(), 'repeatable read')
    await client.query('select 1 from waybill.inbox')
    await claim(database().pool, 'billing', 'm7')
    await expect(inbox.once('m7', { tx: client }, () => expect.unreachable())).rejects.toMatchObject({ code: '40001' })
  })

  it('refuses what is not an open transaction, before anything is written', async () => {
    const outside = await begun(database())
    await outside.query('rollback')
    for (const [tx, code] of [
      [undefined, 'WAYBILL_TX_REQUIRED'],
      [null, 'WAYBILL_TX_INVALID'],
      [database().pool, 'WAYBILL_TX_INVALID'],
      [outside, 'WAYBILL_TX_INVALID'],
    ] as const) {
      const error: unknown = await inbox
        .once('m8', { tx } as never, () => expect.unreachable())
        .catch((e: unknown) => e)
      expect(error).toBeInstanceOf(InputError)
      expect(error).toMatchObject({ code })
      expect((error as Error).message).not.toContain('tx: null')
    }
    expect(await claim(database().pool, 'billing', 'm8')).toBe(true)
  })

  it('names every option that is not valid', async () => {
    const client = await begun(database())
    const bad = { tx: client, onBusy: 'later', waitMs: 3 } as never
    await expect(new Inbox().once('', bad, 'work' as never)).rejects.toMatchObject({
      code: 'WAYBILL_INBOX_INVALID',
      problems: ['waitMs', 'messageId', 'consumer', 'onBusy', 'work'].map((path) => ({ path })),
    })
    for (const id of ['x'.repeat(1025), 'a\0b', '\ud800', 5 as never])
      await expect(inbox.once(id, { tx: client }, () => 1)).rejects.toMatchObject({ code: 'WAYBILL_INBOX_INVALID' })
    expect(() => new Inbox({ consumer: '', name: 'x' } as never)).toThrow(
      /name: is not an option[\s\S]*consumer: is an empty/,
    )
  })

  it('says what a database lacks that has no inbox, and what a role lacks', async () => {
    const empty = await createTestDatabase({ server, empty: true })
    const client = await begun(empty)
    await expect(inbox.once('m', { tx: client }, () => 1)).rejects.toMatchObject({
      code: 'WAYBILL_SCHEMA_MISSING',
      message: expect.stringContaining('waybill migrate --only inbox') as string,
    })
    const stranger = await begun(database())
    await stranger.query('create role inbox_stranger; set local role inbox_stranger')
    await expect(inbox.once('m', { tx: stranger }, () => 1)).rejects.toMatchObject({
      code: 'WAYBILL_PERMISSION_DENIED',
    })
    await stranger.query('rollback')
  })
})
