/**
 * What every connection shares: the recorder, who may come, what is in force now. A reload replaces `InForce` as a
 * whole; a connection reads it at each decision and never keeps a part of it.
 */

import { type SqlReader, saltPassword } from '../../protocols/postgres/index.ts'
import type { Authenticator } from '../access/authenticate.ts'
import type { Credentials } from '../access/credentials.ts'
import type { AccessEvent } from '../access/events.ts'
import type { Hosts } from '../access/hosts.ts'
import type { LiveConnections } from '../access/live.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Note, Noted } from '../record/notes.ts'
import { note } from '../record/notes.ts'
import type { Recorder } from '../record/recorder.ts'
import type { Clock } from '../system/clock.ts'
import type { Log } from '../system/log.ts'
import type { Nursery } from '../system/nursery.ts'
import type { Cancels } from './cancels.ts'
import type { Greetings } from './greetings.ts'
import { SaltedPasswords } from './salted.ts'
import type { Threads } from './threads.ts'
import type { ServerTls } from './tls.ts'

export interface InForce {
  readonly loaded: LoadedConfig
  readonly credentials: Credentials
  /** The keys of SSH, of both sides. */
  readonly hosts: Hosts
  readonly tls: ServerTls
  /** The same certificate in PEM, for servers that make their own context. */
  readonly certificate: { readonly cert: Uint8Array; readonly key: Uint8Array }
}

export interface GateParts {
  readonly recorder: Recorder
  readonly authenticator: Authenticator
  readonly live: LiveConnections
  readonly cancels: Cancels
  readonly threads: Threads
  readonly sql: SqlReader
  readonly greetings: Greetings
  readonly clock: Clock
  readonly nursery: Nursery
  readonly log: Log
  readonly random: (length: number) => Uint8Array
}

/** Addresses whose last refused login is remembered, for the id that later, merely counted ones are shown. */
const REFUSED_KEPT = 1024

export class Gate {
  readonly parts: GateParts
  readonly salted = new SaltedPasswords(saltPassword)
  #inForce: InForce
  #draining = false
  readonly #refused = new Map<string, string>()

  constructor(parts: GateParts, inForce: InForce) {
    this.parts = parts
    this.#inForce = inForce
  }

  get inForce(): InForce {
    return this.#inForce
  }

  replace(inForce: InForce): void {
    this.#inForce = inForce
  }

  get draining(): boolean {
    return this.#draining
  }

  drain(): void {
    this.#draining = true
  }

  /** Into the gateway's own session. */
  note(event: Noted): Note {
    return note(this.parts.recorder.gateway, event)
  }

  /** A login that failed, or several counted as one. It is refused whether or not that can be told. */
  noteRefusedLogin(event: Extract<AccessEvent, { type: 'login' }>): void {
    const { recorder, log } = this.parts
    if (recorder.failure !== undefined) return
    let record = ''
    try {
      record = this.note(event).record
    } catch (error) {
      log.unexpected(error)
    }
    const address = event.private.address ?? ''
    this.#refused.delete(address)
    this.#refused.set(address, record)
    const [oldest] = this.#refused.keys()
    if (this.#refused.size > REFUSED_KEPT && oldest !== undefined) this.#refused.delete(oldest)
  }

  /** The record of the last refused login from there: repeated ones are counted and share it. */
  refusedRecord(address: string): string {
    return this.#refused.get(address) ?? ''
  }
}
