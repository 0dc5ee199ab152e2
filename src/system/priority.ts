/** Which thread goes first where there are more of them than cores. */
import { setPriority } from 'node:os'

/** Of what has time: a tenth of a core is left to it by one busy thread that wants the same. */
const NICENESS = 10

/** Lets other threads go before the one that calls this. Only Linux tells threads of a process apart. */
export function standBack(): void {
  if (process.platform === 'linux') setPriority(NICENESS)
}
