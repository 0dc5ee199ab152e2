/**
 * Parts of ssh2 1.17.0 that its types do not show, by their shape. Its channels' own methods do nothing once
 * their input has ended, and `break` it has no method for. Tests hold these to the version that is pinned.
 */

/** Protocol.js. */
export interface InnerProtocol {
  windowChange(channel: number, rows: number, columns: number, height: number, width: number): void
  signal(channel: number, name: string): void
  /** Set while keys are exchanged: packets wait in the queue. */
  readonly _kexinit: unknown
  _queue: Uint8Array[] | undefined
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number
      alloc(length: number): Uint8Array
      finalize(packet: Uint8Array): Uint8Array
    }
  }
  readonly _cipher: { encrypt(packet: Uint8Array): void }
}

/** Channel.js: the number by which the host knows it, and what may still be sent on it. */
export interface InnerChannel {
  readonly outgoing: { readonly id: number; readonly state: string }
}

/** What Protocol.js can send; it throws for all others. */
export const SIGNALS: ReadonlySet<string> = new Set(
  'ABRT ALRM FPE HUP ILL INT QUIT SEGV TERM USR1 USR2 KILL PIPE'.split(' '),
)

/** As Protocol.js sends its own channel requests (`sendPacket` of utils.js): a request of any name. */
export function sendRequest(protocol: InnerProtocol, request: Uint8Array): void {
  const { write } = protocol._packetRW
  const packet = write.alloc(request.length)
  packet.set(request, write.allocStart)
  const whole = write.finalize(packet)
  if (protocol._kexinit === undefined) {
    protocol._cipher.encrypt(whole)
  } else {
    protocol._queue ??= []
    protocol._queue.push(whole)
  }
}
