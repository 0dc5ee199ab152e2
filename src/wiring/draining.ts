/** How a gateway ends: nobody is turned away who has come, nothing is cut off that runs, and none of it for ever. */
import { setImmediate } from 'node:timers/promises'
import type { Ending } from '../access/live.ts'
import type { Gate } from '../gate/gate.ts'

const LOOK_MS = 50
/** Nobody at the door, who may never say who they are, holds the end up for longer. */
const DOOR_MS_MAX = 5000
/** Whoever has just connected or had an answer is about to say something: for half of the time given he may. */
const QUIET_MS = 1000
/** From the last moment on until connections that do not close are given up. */
const END_MS_MAX = 6000

export interface Drained {
  readonly gate: Gate
  /** Takes no further connections. */
  readonly refuse: () => void
  /** All that are open, of strangers and of sessions. */
  readonly connections: () => number
  /** When the last session ends, by the steady clock. It may come nearer meanwhile. */
  readonly stopBy: () => number
}

/** Resolves when no session is open, or none that can still be talked to. */
export async function drain(drained: Drained): Promise<void> {
  const { gate, stopBy } = drained
  const { live, clock, recorder } = gate.parts
  const sleep = (): Promise<void> => new Promise((resolve) => clock.after(LOOK_MS, resolve))
  const began = clock.steady()
  await refuseFurther(drained)
  const isAtTheDoor = (): boolean => drained.connections() > live.size
  while (isAtTheDoor() && clock.steady() < Math.min(began + DOOR_MS_MAX, stopBy())) await sleep()
  gate.drain()
  const ending: Ending = { why: 'stop', message: 'the gateway stops' }
  while (live.size > 0 && clock.steady() < stopBy() && recorder.failure === undefined) {
    const quietMs = clock.steady() < (began + stopBy()) / 2 ? QUIET_MS : 0
    for (const connection of live.list()) {
      const isQuiet = clock.now() - connection.lastTraffic() >= quietMs
      if (connection.isIdle() && isQuiet) connection.end(ending)
    }
    await sleep()
  }
  for (const connection of live.list()) connection.end(ending)
  const cut = clock.steady() + END_MS_MAX
  while (live.size > 0 && clock.steady() < cut) await sleep()
}

/** The loop turns first: whoever waits in the kernel's queue would be thrown away with the listener, and is taken in. */
async function refuseFurther({ refuse }: Drained): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await setImmediate()
  refuse()
}
