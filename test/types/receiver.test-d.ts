import type { IncomingMessage } from 'node:http'
import { expectTypeOf } from 'expect-type'
import express from 'express'
import Fastify from 'fastify'
import { describe, it } from 'vitest'
import { webhookReceiver as forExpress } from '../../src/receiver/express.js'
import { webhookReceiver as forFastify } from '../../src/receiver/fastify.js'
import { type ReceivedWebhook, verifyWebhook } from '../../src/receiver/index.js'

describe('what a receiver gives', () => {
  it('has no payload that nobody has looked at', () => {
    const webhook = verifyWebhook({ headers: new Headers(), rawBody: '', secrets: 's' })
    expectTypeOf(webhook.payload).toEqualTypeOf<unknown>()
    expectTypeOf(webhook.timestamp).toEqualTypeOf<Date>()
    expectTypeOf(webhook.key).toEqualTypeOf<string | undefined>()
  })

  it('takes headers of every kind', () => {
    const { headers } = {} as IncomingMessage
    const rest = { rawBody: new Uint8Array(), secrets: ['s'] }
    verifyWebhook({ headers, ...rest })
    verifyWebhook({ headers: new Map([['webhook-id', '1']]), ...rest })
    verifyWebhook({ headers: { 'Webhook-Id': ['1'] }, ...rest })
    // @ts-expect-error a parsed body is none
    verifyWebhook({ headers, secrets: 's', rawBody: { n: 1 } })
  })
})

describe('middlewares', () => {
  it('for Express adds req.webhook', () => {
    express().post('/', forExpress({ secrets: 's', tolerance: '1m', limit: 1 }), (request) => {
      expectTypeOf(request.webhook).toEqualTypeOf<ReceivedWebhook | undefined>()
    })
  })

  it('for Fastify adds request.webhook, and its options are checked', () => {
    const app = Fastify()
    void app.register(forFastify, { secrets: 's' })
    // @ts-expect-error secrets are required
    void app.register(forFastify, { limit: 1 })
    app.post('/', async (request) => {
      expectTypeOf(request.webhook).toEqualTypeOf<ReceivedWebhook>()
    })
  })
})
