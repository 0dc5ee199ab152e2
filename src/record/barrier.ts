/** What must be where before what may pass, by durability mode. FORMAT.md's section on durability has the table. */
import type { Reach } from './group-commit.ts'

/**
 * strict: nothing reaches the target before its record is on disk. standard: the kernel has the record before the
 * target has the request, and the disk has it before the client has the outcome. relaxed: within 200 ms.
 */
export type Durability = 'strict' | 'standard' | 'relaxed'

export interface Barrier {
  /** Before the bytes that an operation's begin announces go to the target. */
  readonly forward: Reach | undefined
  /** Before the first message that tells an outcome goes to the client. */
  readonly release: Reach | undefined
  /** Before a piece of a stream passes in the direction of the client: terminal output under `strict`. */
  readonly stream: Reach | undefined
}

export const BARRIERS: Readonly<Record<Durability, Barrier>> = {
  strict: { forward: 'durable', release: 'durable', stream: 'durable' },
  standard: { forward: 'written', release: 'durable', stream: undefined },
  relaxed: { forward: undefined, release: undefined, stream: undefined },
}
