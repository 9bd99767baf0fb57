import { describe, expect, it } from 'vitest'
import { Inbox } from '../../src/inbox/index.js'
import { InputError, Queue, type JsonLike, type Transaction } from '../../src/index.js'
import type { TestDatabase } from '../support/database.js'
import { logged, scheduled } from './publish-fixture.js'

/** A library, as the suite drives it: each of these is a few lines that its user would write. */
export interface Library {
  /** Part of topics, so that libraries may share a database. */
  readonly name: string
  readonly database: () => TestDatabase
  /** Runs `work` in a transaction that commits, or rolls back when it throws. */
  transaction<T>(work: (tx: Transaction, step: Step) => Promise<T>): Promise<T>
  /** What `work` does is rolled back alone when it throws. */
  savepoint<T>(tx: Transaction, work: (inner: Transaction) => Promise<T>): Promise<T>
  /** The objects that look like a transaction and are none, with a part of what is said of each. */
  readonly roots: () => Readonly<Record<string, readonly [unknown, string]>>
  /** What a handle says whose transaction has committed: our refusal by default. */
  readonly ended?: RegExp
}

interface Step {
  /** Writes a row of the application's own, through the library; the suite looks for it. */
  readonly insert: (ref: string) => Promise<unknown>
}

/** The table that `insert` writes to. */
export const orders = `create table app_orders (id int generated always as identity primary key, ref text not null)`

const mebibyte = 'ä'.repeat(2 ** 19 - 1)
const values: Readonly<Record<string, JsonLike>> = {
  null: null,
  nothing: {},
  unicode: '😀 é 漢字 \u2028 \u0001',
  quotes: `' " \` \\ \\\\ $1 $$ $a$ ? ?? \\? :name ::text %s {a,b} ; -- /* \n\r\t`,
  numbers: [0, -0, 0.1, 1e21, Number.MAX_SAFE_INTEGER, { n: '9007199254740993' }],
  nested: { a: [null, true, { b: [] }], '': 'x', 'a"b': `{"c":"'"}` },
  mebibyte,
}

