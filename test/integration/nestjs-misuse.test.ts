import { Injectable, Scope, type ModuleMetadata, type Type } from '@nestjs/common'
import { expect, it } from 'vitest'
import type { InputError } from '../../src/index.js'
import { OnMessage, WaybillModule } from '../../src/nestjs/index.js'
import { useDatabase } from '../support/database.js'
import { sessionsEnd } from '../support/sessions.js'
import { moduleOf, startApp } from './nestjs-fixture.js'

const database = useDatabase()
const withOptions = (options: object) => ({ imports: [WaybillModule.forRoot(options)] })

/** What a start that is refused says, a line for each problem. */
async function problems(metadata: ModuleMetadata): Promise<string[]> {
  const error = (await startApp(metadata).catch((thrown: unknown) => thrown)) as InputError
  expect(error).toMatchObject({ code: 'WAYBILL_NESTJS_INVALID' })
  return error.problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
}

/** Of handlers in one module beside Waybill's; no worker is configured, and they are checked all the same. */
const problemsOf = (...providers: Type[]) => problems({ ...withOptions({}), providers })

it('names every option that is none, and every value that can not work', async () => {
  expect(await problems(withOptions({ dispacher: {}, worker: { drainM: 1, drainMs: -1 }, dispatcher: 7 }))).toEqual([
    'dispacher: is not an option; did you mean "dispatcher"?',
    'dispatcher: is a number; give an object',
    'worker.drainM: is not an option; did you mean "drainMs"?',
    'worker.drainMs: is -1; give milliseconds, 0 or more',
    'worker: needs a database; give the module a pool or a connectionString',
  ])
  expect(await problems(withOptions({ logger: { log: 1 } }))).toEqual([
    expect.stringContaining('logger: is an object; give a pino'),
  ])
  expect(
    await problems({ imports: [WaybillModule.forRootAsync({ useFactory: () => ({ isGlobal: true }) as object })] }),
  ).toEqual(['isGlobal: goes beside useFactory, useClass or useExisting, not into what they make'])
  expect(await problems({ imports: [WaybillModule.forRootAsync({ useFactory: () => undefined as never })] })).toEqual([
    'are undefined; give an object',
  ])
  expect(() => WaybillModule.forRootAsync({ inject: [] })).toThrow('give useFactory, useClass or useExisting')
})

it('names the class and the method of two handlers for one topic of a queue', async () => {
  @Injectable()
  class Mailer {
    @OnMessage('order.created') send() {}
    @OnMessage('order.paid', { queue: 'mail' }) paid() {}
  }
  @Injectable()
  class Search {
    @OnMessage('order.created') index() {}
    @OnMessage('order.paid', { queue: 'search' }) paid() {}
  }
  const twice = moduleOf({ providers: [Search] })
  expect(await problems({ imports: [WaybillModule.forRoot({}), twice], providers: [Mailer] })).toEqual([
    expect.stringMatching(
      /^(Search.index \(FeatureModule\)|Mailer.send \(RootTestModule\)): "order.created" of queue default has a handler already: (Search.index|Mailer.send) /,
    ),
  ])
})

it('names the class and the method of options, patterns and providers that can not work', async () => {
  @Injectable()
  class Wrong {
    @OnMessage('a.b', { concurency: 1 } as object) typo() {}
    @OnMessage('a.**.b') pattern() {}
    @OnMessage(7 as never) number() {}
    @OnMessage('a.d', { queue: '', concurrency: 1.5, timeoutMs: -1 }) values() {}
    @OnMessage('a.e', { module: 'nowhere' }) elsewhere() {}
  }
  expect(await problemsOf(Wrong)).toEqual(['Wrong.elsewhere (RootTestModule): no WaybillModule has the name "nowhere"'])
  Reflect.deleteMetadata(Symbol.for('waybill.onMessage'), Wrong.prototype, 'elsewhere')
  expect(await problemsOf(Wrong)).toEqual([
    'Wrong.typo (RootTestModule): concurency is not an option; did you mean "concurrency"?',
    expect.stringContaining('Wrong.pattern (RootTestModule): "a.**.b" is not a pattern'),
    expect.stringContaining('Wrong.number (RootTestModule): the topic is a number'),
    expect.stringContaining('Wrong.values (RootTestModule): "a.d" timeoutMs is -1'),
    expect.stringContaining('Wrong.values (RootTestModule): queue is an empty string'),
    'Wrong.values (RootTestModule): concurrency is 1.5; must be a whole number from 1 to 1000',
  ])
})

