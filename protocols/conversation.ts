/**
 * A handshake as plain steps. A conversation is a generator: it reads top to bottom like awaiting code, holds
 * no socket, and says what it wants next. Whoever runs it (src/gate/converse.ts on a socket, test/support/play.ts
 * on an array) owns the bytes, the time limit and the order of effects:
 *
 * - `read` answers with exactly `length` bytes, in order. What was not read is left for whoever comes next.
 * - `send` is written in order, before the next `read` is waited for. A `quiet` one first demands that no bytes
 *   are pending: the peer has to wait for this answer before it says more.
 * - `start-tls` first demands that no plain bytes are pending (they would be accepted in clear behind the
 *   request: CVE-2021-23214), then stops reading in clear, writes `reply`, and only then lets TLS begin.
 *   It answers with what the TLS handshake showed. An `early` one is for peers that begin their handshake without
 *   waiting for an answer: what is pending is then fed to TLS, and never read in clear.
 * - `ask` is a question that only the world outside can answer. The protocol says what it may ask.
 *
 * A peer's fault is thrown as ProtocolError, by the conversation or into it; the runner closes the connection.
 */
import { ProtocolError } from './bytes.ts'

export interface TlsFacts {
  /** What ALPN agreed on, if anything. */
  readonly protocol: string | undefined
  /** DER of the certificate that this end showed; undefined on the side that showed none. */
  readonly ownCertificate: Uint8Array | undefined
  /** DER of the peer's certificate, already verified by the runner under its policy. */
  readonly peerCertificate: Uint8Array | undefined
}

export type Want<Question = never> =
  | { readonly type: 'read'; readonly length: number }
  | { readonly type: 'send'; readonly bytes: Uint8Array; readonly quiet?: boolean }
  | {
      readonly type: 'start-tls'
      readonly reply: Uint8Array
      readonly alpn: readonly string[]
      readonly early?: boolean
    }
  | { readonly type: 'ask'; readonly question: Question }

/** `Question` is what may be asked; the answer's type is checked by `ask` through its caller. */
export type Conversation<Result, Question = never> = Generator<Want<Question>, Result, unknown>

/** No handshake message of any protocol is longer; a length is checked against it before memory is taken. */
export const HANDSHAKE_READ_MAX = 1 << 20

export function* read(length: number): Conversation<Uint8Array> {
  if (length > HANDSHAKE_READ_MAX) throw new ProtocolError(`a handshake message of ${length} bytes`)
  const bytes = yield { type: 'read', length }
  if (!(bytes instanceof Uint8Array)) throw new TypeError('the runner answered a read with something else')
  return bytes
}

export function* send(bytes: Uint8Array): Conversation<void> {
  yield { type: 'send', bytes }
}

const NOTHING = new Uint8Array(0)

/** Upgrades to TLS after `reply`, which may be empty. */
export function* startTls(reply: Uint8Array = NOTHING, alpn: readonly string[] = []): Conversation<TlsFacts> {
  const facts = yield { type: 'start-tls', reply, alpn }
  return facts as TlsFacts
}

/** Upgrades to TLS where the peer's handshake may have come right behind its request. */
export function* startEarlyTls(): Conversation<TlsFacts> {
  const facts = yield { type: 'start-tls', reply: NOTHING, alpn: [], early: true }
  return facts as TlsFacts
}
