import { defineTopics } from 'waybill'

/** What this application tells others. With zod, valibot or arktype a topic can have the shape of its payload, too. */
export const topics = defineTopics(['order.created'])
