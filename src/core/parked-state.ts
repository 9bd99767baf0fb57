/** The states of a delivery that left the fast path; a row of waybill.deliveries is in one of them. */
export const parkedStates = ['retrying', 'held', 'dead', 'in_flight'] as const
export type ParkedStateName = (typeof parkedStates)[number]
