/** What the server still has to answer, in order. It is the only thing that gives an answer its meaning. */
import { createHash, type Hash } from 'node:crypto'
import type { Operation } from './operations.ts'
import type { Portal, Statement } from './statements.ts'

const NO_COPIES: readonly Copy[] = []

/** One message of the client that has an answer of its own. */
export class Expectation {
  readonly kind: 'query' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'call' | 'sync'
  operation: Operation | undefined
  /** Of the statement or portal that this message makes or closes. */
  name: string | undefined
  closes: 'statement' | 'portal' | undefined
  statement: Statement | undefined
  portal: Portal | undefined
  /** This is a substitute: the ErrorResponse to give in place of the server's. */
  refusal: Uint8Array | undefined
  /** One of the messages that tell an outcome has come; only ReadyForQuery is missing. */
  answered = false
  /** The row limit is passed: what else the server says of this statement is kept from the client. */
  withheld: Withheld | undefined
  /** COPYs that the client has sent data for, or that the server has asked for, in order. */
  copies: readonly Copy[] = NO_COPIES
  /** The one of them that the server is at. */
  copy: Copy | undefined
  /** Syncs behind this and before its answer, as long as it may be a COPY. */
  syncs = 0
  /** The client has sent a Sync and, behind it, an end of COPY data: see `Session.doubt`. */
  blurred = false
  /** For a Sync: how many ends of COPY data the client had sent before, under the statement then last. */
  copiesEnded = 0

  constructor(kind: Expectation['kind'], operation?: Operation) {
    this.kind = kind
    this.operation = operation
  }
}

export interface Withheld {
  /** Stands for whatever ends the statement. */
  readonly error: Uint8Array
  /** The client has got it. */
  told: boolean
}

/** Rows are mostly short, and a call of the hash costs as much as hashing some hundred bytes: they are put together. */
const STAGE_BYTES = 16 << 10

/** Bytes of one direction. */
export class Tally {
  bytes = 0
  #hash: Hash | undefined
  #stage: Uint8Array | undefined
  #staged = 0

  add(piece: Uint8Array): void {
    this.bytes += piece.length
    if (this.#staged + piece.length > STAGE_BYTES) this.#flush()
    if (piece.length > STAGE_BYTES / 2) {
      this.#flush()
      this.#hashed().update(piece)
      return
    }
    this.#stage ??= new Uint8Array(STAGE_BYTES)
    this.#stage.set(piece, this.#staged)
    this.#staged += piece.length
  }

  /** Once. */
  done(): { bytes: number; sha256: string } {
    this.#flush()
    this.#stage = undefined
    return { bytes: this.bytes, sha256: this.#hashed().digest('hex') }
  }

  #hashed(): Hash {
    this.#hash ??= createHash('sha256')
    return this.#hash
  }

  #flush(): void {
    if (this.#stage === undefined || this.#staged === 0) return
    this.#hashed().update(this.#stage.subarray(0, this.#staged))
    this.#staged = 0
  }
}

/** The data of one COPY, an operation within the statement that started it. */
export class Copy {
  readonly operation: Operation
  readonly in = new Tally()
  readonly out = new Tally()
  /** The server takes part: undefined as long as the client sends data ahead of the server's consent. */
  mode: 'in' | 'out' | 'both' | undefined
  /** The client has sent its CopyDone or CopyFail. */
  ended = false

  constructor(operation: Operation) {
    this.operation = operation
  }
}

const SLACK = 1024

export class Queue {
  #items: Expectation[] = []
  #first = 0

  get length(): number {
    return this.#items.length - this.#first
  }

  get head(): Expectation | undefined {
    return this.#items[this.#first]
  }

  get last(): Expectation | undefined {
    return this.#first === this.#items.length ? undefined : this.#items[this.#items.length - 1]
  }

  /** The one behind the head. */
  get next(): Expectation | undefined {
    return this.#items[this.#first + 1]
  }

  push(item: Expectation): void {
    this.#items.push(item)
  }

  shift(): Expectation | undefined {
    const item = this.#items[this.#first++]
    if (this.#first === this.#items.length) {
      this.#items = []
      this.#first = 0
    } else if (this.#first > SLACK && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    return item
  }

  /** Takes out the one behind the head. */
  removeNext(): void {
    this.#items.splice(this.#first + 1, 1)
  }
}
