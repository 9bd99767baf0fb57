import { randomUUID } from 'node:crypto'
import { WaybillError } from '../core/errors.js'
import type { RunStatement, Statement } from '../core/statement.js'
import { endedSinceTheCall, notOpen, type OpenTransaction } from './kind.js'

/**
 * For handles whose driver can't be asked which transaction a statement will run in: it may run after the rollback that
 * was sent later, on a connection that is a stranger's by then. So PostgreSQL is asked, by a mark: a word in the setting
 * `waybill.scope`, set for the transaction only, which ends with it, and with the savepoint that it was set in when that
 * is rolled back. A handle's first publish sets the mark in a statement before, and each publish on it writes only where
 * it finds that mark. Outside of a transaction a mark is gone with its statement, so nothing is written.
 *
 * Cost: one statement for each handle (0.03 to 0.06 ms of a quiet server, and a round trip), none for later publishes on it.
 */
export interface ScopedHandle {
  /** What a mark is remembered by: one object for each transaction, if the library has such a one. */
  readonly key: object
  /** Whether it has: an object of the application's own may stand for several at once. */
  readonly isOneTransaction: boolean
  readonly run: RunStatement
  /** Throws where the library knows that the transaction has ended. It must know before it gives the connection back. */
  readonly look?: (() => void) | undefined
  /**
   * What it means that the mark is gone. `ended`: refuse. `savepoint`: in the same transaction a savepoint was rolled back
   * that the mark was set in, so set it again; refuse in any other. `another`: the handle may stand for a new transaction
   * by now, so set it again in whichever it is.
   */
  readonly unmarked: 'ended' | 'savepoint' | 'another'
  /** Statements reach the server in the order of their calls whatever happens, so the mark need not be waited for. */
  readonly inOrder: boolean
  /** What to give instead. */
  readonly remedy: string
}

interface Mark {
  readonly word: string
  /** The id of its transaction. */
  readonly placed: Promise<string>
  isPlaced: boolean
}

const marks = new WeakMap<object, Mark>()

export function inScope(handle: ScopedHandle): OpenTransaction {
  let held: Mark | undefined
  return {
    hold: () => void (held = placeNow(handle)),
    run: (statement) => (held ? runHeld(handle, held, statement) : runMarked(handle, statement)),
  }
}

/** For handles that know themselves when their transaction has ended, up to the moment at which the statement is sent. */
export function unlessHeld(handle: Pick<ScopedHandle, 'run' | 'look'>): OpenTransaction {
  let held: Mark | undefined
  return {
    hold: () => void (held = place(handle.run)),
    run: (statement) => (held ? runHeld(handle, held, statement) : handle.run(statement)),
  }
}

/** A mark of its own tells also that no savepoint was rolled back in between. */
async function runHeld(
  { run, look }: Pick<ScopedHandle, 'run' | 'look'>,
  held: Mark,
  statement: Statement,
  refusal: () => Error = endedSinceTheCall,
): Promise<readonly unknown[]> {
  await held.placed
  // still open when the mark was there, so the connection was its own: the mark is in no stranger's transaction
  look?.()
  const { rows } = await attempt(run, statement, held.word, newWord())
  if (rows === undefined) throw refusal()
  return rows
}

async function runMarked(handle: ScopedHandle, statement: Statement): Promise<readonly unknown[]> {
  const { run, look, inOrder, unmarked } = handle
  const known = marks.get(handle.key)
  if (!inOrder && known?.isPlaced !== true) {
    // what waits for a mark waits for one of its turn: that of an earlier call may be from outside of this savepoint
    return runHeld(handle, known ? placeNow(handle) : placeFor(handle), statement, () => elsewhere(handle))
  }
  const mark = known ?? placeFor(handle)
  const word = newWord()
  const first = await attempt(run, statement, mark.word, word)
  if (first.rows !== undefined) return first.rows
  look?.()
  const same = unmarked === 'savepoint' && (await mark.placed) === first.xid
  if (!same && unmarked !== 'another') throw elsewhere(handle)
  // where the first attempt ran, which was sent in the turn of the call
  if (marks.get(handle.key) === mark) marks.set(handle.key, placed(word, first.xid))
  const second = await attempt(run, statement, word, newWord())
  if (second.rows === undefined) throw elsewhere(handle)
  return second.rows
}

function elsewhere({ remedy }: ScopedHandle): Error {
  return notOpen(
    'runs its statements in different transactions: it has ended (or the savepoint has that it was first used in), or never was one',
    remedy,
  )
}

const marksOfTurn = new WeakMap<object, Mark>()