/** What must hold for the transactions of every library. */
export function describeTransactions(library: Library): void {
  const queue = new Queue()
  const topic = (name: string): string => `${library.name}.${name}`
  const rows = async (name: string) => logged(library.database(), topic(name))
  const inserted = async (ref: string): Promise<number> => {
    const { rowCount } = await library.database().pool.query('select from app_orders where ref = $1', [ref])
    return rowCount ?? 0
  }

  describe(`a transaction of ${library.name}`, () => {
    it('publishes with the data when it commits, and not before', async () => {
      const id = await library.transaction(async (tx, { insert }) => {
        await insert(topic('commit'))
        const first = await queue.publish(topic('commit'), { n: 1 }, { tx, key: `k'"?$1`, headers: { a: `b'"?` } })
        await queue.publish(topic('commit'), 2, { tx })
        expect(await rows('commit')).toEqual([])
        return first
      })
      expect(await rows('commit')).toMatchObject([
        { id, key: `k'"?$1`, payload: '{"n":1}', headers: `{"a":"b'\\"?"}` },
        { payload: '2' },
      ])
      expect(await inserted(topic('commit'))).toBe(1)
    })

    it('publishes nothing when it rolls back', async () => {
      const work = library.transaction(async (tx, { insert }) => {
        await insert(topic('rollback'))
        await queue.publish(topic('rollback'), 1, { tx })
        await queue.publishMany([{ topic: topic('rollback'), payload: 2 }], { tx })
        throw new RangeError('no')
      })
      await expect(work).rejects.toThrow(RangeError)
      expect(await rows('rollback')).toEqual([])
      expect(await inserted(topic('rollback'))).toBe(0)
    })

    it('takes every kind of value, one by one and in a list', async () => {
      const list = Object.values(values).map((payload, i) => ({ topic: topic('many'), payload, key: `k,"${i}"\\` }))
      const ids = await library.transaction(async (tx) => {
        for (const payload of Object.values(values)) await queue.publish(topic('one'), payload, { tx })
        return queue.publishMany(list, { tx })
      })
      const stored = Object.values(values).map((payload) => JSON.stringify(payload))
      expect((await rows('one')).map((row) => row.payload)).toEqual(stored)
      const many = await rows('many')
      expect(many.map((row) => row.payload)).toEqual(stored)
      expect(many.map((row) => row.key)).toEqual(list.map(({ key }) => key))
      expect(many.map((row) => row.id)).toEqual(ids)
    })

    it('takes every option, and calls at once', async () => {
      const all = { delay: '1h', dedupeKey: 'd', dedupeWindow: '2h', key: 'k', keyLock: true, headers: { a: '1' } }
      const ids = await library.transaction(async (tx) => {
        const first = await queue.publish(topic('options'), 1, { tx, ...all })
        const second = await queue.publish(topic('options'), 2, { tx, ...all })
        const many = await queue.publishMany(
          [
            { topic: topic('options'), payload: 3, ...all },
            { topic: topic('options'), payload: 4, at: new Date(Date.now() + 60_000) },
          ],
          { tx },
        )
        await Promise.all([5, 6, 7].map((n) => queue.publish(topic('at-once'), n, { tx })))
        return [first, second, ...many]
      })
      expect(ids.slice(0, 3)).toEqual([ids[0], ids[0], ids[0]])
      expect((await scheduled(library.database(), topic('options'))).map((row) => row.id)).toEqual([ids[3], ids[0]])
      expect((await rows('at-once')).map((row) => row.payload).sort()).toEqual(['5', '6', '7'])
    })

    it('takes back what it scheduled, unless it rolls back', async () => {
      const id = await library.transaction((tx) => queue.publish(topic('cancel'), 1, { tx, delay: '1h' }))
      const undone = library.transaction(async (tx) => {
        expect(await queue.cancel(id, { tx })).toBe(true)
        throw new RangeError('no')
      })
      await expect(undone).rejects.toThrow(RangeError)
      expect(await scheduled(library.database(), topic('cancel'))).toHaveLength(1)
      const cancelled = library.transaction(async (tx) => [
        await queue.cancel(id, { tx }),
        await queue.cancel(id, { tx }),
      ])
      expect(await cancelled).toEqual([true, false])
      expect(await scheduled(library.database(), topic('cancel'))).toEqual([])
    })

    it('has savepoints: what one of them rolls back is gone, the rest stays', async () => {
      await library.transaction(async (tx) => {
        await queue.publish(topic('savepoint'), 'before', { tx })
        const undone = library.savepoint(tx, async (inner) => {
          await queue.publish(topic('savepoint'), 'undone', { tx: inner })
          throw new RangeError('no')
        })
        await expect(undone).rejects.toThrow(RangeError)
        await library.savepoint(tx, async (inner) => {
          await queue.publish(topic('savepoint'), 'kept', { tx: inner })
        })
        await queue.publish(topic('savepoint'), 'after', { tx })
      })
      expect((await rows('savepoint')).map((row) => row.payload)).toEqual(['"before"', '"kept"', '"after"'])
    })

    it('tells what the database refuses as with any client, and names the element of a list', async () => {
      const refused = library.transaction((tx) => queue.publish(topic('refused'), 1, { tx, to: ['nobody'] }))
      await expect(refused).rejects.toMatchObject({
        code: 'WAYBILL_PUBLISH_INVALID',
        message: expect.stringContaining('nobody') as string,
      })
      const list = [1, 2].map((payload) => ({
        topic: topic('refused'),
        payload,
        ...(payload === 2 ? { to: ['x'] } : {}),
      }))
      await expect(library.transaction((tx) => queue.publishMany(list, { tx }))).rejects.toMatchObject({
        code: 'WAYBILL_PUBLISH_INVALID',
        problems: [{ path: 'messages[1]' }],
      })
    })

    it('has the effect of a message once, with the inbox', async () => {
      const inbox = new Inbox({ consumer: library.name })
      const handle = (fails: boolean) =>
        library.transaction((tx, { insert }) =>
          inbox.once(`evt_'"?$1`, { tx }, async () => {
            await insert(topic('inbox'))
            if (fails) throw new Error('no')
          }),
        )
      await expect(handle(true)).rejects.toThrow('no')
      expect(await handle(false)).toMatchObject({ done: true })
      expect(await handle(false)).toEqual({ done: false, reason: 'duplicate' })
      expect(await inserted(topic('inbox'))).toBe(1)
    })

    it('is refused once it has ended', async () => {
      for (const publishes of [true, false]) {
        // in an array: some of these objects are thenable
        const [ended] = await library.transaction(async (tx) => {
          if (publishes) await queue.publish(topic('before-the-end'), 1, { tx })
          return [tx]
        })
        const late = () => queue.publish(topic('refused'), 1, { tx: ended })
        if (library.ended) await expect(late()).rejects.toThrow(library.ended)
        else await expect(late()).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
      }
      expect(await rows('before-the-end')).toHaveLength(1)
      expect(await rows('refused')).toEqual([])
    })

    it('is not what stands around it: that is refused, named, and nothing is written', async () => {
      const roots = Object.entries(library.roots())
      // a transaction that nobody waits for: it may not outlive the connection
      const begun = Promise.allSettled(roots.map(([, [root]]) => Promise.resolve(root)))
      for (const [name, [root, said]] of roots) {
        for (const call of [
          () => queue.publish(topic('refused'), 1, { tx: root } as never),
          () => queue.publishMany([{ topic: topic('refused'), payload: 1 }], { tx: root } as never),
          () => queue.cancel('f81d4fae-7dec-11d0-a765-00a0c91e6bf6', { tx: root } as never),
        ]) {
          const error = await call().catch((thrown: unknown) => thrown)
          expect(error, name).toBeInstanceOf(InputError)
          expect(error, name).toMatchObject({
            code: 'WAYBILL_TX_INVALID',
            problems: [{ path: 'tx', message: expect.stringContaining(said) as string }],
          })
        }
      }
      await begun
      expect(await rows('refused')).toEqual([])
    })
  })
}
