/**
 * A MySQL client that sends the bytes a test wants sent, and keeps all that is answered. It logs in by code of its
 * own, so that it can stand at the gateway's door as well as at the server's.
 */
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { packet, text } from './mysql-play.ts'

export const FLAGS = {
  MYSQL: 0x1,
  CONNECT_WITH_DB: 0x8,
  LOCAL_FILES: 0x80,
  PROTOCOL_41: 0x200,
  TRANSACTIONS: 0x2000,
  SECURE_CONNECTION: 0x8000,
  MULTI_STATEMENTS: 0x1_0000,
  MULTI_RESULTS: 0x2_0000,
  PS_MULTI_RESULTS: 0x4_0000,
  PLUGIN_AUTH: 0x8_0000,
  SESSION_TRACK: 0x80_0000,
  DEPRECATE_EOF: 0x100_0000,
} as const

/** MariaDB's, told where MySQL has reserved bytes, by a client that leaves out MYSQL. */
export const MARIADB = { PROGRESS: 0x1, EXTENDED_METADATA: 0x8, CACHE_METADATA: 0x10 } as const

const ALWAYS =
  FLAGS.CONNECT_WITH_DB |
  FLAGS.PROTOCOL_41 |
  FLAGS.TRANSACTIONS |
  FLAGS.SECURE_CONNECTION |
  FLAGS.MULTI_STATEMENTS |
  FLAGS.MULTI_RESULTS |
  FLAGS.PS_MULTI_RESULTS |
  FLAGS.PLUGIN_AUTH

const UTF8MB4 = 45
const SCRAMBLE_BYTES = 20

export interface RawLogin {
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  /** Beyond those that every session here has. */
  readonly flags?: number
  readonly mariadb?: number
}

export class RawMysql {
  readonly socket: Socket
  /** The number that the greeting gave. */
  threadId = 0
  greeting: Buffer = Buffer.alloc(0)
  /** What was answered since the login, in the pieces it came in. */
  readonly #pieces: Buffer[] = []
  readonly #closed: Promise<void>
  /** Whole packets are cut from this. */
  #pending: Buffer = Buffer.alloc(0)
  #wake: () => void = () => {}
  #ended = false

  private constructor(socket: Socket) {
    this.socket = socket
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
      this.#wake()
    })
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  /** Before anything is said. */
  static open(port: number): RawMysql {
    return new RawMysql(connect({ port, host: '127.0.0.1', noDelay: true }))
  }

  static async logIn(login: RawLogin): Promise<RawMysql> {
    const raw = RawMysql.open(login.port)
    const greeting = await raw.#demand()
    raw.greeting = greeting
    raw.threadId = greeting.readUInt32LE(greeting.indexOf(0, 1) + 1)
    raw.socket.write(packet(1, responseTo(greeting, login)))
    const answer = await raw.#demand()
    if (answer[0] !== 0) throw new Error(`no login: ${answer.toString('latin1')}`)
    raw.#pieces.length = 0
    return raw
  }

  get received(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  get closed(): Promise<void> {
    return this.#closed
  }

  send(...parts: readonly Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts))
  }

  /** The payload of the next packet; undefined at the end of the connection. */
  async packet(): Promise<Buffer | undefined> {
    while (!this.#ended && !this.#isWhole()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (!this.#isWhole()) return undefined
    const end = 4 + this.#pending.readUIntLE(0, 3)
    const whole = this.#pending.subarray(0, end)
    this.#pending = this.#pending.subarray(end)
    this.#pieces.push(whole)
    return whole.subarray(4)
  }

  /** Sends one command and reads its answer, of one packet. */
  async ask(command: Uint8Array): Promise<Buffer | undefined> {
    this.send(command)
    return this.packet()
  }

  destroy(): void {
    this.socket.destroy()
  }

  #isWhole(): boolean {
    return this.#pending.length >= 4 && this.#pending.length >= 4 + this.#pending.readUIntLE(0, 3)
  }

  async #demand(): Promise<Buffer> {
    const payload = await this.packet()
    if (payload === undefined) throw new Error('closed during the login')
    return payload
  }
}

function responseTo(
  greeting: Buffer,
  { user, password, database, flags = 0, mariadb = 0 }: RawLogin,
): Uint8Array {
  const head = greeting.indexOf(0, 1) + 5
  const scramble = Buffer.concat([
    greeting.subarray(head, head + 8),
    greeting.subarray(head + 27, head + 27 + SCRAMBLE_BYTES - 8),
  ])
  const proof = native(password, scramble)
  const fixed = Buffer.alloc(32)
  fixed.writeUInt32LE((ALWAYS | flags | (mariadb === 0 ? FLAGS.MYSQL : 0)) >>> 0, 0)
  fixed.writeUInt32LE(1 << 24, 4)
  fixed[8] = UTF8MB4
  fixed.writeUInt32LE(mariadb, 28)
  return Buffer.concat([
    fixed,
    text(`${user}\0`),
    Uint8Array.of(proof.length),
    proof,
    text(`${database}\0mysql_native_password\0`),
  ])
}

/** SHA1(password) xor SHA1(scramble + SHA1(SHA1(password))). */
function native(password: string, scramble: Buffer): Uint8Array {
  const sha1 = (...parts: readonly Uint8Array[]): Buffer =>
    createHash('sha1').update(Buffer.concat(parts)).digest()
  const stage1 = sha1(text(password))
  const mask = sha1(scramble, sha1(stage1))
  return stage1.map((byte, i) => byte ^ (mask[i] ?? 0))
}
