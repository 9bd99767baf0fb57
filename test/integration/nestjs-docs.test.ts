import * as crypto from 'node:crypto'
import * as nestCommon from '@nestjs/common'
import { Test } from '@nestjs/testing'
import * as typeorm from 'typeorm'
import { afterAll, expect, it, vi } from 'vitest'
import * as zod from 'zod'
import * as config from '../../src/config/index.js'
import * as waybill from '../../src/index.js'
import * as nestjs from '../../src/nestjs/index.js'
import { createTestDatabase } from '../support/database.js'
import { blocksOf, compileErrors, runModule } from '../support/docs-code.js'
import { waitFor } from '../support/wait-for.js'

/** Blocks by the name of the file in their first line. */
const files = Object.fromEntries(
  (await blocksOf('nestjs.md', 'ts')).map((code) => [/^\/\/ (\S+)\n/.exec(code)?.[1] ?? '', code]),
)

// as the page's modules read it
const database = await createTestDatabase()
vi.stubEnv('DATABASE_URL', database.url)
afterAll(() => vi.unstubAllEnvs())

it('the code of the page compiles, as Nest sets the compiler up', () => {
  expect(Object.keys(files)).toHaveLength(8)
  const paths = {
    waybill: ['./src/index.ts'],
    'waybill/config': ['./src/config/index.ts'],
    'waybill/nestjs': ['./src/nestjs/index.ts'],
  }
  expect(compileErrors(files, paths, { emitDecoratorMetadata: true })).toBe('')
}, 180_000)

it('the application of the page tells the mailer and the auditor of an order', async () => {
  await database.pool.query('create table orders (id uuid primary key, customer text not null)')
  const modules: Record<string, object> = {
    ...{ waybill, 'waybill/config': config, 'waybill/nestjs': nestjs },
    ...{ '@nestjs/common': nestCommon, typeorm, zod, 'node:crypto': crypto },
  }
  for (const name of ['topics', 'database.module', 'orders.service', 'mailer', 'health.controller', 'app.module']) {
    modules[`./${name}.js`] = runModule(files[`${name}.ts`] ?? '', modules)
  }
  const { AppModule } = modules['./app.module.js'] as { AppModule: new () => object }
  const { OrdersService } = modules['./orders.service.js'] as {
    OrdersService: new () => { place(customer: string): Promise<string> }
  }
  const { HealthController } = modules['./health.controller.js'] as {
    HealthController: new () => { check(): { lanes: number } }
  }
  const lines: string[] = []
  const log = (line: unknown): void => void lines.push(String(line))
  const testing = await Test.createTestingModule({ imports: [AppModule], controllers: [HealthController] })
    .setLogger({ log, warn: log, error: log })
    .compile()
  const app = testing.createNestApplication()
  await app.init()
  try {
    const id = await app.get(OrdersService, { strict: false }).place('Ada')
    const said = (start: string): string | undefined => lines.find((line) => line.startsWith(start))
    await waitFor(() => said('order.created') !== undefined && said('dear') !== undefined)
    expect(said('dear')).toMatch(new RegExp(`^dear Ada, thank you for order ${id} \\(message [0-9a-f-]{36}\\)$`))
    expect(said('order.created')).toBe(`order.created {"orderId":"${id}","customer":"Ada"}`)
    expect(app.get(HealthController, { strict: false }).check()).toEqual({ lanes: 2 })
  } finally {
    await app.close()
  }
})

it('the refusal that the page shows is what is said', async () => {
  const { Injectable, Module } = nestCommon
  const handler = (name: string, method: string, options: object) => {
    const made = { [name]: class {} }[name] as new () => object
    Object.defineProperty(made.prototype, method, { value: () => undefined, configurable: true, writable: true })
    const descriptor = Object.getOwnPropertyDescriptor(made.prototype, method) as TypedPropertyDescriptor<() => void>
    nestjs.OnMessage('order.created', options)(made.prototype as object, method, descriptor)
    Injectable()(made)
    return made
  }
  const moduleOf = (name: string, metadata: nestCommon.ModuleMetadata) => {
    const made = { [name]: class {} }[name] as new () => object
    Module(metadata)(made)
    return made
  }
  const app = moduleOf('AppModule', {
    imports: [
      nestjs.WaybillModule.forRoot({}),
      moduleOf('MailModule', { providers: [handler('Mailer', 'send', {})] }),
      moduleOf('SearchModule', { providers: [handler('Search', 'index', {})] }),
    ],
    providers: [handler('Reports', 'build', { queue: 'reports', concurency: 2 })],
  })
  const testing = await Test.createTestingModule({ imports: [app] }).compile()
  const error = (await testing.init().catch((thrown: unknown) => thrown)) as waybill.InputError
  const [shown = ''] = await blocksOf('nestjs.md', 'text')
  expect(error.message.split('\n').sort()).toEqual(shown.trimEnd().split('\n').sort())
})
