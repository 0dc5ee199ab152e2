/**
 * What the bytes of a running program pass through in both directions, on their way into the record: one kind
 * for programs without a terminal (plain-tap.ts), one for terminals, one for SFTP.
 */
import type { OutcomeFacts } from '../events.ts'
import type { Refusal } from '../relay.ts'
import type { Stream } from './channel.ts'
import type { Operations } from './operations.ts'
import type { TerminalSize } from './requests.ts'

export interface Tap {
  fromPerson(bytes: Uint8Array): void
  fromHost(stream: Stream, bytes: Uint8Array): void
  resize(size: TerminalSize): void
  /** A reason to end the session, when there is one. */
  tick(nowMs: number): Refusal | undefined
  /** What is known of the program when it has ended; nothing comes after this. */
  facts(): Pick<OutcomeFacts, 'bytes' | 'payloads'>
}

/** Where a tap's bytes go on to, and where its records do. */
export interface TapPorts {
  readonly operations: Operations
  readonly op: number
  toHost(bytes: Uint8Array): void
  toPerson(stream: Stream, bytes: Uint8Array): void
  /** What goes to the person after this tells an outcome. */
  hold(): void
}
