/**
 * Somebody on the wire between a client and the gateway. Up to NEWKEYS they read and write as they like; what comes
 * behind it they can only leave out, and that is what CVE-2023-48795 (Terrapin) needs.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface Meddling {
  readonly towards: 'gateway' | 'client'
  /** What they say in clear, in somebody else's name, before a message of that number. */
  readonly say?: { readonly payload: Uint8Array; readonly before: number }
  /** How many of the first bytes behind NEWKEYS they leave out. */
  readonly drop?: number
}

const NEWKEYS = 21
const BLOCK = 8

export class Meddler implements Disposable {
  readonly #server: Server
  readonly #sockets: Socket[] = []

  private constructor(server: Server) {
    this.#server = server
  }

  static async between(gatewayPort: number, meddling?: Meddling): Promise<Meddler> {
    const server = createServer()
    const meddler = new Meddler(server)
    server.on('connection', (client) => {
      const gateway = connect(gatewayPort, '127.0.0.1')
      meddler.#join(client, gateway, meddling?.towards === 'gateway' ? meddling : undefined)
      meddler.#join(gateway, client, meddling?.towards === 'client' ? meddling : undefined)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return meddler
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return address.port
  }

  [Symbol.dispose](): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #join(from: Socket, to: Socket, meddling: Meddling | undefined): void {
    this.#sockets.push(from)
    const wire = new Wire(meddling ?? { towards: 'client' })
    from.on('data', (bytes) => to.write(wire.pass(bytes)))
    from.on('error', () => undefined)
    from.on('close', () => to.end())
  }
}

/** One direction: a line, packets in clear, and behind NEWKEYS what nobody can read. */
class Wire {
  readonly #meddling: Meddling
  #unread = Buffer.alloc(0)
  #state: 'line' | 'clear' | 'sealed' = 'line'
  #left: number

  constructor(meddling: Meddling) {
    this.#meddling = meddling
    this.#left = meddling.drop ?? 0
  }

  pass(bytes: Uint8Array): Buffer {
    this.#unread = Buffer.concat([this.#unread, bytes])
    const passed: Buffer[] = []
    for (let part = this.#next(); part !== undefined; part = this.#next()) passed.push(part)
    return Buffer.concat(passed)
  }

  #next(): Buffer | undefined {
    if (this.#unread.length === 0) return undefined
    switch (this.#state) {
      case 'line': {
        const end = this.#unread.indexOf(0x0a)
        if (end === -1) return undefined
        this.#state = 'clear'
        return this.#take(end + 1)
      }
      case 'clear': {
        const length = this.#unread.length < 4 ? Number.POSITIVE_INFINITY : this.#unread.readUInt32BE(0) + 4
        if (this.#unread.length < length) return undefined
        const packet = this.#take(length)
        if (packet[5] === NEWKEYS) this.#state = 'sealed'
        const { say } = this.#meddling
        return say !== undefined && say.before === packet[5]
          ? Buffer.concat([inClear(say.payload), packet])
          : packet
      }
      case 'sealed': {
        const dropped = this.#take(Math.min(this.#left, this.#unread.length))
        this.#left -= dropped.length
        return this.#take(this.#unread.length)
      }
    }
  }

  #take(length: number): Buffer {
    const taken = this.#unread.subarray(0, length)
    this.#unread = this.#unread.subarray(length)
    return taken
  }
}

function inClear(payload: Uint8Array): Buffer {
  const padding = 4 + ((2 * BLOCK - ((payload.length + 9) % BLOCK)) % BLOCK)
  const packet = Buffer.alloc(5 + payload.length + padding)
  packet.writeUInt32BE(packet.length - 4)
  packet[4] = padding
  packet.set(payload, 5)
  return packet
}
