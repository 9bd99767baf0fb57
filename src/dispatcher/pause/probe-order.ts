/**
 * Which of the messages that have not failed probes next, by number of the probe: the oldest, the one in the middle, the
 * newest, then what lies between. However long the run of bad ones, and wherever it lies, half of all probes in a row hit
 * the other half of the log.
 */
export function probePlace(n: number, length: number): number {
  const share = n === 0 ? 0 : n === 1 ? 0.5 : n === 2 ? 1 : halved(n - 1)
  return Math.min(length - 1, Math.round(share * (length - 1)))
}

/** The van der Corput sequence in base 2: 1/2, 1/4, 3/4, 1/8, 5/8, … */
function halved(n: number): number {
  let share = 0
  for (let bit = 0.5, rest = n; rest > 0; bit /= 2, rest = Math.floor(rest / 2)) share += bit * (rest % 2)
  return share
}
