/** A conversation in the middle of a relay: authentication again, on bytes that the relay receives. */
import { concat } from '../bytes.ts'
import type { Conversation } from '../conversation.ts'

export class Inner<Result, Question> {
  readonly #conversation: Conversation<Result, Question>
  readonly #send: (bytes: Uint8Array) => void
  readonly #answer: (question: Question) => unknown
  #input: Uint8Array = new Uint8Array(0)
  #wanted = 0

  /** `send` and `answer` are called before the next bytes are looked at; it begins at once. */
  constructor(
    conversation: Conversation<Result, Question>,
    send: (bytes: Uint8Array) => void,
    answer: (question: Question) => unknown,
  ) {
    this.#conversation = conversation
    this.#send = send
    this.#answer = answer
  }

  /** Undefined while it goes on; at the end its result, and the bytes behind it. */
  feed(bytes: Uint8Array): { readonly result: Result; readonly rest: Uint8Array } | undefined {
    // A copy: the chunk goes back to its owner, and the conversation may keep what it reads.
    this.#input = concat([this.#input, bytes])
    let answer: unknown
    if (this.#wanted > 0) {
      if (this.#input.length < this.#wanted) return undefined
      answer = this.#take()
    }
    while (true) {
      const step = this.#conversation.next(answer)
      if (step.done) return { result: step.value, rest: this.#input }
      const want = step.value
      answer = undefined
      switch (want.type) {
        case 'send':
          this.#send(want.bytes)
          break
        case 'ask':
          answer = this.#answer(want.question)
          break
        case 'read':
          this.#wanted = want.length
          if (this.#input.length < this.#wanted) return undefined
          answer = this.#take()
          break
        case 'start-tls':
          throw new TypeError('TLS begins once, before the relay')
      }
    }
  }

  #take(): Uint8Array {
    const bytes = this.#input.subarray(0, this.#wanted)
    this.#input = this.#input.subarray(this.#wanted)
    this.#wanted = 0
    return bytes
  }
}
