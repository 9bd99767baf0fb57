/** How a poison job ends the process of its worker: SIGKILL, an exit, or a thread that it never gives back. */
export const endings = ['killed', 'exits', 'spins'] as const
export type Ending = (typeof endings)[number]
