/**
 * A PostgreSQL client that sends the bytes a test wants sent, and tells the messages that come. It logs in by code
 * of its own, so that it can stand at the gateway's door as well as at the server's.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { front } from './postgres-messages.ts'

export interface Message {
  readonly tag: string
  readonly body: Buffer
  /** The fields of an ErrorResponse or NoticeResponse, by letter; the strings of what holds strings. */
  readonly fields: Readonly<Record<string, string>>
}

export interface RawOptions {
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database?: string
  readonly version?: number
  readonly parameters?: Readonly<Record<string, string>>
  /** `after-request`: by SSLRequest. `direct`: TLS from the first byte. */
  readonly tls?: 'after-request' | 'direct'
  readonly secure?: ConnectionOptions
  /** The client's own address; loopback has many. */
  readonly from?: string
}

const WAIT_MS_MAX = 20_000

export class GoneError extends Error {
  override readonly name = 'GoneError'
}

/** A connection, before anything is said on it. */
export class RawConnection {
  socket: Socket | TLSSocket
  /** All that came after the login, as it came. */
  received: Buffer = Buffer.alloc(0)
  #pending: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => {}
  readonly #closed: Promise<void>

  private constructor(socket: Socket) {
    this.socket = socket
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()))
    this.#listen()
  }

  static open(port: number, from = '127.0.0.1'): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawConnection(socket))
      })
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  get closed(): Promise<void> {
    return this.#closed
  }

  send(...parts: readonly Uint8Array[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts))
  }

  async secure(options: ConnectionOptions): Promise<void> {
    const plain = this.socket
    plain.removeAllListeners('data')
    const secured = connectTls({ socket: plain, rejectUnauthorized: false, ...options })
    await new Promise<void>((resolve, reject) => {
      secured.once('secureConnect', resolve)
      secured.once('error', reject)
      secured.once('close', () => reject(new GoneError('closed during the TLS handshake')))
    })
    this.socket = secured
    this.#listen()
  }

  async bytes(length: number): Promise<Buffer> {
    await this.#wait(() => this.#pending.length >= length)
    if (this.#pending.length < length) throw new GoneError('the peer closed the connection')
    const taken = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    return taken
  }

  /** The next message; undefined at the end of the connection. */
  async message(): Promise<Message | undefined> {
    await this.#wait(() => this.#pending.length >= 5)
    if (this.#pending.length < 5) return undefined
    const length = this.#pending.readUInt32BE(1) + 1
    await this.#wait(() => this.#pending.length >= length)
    if (this.#pending.length < length) return undefined
    const whole = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    this.received = Buffer.concat([this.received, whole])
    return messageOf(String.fromCharCode(whole[0] ?? 0), whole.subarray(5))
  }

  /** Messages up to the first of `tag`, it included; fewer where the connection ends before. */
  async until(tag: string, times = 1): Promise<Message[]> {
    const found: Message[] = []
    let left = times
    for (let next = await this.message(); next !== undefined; next = await this.message()) {
      found.push(next)
      if (next.tag === tag && --left === 0) break
    }
    return found
  }

  /** Everything up to the end of the connection. */
  async rest(): Promise<Message[]> {
    return this.until('never')
  }

  /** Runs one simple Query. */
  async query(text: string): Promise<Message[]> {
    this.send(front.query(text))
    return this.until('Z')
  }

  destroy(): void {
    this.socket.destroy()
  }

  #listen(): void {
    this.socket.on('data', (chunk: Buffer) => {
      this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
      this.#wake()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake()
    }
    this.socket.on('error', end).on('end', end).on('close', end)
  }

  async #wait(isThere: () => boolean): Promise<void> {
    const late = setTimeout(() => this.socket.destroy(new Error('nothing came')), WAIT_MS_MAX)
    while (!isThere() && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    clearTimeout(late)
  }
}

export interface RawSession extends RawConnection {
  readonly pid: number
  readonly secret: Buffer
  /** What the server reported at the login. */
  readonly parameters: ReadonlyMap<string, string>
  /** All messages of the login, by their tags, from the authentication's end. */
  readonly greeting: readonly Message[]
}

/** Opens a connection, in TLS where asked for, without a startup packet. */
export async function openRaw(
  options: Pick<RawOptions, 'port' | 'tls' | 'secure' | 'from'>,
): Promise<RawConnection> {
  const raw = await RawConnection.open(options.port, options.from)
  if (options.tls === 'direct') await raw.secure({ ALPNProtocols: ['postgresql'], ...options.secure })
  if (options.tls === 'after-request') {
    raw.send(front.sslRequest)
    const answer = (await raw.bytes(1)).toString()
    if (answer !== 'S') throw new Error(`TLS was answered with ${answer}`)
    await raw.secure({ ...options.secure })
  }
  return raw
}

/** Logs in. A refusal is thrown as a RefusedError. */
export async function logIn(options: RawOptions): Promise<RawSession> {
  const raw = await openRaw(options)
  try {
    return await authenticate(raw, options)
  } catch (error) {
    raw.destroy()
    throw error
  }
}

export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly fields: Message['fields']

  constructor(fields: Message['fields']) {
    super(`${fields['S']} ${fields['C']}: ${fields['M']}`)
    this.fields = fields
  }
}

async function expectMessage(raw: RawConnection): Promise<Message> {
  const found = await raw.message()
  if (found === undefined) throw new GoneError('closed during the login')
  if (found.tag === 'E') throw new RefusedError(found.fields)
  return found
}

async function authenticate(raw: RawConnection, options: RawOptions): Promise<RawSession> {
  const { user, password, database, version = 0x30000, parameters = {} } = options
  const named = database === undefined ? {} : { database }
  raw.send(front.startup(version, { user, ...named, ...parameters }))
  let scram: ReturnType<typeof startScram> | undefined
  const greeting: Message[] = []
  const found = { pid: 0, secret: Buffer.alloc(0), parameters: new Map<string, string>() }
  for (;;) {
    const next = await expectMessage(raw)
    const { tag, body } = next
    if (tag === 'v') greeting.push(next)
    if (tag === 'R') {
      const code = body.readUInt32BE(0)
      if (code === 3) raw.send(front.password(password))
      else if (code === 10) {
        scram = startScram(password)
        raw.send(front.sasl('SCRAM-SHA-256', scram.first))
      } else if (code === 11 && scram !== undefined) {
        raw.send(front.saslResponse(scram.final(body.toString('latin1', 4))))
      } else if (code === 12) scram?.check(body.toString('latin1', 4))
    }
    if (tag === 'R') continue
    if (tag !== 'v') greeting.push(next)
    if (tag === 'S') found.parameters.set(next.fields['0'] ?? '', next.fields['1'] ?? '')
    if (tag === 'K')
      Object.assign(found, { pid: body.readUInt32BE(0), secret: Buffer.from(body.subarray(4)) })
    if (tag === 'Z') break
  }
  raw.received = Buffer.alloc(0)
  return Object.assign(raw, { ...found, greeting })
}

/** RFC 5802 and 7677, the client's side, without channel binding. */
function startScram(password: string) {
  const nonce = randomBytes(18).toString('base64')
  const bare = `n=,r=${nonce}`
  const hmac = (key: Uint8Array, data: string): Buffer => createHmac('sha256', key).update(data).digest()
  let serverSignature = ''
  return {
    first: `n,,${bare}`,
    final(serverFirst: string): string {
      const part = (letter: string): string =>
        serverFirst
          .split(',')
          .find((word) => word.startsWith(`${letter}=`))
          ?.slice(2) ?? ''
      const salted = pbkdf2Sync(password, Buffer.from(part('s'), 'base64'), Number(part('i')), 32, 'sha256')
      const withoutProof = `c=biws,r=${part('r')}`
      const transcript = `${bare},${serverFirst},${withoutProof}`
      const clientKey = hmac(salted, 'Client Key')
      const signature = hmac(createHash('sha256').update(clientKey).digest(), transcript)
      serverSignature = hmac(hmac(salted, 'Server Key'), transcript).toString('base64')
      const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))).toString('base64')
      return `${withoutProof},p=${proof}`
    },
    check(serverFinal: string): void {
      if (serverFinal !== `v=${serverSignature}`) throw new Error('the server has not proved itself')
    },
  }
}

function messageOf(tag: string, body: Buffer): Message {
  const fields: Record<string, string> = {}
  if (tag === 'E' || tag === 'N') {
    for (let at = 0; at < body.length && body[at] !== 0; ) {
      const end = body.indexOf(0, at + 1)
      if (end === -1) break
      fields[String.fromCharCode(body[at] ?? 0)] = body.toString('utf8', at + 1, end)
      at = end + 1
    }
  } else if (tag === 'S' || tag === 'C') {
    body
      .toString('utf8')
      .split('\0')
      .slice(0, -1)
      .forEach((text, i) => {
        fields[String(i)] = text
      })
  }
  return { tag, body, fields }
}

export { front }
