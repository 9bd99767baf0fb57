import { defineCommand } from '../command.js'

/** `waybill destinations`: what is deployed. */
export const register = defineCommand({
  name: 'destinations',
  summary: 'List the destinations as last deployed',
  description: 'Lag is that of the lane which is furthest behind: an upper bound.',
  async run({ schema, out }) {
    const { listDestinations } = await import('../../app/inspect.js')
    out.table(
      await listDestinations(await schema()),
      [
        { title: 'destination', value: (row) => row.name },
        { title: 'kind', value: (row) => row.kind },
        { title: 'configured', value: (row) => (row.configured ? 'yes' : 'no: it waits until it is removed') },
        { title: 'topics', value: (row) => row.patterns.join(', ') },
        { title: 'order', value: (row) => row.order },
        { title: 'lanes', value: (row) => row.lanes, align: 'right' },
        { title: 'lag', value: (row) => row.lagMessages, align: 'right' },
        { title: 'retrying', value: (row) => row.retrying, align: 'right' },
        { title: 'held', value: (row) => row.held, align: 'right' },
        { title: 'dead', value: (row) => row.dead, align: 'right' },
      ],
      'no destinations: nothing has been deployed yet',
    )
  },
})
