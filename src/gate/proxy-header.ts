/** PROXY protocol version 2, section 2.2 of its specification: who really connects, as a load balancer tells it. */
import { ProtocolError, Reader } from '../../protocols/bytes.ts'
import { type Conversation, read } from '../../protocols/conversation.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const FIXED_BYTES = 16
/** Addresses and a few extensions; the field itself could say 64 KiB. */
const REST_BYTES_MAX = 4096
const LOCAL = 0x20
const PROXY = 0x21
const TCP4 = 0x11
const TCP6 = 0x21

export interface Peer {
  readonly address: string
  readonly port: number
}

/** The peer it names; undefined where the balancer speaks for itself (a health check). */
export function* readProxyHeader(): Conversation<Peer | undefined> {
  const fixed = new Reader(yield* read(FIXED_BYTES))
  if (Buffer.from(fixed.bytes(12)).toString('hex') !== SIGNATURE)
    throw new ProtocolError('no PROXY protocol v2 header')
  const command = fixed.uint8()
  const family = fixed.uint8()
  const length = fixed.uint16()
  if (length > REST_BYTES_MAX) throw new ProtocolError(`a PROXY header of ${length} bytes`)
  const rest = new Reader(yield* read(length))
  if (command === LOCAL) return undefined
  if (command !== PROXY) throw new ProtocolError(`unknown PROXY command ${command}`)
  if (family === TCP4) {
    const address = [...rest.bytes(4)].join('.')
    rest.bytes(4)
    return { address, port: rest.uint16() }
  }
  if (family === TCP6) {
    const groups = Array.from({ length: 8 }, () => rest.uint16().toString(16))
    rest.bytes(16)
    return { address: groups.join(':'), port: rest.uint16() }
  }
  throw new ProtocolError(`PROXY protocol family ${family}`)
}
