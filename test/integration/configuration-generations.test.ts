import { describe, expect, it } from 'vitest'
import { type DeployedDestination, deploy } from '../../src/outbox/configuration-store.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { useDispatching } from './dispatching-fixture.js'

const destination = (name: string, patterns: string[] = ['**']): DeployedDestination => ({
  name,
  kind: 'scripted',
  settings: {},
  shards: 1,
  order: 'key',
  onDead: 'hold',
  from: undefined,
  patterns,
})

describe.each(['pg18', 'pg15'] as const)('configurations on %s', (server) => {
  const { pool, start } = useDispatching(server)
  const put = (fingerprint: string, names: string[], generation?: number, patterns?: string[]) =>
    deploy(pool(), { fingerprint, generation, destinations: names.map((name) => destination(name, patterns)) })
  const stored = async (): Promise<unknown[]> =>
    (
      await pool().query<Record<string, unknown>>(
        `select d.name, d.configured, d.generation, array(select r.pattern from waybill.routes r where r.destination = d.name order by 1) as patterns
           from waybill.destinations d order by 1`,
      )
    ).rows

  /** A dispatcher of that generation is known. */
  const runs = (generation: number) =>
    pool().query(
      `insert into waybill.dispatchers (id, name, host, pid, version, generation, lease_ms)
       values (gen_random_uuid(), 'd', 'h', 1, '0', $1, 15000)`,
      [generation],
    )

  it('count up as they change, and the same one again is no change', async () => {
    expect(await put('one', ['crm'])).toMatchObject({ generation: 1, stale: false, added: ['crm'] })
    expect(await put('one', ['crm'])).toMatchObject({ generation: 1, stale: false, added: [] })
    expect(await put('two', ['crm', 'bank'])).toMatchObject({ generation: 2, stale: false, added: ['bank'] })
    expect(await put('two', ['crm', 'bank'])).toMatchObject({ generation: 2, stale: false, added: [] })
  })

  it('that are older overwrite nothing', async () => {
    await put('one', ['crm'], undefined, ['old.*'])
    await put('two', ['crm', 'bank'], undefined, ['new.*'])
    await runs(2)
    const before = await stored()
    expect(await put('one', ['crm'], undefined, ['old.*'])).toMatchObject({
      generation: 1,
      stale: true,
      added: [],
      orphaned: [],
    })
    expect(await stored()).toEqual(before)
  })

  it('that are older take the place of a newer one whose dispatchers have all signed off', async () => {
    await put('one', ['crm'], undefined, ['old.*'])
    await put('two', ['crm'], undefined, ['new.*'])
    expect(await put('one', ['crm'], undefined, ['old.*'])).toMatchObject({
      generation: 3,
      stale: false,
      changed: ['crm'],
    })
    expect(await stored()).toMatchObject([{ name: 'crm', generation: 3, patterns: ['old.*'] }])
    expect(await put('two', ['crm'], undefined, ['new.*'])).toMatchObject({ generation: 4, stale: false })
  })

  it('that no longer name a destination mark it, and keep its lane and what it has', async () => {
    await put('one', ['crm', 'bank'])
    const lanes = async (): Promise<unknown[]> =>
      (
        await pool().query<Record<string, unknown>>(
          'select l.id, l.destination, p.after from waybill.lanes l join waybill.positions p on p.lane_id = l.id order by 1',
        )
      ).rows
    const before = await lanes()
    expect(await put('two', ['crm'])).toMatchObject({ orphaned: ['bank'] })
    expect(await put('two', ['crm'])).toMatchObject({ orphaned: [] })
    expect(await lanes()).toEqual(before)
    expect(await stored()).toMatchObject([
      { name: 'bank', configured: false },
      { name: 'crm', configured: true },
    ])
    expect(await put('three', ['crm', 'bank'])).toMatchObject({ added: [] })
    expect(await lanes()).toEqual(before)
  })

  it('with a generation of their own win by it, and refuse two configurations of one generation', async () => {
    expect(await put('ten', ['crm'], 10)).toMatchObject({ generation: 10, stale: false })
    expect(await put('nine', ['crm', 'bank'], 9)).toMatchObject({ generation: 9, stale: true, added: [] })
    await expect(put('other', ['crm', 'bank'], 10)).rejects.toMatchObject({ code: 'WAYBILL_CONFIG_STALE' })
    expect(await put('ten', ['crm'], 10)).toMatchObject({ generation: 10, stale: false })
    // rolling back to what there was is a new generation of it
    expect(await put('eleven', ['crm', 'bank'], 11)).toMatchObject({ generation: 11, added: ['bank'] })
    expect(await put('ten', ['crm'], 12)).toMatchObject({ generation: 12, stale: false, orphaned: ['bank'] })
    expect(await put('eleven', ['crm', 'bank'], 11)).toMatchObject({ stale: true })
    // without one it comes after
    expect(await put('implicit', ['crm'])).toMatchObject({ generation: 13, stale: false })
  })

  it('deployed by many at once end as one', async () => {
    const deployed = await Promise.all(Array.from({ length: 8 }, () => put('one', ['crm', 'bank'])))
    expect(deployed.map((d) => d.generation)).toEqual(Array(8).fill(1))
    expect(deployed.flatMap((d) => d.added).sort()).toEqual(['bank', 'crm'])
    const { rows } = await pool().query(
      'select destination, count(*)::int as n from waybill.lanes group by 1 order by 1',
    )
    expect(rows).toEqual([
      { destination: 'bank', n: 1 },
      { destination: 'crm', n: 1 },
    ])
  })

  it('that are newer take the lanes of a destination that the older ones do not know', async () => {
    const [oldCrm, newCrm, bank] = [new ScriptedAdapter(), new ScriptedAdapter(), new ScriptedAdapter()]
    const older = await start({ destinations: { crm: { adapter: oldCrm } }, fingerprint: 'old', leaseMs: 1500 })
    await start({
      destinations: { crm: { adapter: newCrm }, bank: { adapter: bank } },
      fingerprint: 'new',
      leaseMs: 1500,
    })
    const holders = async (name: string): Promise<unknown> =>
      (await pool().query('select dispatcher from waybill.lanes where destination = $1', [name])).rows[0]
    await waitFor(async () => (await holders('bank')) !== undefined && bank.attempts.length === 0)
    await publish(pool(), 'order.created', {})
    await waitFor(() => bank.delivered.length >= 1 && oldCrm.delivered.length + newCrm.delivered.length >= 1)
    await older.stop()
    // the older configuration comes back, as a machine does that was left out of a deployment
    const returned = await start({ destinations: { crm: { adapter: oldCrm } }, fingerprint: 'old', leaseMs: 1500 })
    const before = newCrm.delivered.length
    await waitFor(async () => {
      await publish(pool(), 'order.created', {})
      return newCrm.delivered.length > before
    })
    expect(returned.lanes()).toEqual([])
    expect(await stored()).toMatchObject([
      { name: 'bank', configured: true },
      { name: 'crm', configured: true },
    ])
  })

  it('that are older and are deployed again by one dispatcher are those of all that have them', async () => {
    const one = (fingerprint: string, generation?: number) =>
      start({
        destinations: { crm: { adapter: new ScriptedAdapter() }, bank: { adapter: new ScriptedAdapter() } },
        ...{ fingerprint, leaseMs: 1500, redeploys: true, ...(generation !== undefined && { generation }) },
      })
    await (await one('before')).stop()
    const newer = await one('newer')
    // a rollback that replaces one dispatcher after another: the first of them finds a newer one at work, the second does not
    const first = await one('before')
    await waitFor(() => newer.lanes().length === 2)
    await newer.stop()
    const second = await one('before')
    await waitFor(() => [first, second].every((dispatcher) => dispatcher.lanes().length === 1))
    await second.stop()
    // and one with the same configuration, that was given a greater generation
    const third = await one('before', 10)
    await waitFor(() => [first, third].every((dispatcher) => dispatcher.lanes().length === 1))
  })
})
