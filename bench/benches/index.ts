import { type Bench } from '../lib/types.js'
import { drain } from './drain.js'

export const benches: ReadonlyMap<string, Bench> = new Map([drain].map((bench) => [bench.name, bench]))
