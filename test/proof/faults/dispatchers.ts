import { setTimeout as sleep } from 'node:timers/promises'
import { type Fault, anyone, between, lasting, leaseMs, mortal, step } from './fault.js'

export const dispatcherFaults: readonly Fault[] = [
  { name: 'none', title: 'nothing', strike: () => sleep(1000) },
  {
    name: 'kill',
    title: 'a dispatcher is killed (SIGKILL)',
    strike: (scene) => scene.fleet.kill(mortal(scene)),
  },
  {
    name: 'freeze',
    title: 'a dispatcher is frozen past its lease (SIGSTOP), and goes on',
    async strike(scene) {
      const thaw = scene.fleet.freeze(anyone(scene))
      await sleep(between(scene, 1.5 * leaseMs, 3 * leaseMs)).finally(thaw)
    },
  },
  {
    name: 'clock-dispatcher',
    title: "a dispatcher's wall clock is set forward or back by an hour, and right again",
    needs: ['clocks'],
    strike: lasting(2000, 5000, async (scene) => {
      const [{ fleet }, one] = [scene, anyone(scene)]
      await fleet.setClock(one, step(scene))
      return () => fleet.setClock(one, 0)
    }),
  },
]
