/**
 * A new process takes the place of a running gateway. In this order: clients can wait here; the running one is asked
 * to end; it lets its sessions end and the book go; the book is opened here. There is one writer at any time, and
 * between the two nobody is turned away, but waits (docs/decisions/0004-an-upgrade-waits.md).
 */
import { call, NoGatewayError } from '../control/client.ts'
import { WaitingRoom } from '../gate/waiting-room.ts'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import { OperatorError } from '../system/operator-error.ts'
import { type RecordingOptions, readKek } from './recording.ts'

/** What the gateway that ends says of itself. */
export interface HandOver {
  /** How long it lets open sessions go on. */
  readonly graceMs: number
}

export interface TakeOver {
  /** A personal token, where the running gateway demands one. */
  readonly token?: string
}

export interface TakingOver extends Disposable {
  readonly room: WaitingRoom
  /** Carries out what needs the book, as soon as nobody else holds it. */
  whenFree<Result>(open: () => Promise<Result>): Promise<Result>
}

const LOOK_MS = 200
/** Beyond the time that the running gateway gives its sessions: to write what is left, and to close the book. */
const CLOSING_MS_MAX = 60_000

export async function takeOver(
  options: RecordingOptions & { readonly clock: Clock; readonly log: Log },
  { token }: TakeOver,
): Promise<TakingOver> {
  const { loaded, clock, log } = options
  const { listeners, gateway } = loaded.config
  if (process.platform !== 'linux') {
    throw new OperatorError(
      'usage',
      'two processes can share an address on Linux only: stop the running one first',
    )
  }
  // What would keep this process from starting must show before the other one ends.
  await readKek(options)
  using undo = new DisposableStack()
  const onFault = (name: string, error: unknown): void => log.connectionFailed({ listener: name, error })
  const room = undo.use(await WaitingRoom.open(listeners, onFault))
  const running = { socket: gateway.control.socket, ...(token === undefined ? {} : { token }) }
  const { graceMs } = await askToEnd(running)
  log.takingOver({ graceMs })
  const until = clock.steady() + graceMs + CLOSING_MS_MAX
  undo.move()
  return {
    room,
    async whenFree(open) {
      while (clock.steady() < until && (await answers(running))) await sleep(clock)
      return whenFree(open, { clock, until })
    },
    [Symbol.dispose]: () => room[Symbol.dispose](),
  }
}

async function askToEnd(running: Parameters<typeof call>[0]): Promise<HandOver> {
  try {
    return (await call(running, 'gateway.hand-over', {})) as HandOver
  } catch (error) {
    // None runs, or its last breath is being drawn: then there is only the book to wait for.
    if (error instanceof NoGatewayError) return { graceMs: 0 }
    throw error
  }
}

/** A gateway that no longer does is about to let the book go; to try for it before would only cost. */
async function answers(running: Parameters<typeof call>[0]): Promise<boolean> {
  try {
    await call(running, 'sessions.list', {})
    return true
  } catch (error) {
    return error instanceof OperatorError
  }
}

/** Whether the book is held by somebody is known by trying: its lock is the kernel's, and says so however they end. */
async function whenFree<Result>(
  open: () => Promise<Result>,
  { clock, until }: { readonly clock: Clock; readonly until: number },
): Promise<Result> {
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (!isLocked(error)) throw error
      if (clock.steady() >= until) {
        const message = 'the running gateway has not let the book go; it runs on, or what is left of it does'
        throw new OperatorError('disk', message, { cause: error })
      }
    }
    await sleep(clock)
  }
}

function sleep(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.after(LOOK_MS, resolve))
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'locked'
}