/**
 * A mark of this turn. Calls in one transaction in one turn share it, as nothing that was waited for lies between them:
 * else each of a thousand publishes in Promise.all had a mark of its own, and the setting had all thousand, which every
 * statement reads (1,000 took twice as long as one by one, 5,000 seventeen times).
 */
function placeNow({ key, run, isOneTransaction }: Pick<ScopedHandle, 'key' | 'run' | 'isOneTransaction'>): Mark {
  if (!isOneTransaction) return place(run)
  const known = marksOfTurn.get(key)
  if (known !== undefined) return known
  const mark = place(run)
  marksOfTurn.set(key, mark)
  queueMicrotask(() => marksOfTurn.delete(key))
  return mark
}

function placeFor(handle: ScopedHandle): Mark {
  const { key } = handle
  const mark = placeNow(handle)
  marks.set(key, mark)
  mark.placed.catch(() => {
    if (marks.get(key) === mark) marks.delete(key)
  })
  return mark
}

function place(run: RunStatement): Mark {
  const word = newWord()
  const mark: Mark = { word, placed: Promise.resolve(placeMark(run, word)), isPlaced: false }
  mark.placed.then(
    () => (mark.isPlaced = true),
    // whoever waits for it hears of it
    () => undefined,
  )
  return mark
}

function placed(word: string, xid: string): Mark {
  return { word, placed: Promise.resolve(xid), isPlaced: true }
}

async function placeMark(run: RunStatement, word: string): Promise<string> {
  const rows = await run({ name: 'waybill_scope', text: `select ${marking('$1')} as xid`, values: [word] })
  const { xid } = (rows[0] ?? {}) as { xid?: unknown }
  if (typeof xid === 'string') return xid
  throw new WaybillError(
    'WAYBILL_TX_INVALID',
    'tx: its query(sql, parameters) gave no row; it must resolve to an array of objects, or to { rows } of them. Nothing was written',
  )
}

/** Runs the statement where `word` is marked, and gives its rows; elsewhere marks `next`, and gives the transaction's id. */
async function attempt(
  run: RunStatement,
  { name, text, values }: Statement,
  word: string,
  next: string,
): Promise<{ readonly rows: readonly unknown[] } | { readonly rows: undefined; readonly xid: string }> {
  const scoped = scopedText(text, values.length)
  const rows = await run({ name: `${name}_in`, text: scoped.text, values: [word, ...values, next] })
  const said = (rows[0] as Readonly<Record<string, unknown>> | undefined)?.[scoped.column]
  if (typeof said !== 'string' || !said.startsWith(elsewhereMark)) return { rows }
  return { rows: undefined, xid: said.slice(elsewhereMark.length) }
}

/** Sets a mark beside those that are there; gives all of them. */
export const marked = (word: string): string =>
  `set_config('waybill.scope', concat(current_setting('waybill.scope', true), ${word}::text), true)`

/** The same, and gives the id of the transaction. */
const marking = (word: string): string => `case when ${marked(word)} <> '' then pg_current_xact_id()::text end`

/** True where the mark is there; null where there never was one. */
export const isMarked = (word: string): string => `strpos(current_setting('waybill.scope', true), ${word}::text) > 0`

interface ScopedText {
  readonly text: string
  readonly column: string
}

/** There are a dozen. */
const scopedTexts = new Map<string, ScopedText>()

/** What an answer begins with that is the id of a transaction without the mark. */
const elsewhereMark = 'elsewhere '

/**
 * Of `select … as column`, without a FROM or WHERE of its own: the same where the mark is there. Each parameter is named
 * once and in order, as Knex needs it. One column and one look at the setting, as drivers have it parsed each time: 0.02
 * ms more than the statement by itself takes; with a column of its own for the id, and a subquery, 0.04 ms.
 */
function scopedText(text: string, parameters: number): ScopedText {
  let scoped = scopedTexts.get(text)
  if (scoped === undefined) {
    const end = text.lastIndexOf(' as ')
    const expression = text.slice('select '.length, end).replaceAll(/\$(\d+)/g, (_, n) => `$${Number(n) + 1}`)
    const column = text.slice(end + ' as '.length)
    scoped = {
      column,
      text: `select case when ${isMarked('$1')} then ${expression}
  else concat('${elsewhereMark}', left(${marked(`$${parameters + 2}`)}, 0), pg_current_xact_id()) end as ${column}`,
    }
    scopedTexts.set(text, scoped)
  }
  return scoped
}

/** A word that is in no other one. */
export function newWord(): string {
  return `${process}-${(words++).toString(36)};`
}
const process = randomUUID().slice(0, 18).replaceAll('-', '')
let words = 0