it('names the class and the method of a provider that is scoped, by itself or by what it injects', async () => {
  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    @OnMessage('a.b') one() {}
  }
  @Injectable({ scope: Scope.TRANSIENT })
  class Transient {
    @OnMessage('a.c') two() {}
  }
  class Injects {
    @OnMessage('a.d') three() {}
  }
  Injectable()(Injects)
  Reflect.defineMetadata('self:paramtypes', [{ index: 0, param: PerRequest }], Injects)
  Reflect.defineMetadata('design:paramtypes', [PerRequest], Injects)
  const said = await problemsOf(PerRequest, Transient, Injects)
  expect(said.map((line) => line.slice(0, line.indexOf(' (')))).toEqual([
    'PerRequest.one',
    'Transient.two',
    'Injects.three',
  ])
  for (const line of said) expect(line).toContain('its class is scoped')
})

it('is told of concurrencies of one queue that differ', async () => {
  @Injectable()
  class Mailer {
    @OnMessage('a.b', { queue: 'mail', concurrency: 2 }) one() {}
    @OnMessage('a.c', { queue: 'mail', concurrency: 3 }) two() {}
    @OnMessage('a.d', { queue: 'mail' }) three() {}
  }
  expect(await problemsOf(Mailer)).toEqual([
    'Mailer.two (RootTestModule): concurrency is 3, and 2 at Mailer.one (RootTestModule); it is of the whole queue mail: say it once',
  ])
})

it('refuses a worker with nothing to do, and a queue that nobody handles', async () => {
  const { pool } = database()
  expect(await problems(withOptions({ pool, worker: {} }))).toEqual([
    'worker: has nothing to do: no provider has a method with @OnMessage',
  ])
  @Injectable()
  class Mailer {
    @OnMessage('a.b', { queue: 'mail' }) send() {}
  }
  expect(await problems({ ...withOptions({ pool, worker: { queues: { post: {} } } }), providers: [Mailer] })).toEqual([
    'worker.queues.post: no @OnMessage is for this queue; there are: mail',
  ])
})

it('refuses two modules of one name, and a handler that does not say which of the named it is for', async () => {
  const two = [WaybillModule.forRoot({}), WaybillModule.forRoot({})]
  expect(await problems({ imports: two })).toEqual([
    'name: is that of two WaybillModules; give each database a name of its own',
  ])
  @Injectable()
  class Mailer {
    @OnMessage('a.b') send() {}
  }
  expect(await problems({ imports: [WaybillModule.forRoot({ name: 'billing' })], providers: [Mailer] })).toEqual([
    'Mailer.send (RootTestModule): every WaybillModule has a name; say which one: { module: "billing" }',
  ])
})

it('refuses what is not a method of an instance at once', () => {
  expect(() => {
    class Static {
      @OnMessage('a.b') static send() {}
    }
    void Static
  }).toThrow(/Static\.send: .*not static/)
  // a compiler without experimentalDecorators calls it so
  const decorate = OnMessage('a.b') as unknown as (method: () => void, context: object) => void
  expect(() => decorate(() => undefined, { kind: 'method', name: 'send' })).toThrow(/experimentalDecorators/)
})

it('stops what has started when the rest can not start', async () => {
  @Injectable()
  class Mailer {
    @OnMessage('a.b') send() {}
  }
  const { url, pool } = database()
  const options = {
    connectionString: 'postgres://nobody@127.0.0.1:1/none',
    worker: {},
    dispatcher: { config: { database: { url } } },
  }
  const start = startApp({ ...withOptions(options), providers: [Mailer] })
  await expect(start).rejects.toMatchObject({ code: 'WAYBILL_DATABASE_UNREACHABLE' })
  expect((await pool.query('select from waybill.dispatchers')).rowCount).toBe(0)
  await sessionsEnd(database(), 'waybill dispatcher')
})
