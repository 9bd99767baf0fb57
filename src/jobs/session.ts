import { randomUUID } from 'node:crypto'

/**
 * A registration of the worker, and the claims that it holds under it. When others ended the worker (they saw its heart
 * stand still), it goes on under a new one: nothing that the old one claimed is its own any more.
 */
export class Session {
  readonly id = randomUUID()
  readonly #claims = new Map<string, number>()

  /** A claim, before its fetch is sent; `jobs` is how many it may bring. */
  claim(jobs: number): string {
    const claim = randomUUID()
    this.#claims.set(claim, jobs)
    return claim
  }

  /** So many jobs of the claim are no longer the worker's. */
  settle(claim: string, jobs = 1): void {
    const left = (this.#claims.get(claim) ?? 0) - jobs
    if (left > 0) this.#claims.set(claim, left)
    else this.#claims.delete(claim)
  }

  claims(): string[] {
    return [...this.#claims.keys()]
  }
}
