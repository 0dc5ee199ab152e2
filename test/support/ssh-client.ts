/**
 * A client of SSH that says whatever a test wants said: the client's half of key exchange on our own packet
 * layer, every message by hand. Real clients are the judges of the protocol; this one is for what they never do.
 */
import { createHash, createPrivateKey, decapsulate, diffieHellman, type KeyObject } from 'node:crypto'
import { concat, encodeText } from '../../protocols/bytes.ts'
import type { Ephemeral, EphemeralKeys } from '../../protocols/ssh/agreements.ts'
import { CIPHERS, macFor } from '../../protocols/ssh/ciphers.ts'
import { deriveKeys, exchangeHash } from '../../protocols/ssh/kex.ts'
import { parsePublicKey, rawPublicKey, verifySignature } from '../../protocols/ssh/keys.ts'
import { decodeAs, decodeMessage, encodeMessage, type Message, NUMBER } from '../../protocols/ssh/messages.ts'
import { PacketReader, PacketWriter } from '../../protocols/ssh/packets.ts'
import { encodeForm, mpint, string } from '../../protocols/ssh/wire.ts'

export interface ClientOptions {
  readonly kex?: 'curve25519-sha256' | 'mlkem768x25519-sha256'
  readonly hostKey?: string
  readonly cipher?: string
  readonly mac?: string
  readonly strict?: boolean
  readonly extInfo?: boolean
  /** Claims that the first message of key exchange follows, on a guess that is wrong. */
  readonly wrongGuess?: boolean
  readonly version?: string
}

/** Fixed private keys of 32 bytes, all of them the same byte. */
export function x25519Key(byte: number): KeyObject {
  const der = concat([
    new Uint8Array(Buffer.from('302e020100300506032b656e04220420', 'hex')),
    new Uint8Array(32).fill(byte),
  ])
  return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
}

export function x25519(privateKey: KeyObject, publicValue: Uint8Array): Ephemeral {
  return {
    publicValue,
    agree: (peer) => diffieHellman({ privateKey, publicKey: rawPublicKey(peer, 'x25519') }),
  }
}

export interface MlkemKey {
  readonly privateKey: KeyObject
  readonly publicValue: Uint8Array
}

export class TestClient {
  readonly received: Uint8Array[] = []
  readonly #options: Required<Omit<ClientOptions, 'version'>>
  readonly #version: string
  readonly #reader = new PacketReader()
  readonly #writer = new PacketWriter((bytes) => bytes.fill(7))
  readonly #ecdh: Ephemeral
  readonly #mlkem: MlkemKey | undefined
  #serverVersion = ''
  #kexinit: Uint8Array = new Uint8Array(0)
  #serverKexinit: Uint8Array = new Uint8Array(0)
  #sessionId: Uint8Array | undefined
  #useServerKeys: (() => void) | undefined
  #useOwnKeys: (() => void) | undefined
  #initial = true
  /** Whether our KEXINIT is out and its exchange has not ended. */
  #offered = false
  /** How many key exchanges have ended. */
  exchanges = 0
  /** Whether key exchange is answered by itself. */
  automatic = true

  constructor(ecdh: Ephemeral, options: ClientOptions = {}, mlkem?: MlkemKey) {
    this.#ecdh = ecdh
    this.#mlkem = mlkem
    const { version, ...rest } = options
    this.#version = version ?? 'SSH-2.0-test'
    this.#options = {
      kex: 'curve25519-sha256',
      hostKey: 'ssh-ed25519',
      cipher: 'aes128-gcm@openssh.com',
      mac: 'hmac-sha2-256-etm@openssh.com',
      strict: true,
      extInfo: true,
      wrongGuess: false,
      ...rest,
    }
  }

  get sessionId(): Uint8Array {
    if (this.#sessionId === undefined) throw new Error('no key exchange yet')
    return this.#sessionId
  }

  /** The version line and the first KEXINIT. */
  hello(): Uint8Array {
    return concat([encodeText(`${this.#version}\r\n`), this.kexinit()])
  }

  kexinit(): Uint8Array {
    const { kex, hostKey, cipher, mac, strict, extInfo, wrongGuess } = this.#options
    this.#offered = true
    this.#kexinit = encodeMessage({
      type: 'KEXINIT',
      cookie: new Uint8Array(16).fill(3),
      kex: [
        ...(wrongGuess ? ['sntrup761x25519-sha512@openssh.com'] : []),
        kex,
        ...(extInfo ? ['ext-info-c'] : []),
        ...(strict && this.#initial ? ['kex-strict-c-v00@openssh.com'] : []),
      ],
      hostKey: [hostKey],
      cipherToServer: [cipher],
      cipherToClient: [cipher],
      macToServer: [mac],
      macToClient: [mac],
      compressionToServer: ['none', 'zlib@openssh.com'],
      compressionToClient: ['none'],
      languageToServer: [],
      languageToClient: [],
      firstKexPacketFollows: wrongGuess,
      reserved: 0,
    })
    return this.payload(this.#kexinit)
  }

  kexEcdhInit(): Uint8Array {
    return this.message({ type: 'KEX_ECDH_INIT', clientKey: this.#clientValue() })
  }

  newkeys(): Uint8Array {
    const bytes = this.message({ type: 'NEWKEYS' })
    this.#useOwnKeys?.()
    this.#useOwnKeys = undefined
    return bytes
  }

  message(message: Message): Uint8Array {
    return this.payload(encodeMessage(message))
  }

  payload(payload: Uint8Array): Uint8Array {
    return concat(this.#writer.write(payload))
  }

  /** Takes bytes of the server's; returns what key exchange has to say to them. */
  receive(bytes: Uint8Array): Uint8Array {
    this.#reader.push(bytes)
    const answers: Uint8Array[] = []
    if (this.#serverVersion === '') {
      const line = this.#reader.line(255)
      if (line === undefined) return new Uint8Array(0)
      this.#serverVersion = String.fromCharCode(...line).trimEnd()
    }
    for (let payload = this.#reader.read(); payload !== undefined; payload = this.#reader.read()) {
      const answer = this.#take(payload)
      if (answer !== undefined) answers.push(answer)
    }
    return concat(answers)
  }

  /** The messages above key exchange so far, decoded, and forgets them. */
  take(): Message[] {
    return this.received.splice(0).map((payload) => decodeMessage(new Uint8Array(payload)))
  }

  #take(payload: Uint8Array): Uint8Array | undefined {
    switch (payload[0]) {
      case NUMBER.KEXINIT:
        this.#serverKexinit = payload
        if (!this.automatic || (this.#initial && !this.#offered)) return undefined
        // A server that begins a re-key is answered by our own KEXINIT first.
        return concat([...(this.#offered ? [] : [this.kexinit()]), this.kexEcdhInit()])
      case NUMBER.KEX_ECDH_REPLY:
        this.#onReply(payload)
        return this.automatic ? this.newkeys() : undefined
      case NUMBER.NEWKEYS:
        this.#useServerKeys?.()
        this.#initial = false
        this.#offered = false
        this.exchanges++
        return undefined
      default:
        this.received.push(payload)
        return undefined
    }
  }

  #clientValue(): Uint8Array {
    const { publicValue } = this.#ecdh
    return this.#mlkem === undefined ? publicValue : concat([this.#mlkem.publicValue, publicValue])
  }

  #onReply(payload: Uint8Array): void {
    const { hostKey, serverKey, signature } = decodeAs('KEX_ECDH_REPLY', payload)
    const secret = this.#secret(serverKey)
    const hash = exchangeHash(
      'sha256',
      {
        clientVersion: this.#version,
        serverVersion: this.#serverVersion,
        clientKexinit: this.#kexinit,
        serverKexinit: this.#serverKexinit,
      },
      hostKey,
      this.#clientValue(),
      serverKey,
      secret,
    )
    const signed = verifySignature(parsePublicKey(hostKey), this.#options.hostKey, signature, hash)
    if (signed === undefined) throw new Error('the server has not signed the exchange')
    this.#sessionId ??= hash
    const keys = deriveKeys('sha256', { hash, secret }, this.#sessionId)
    const suite = CIPHERS.get(this.#options.cipher)
    if (suite === undefined) throw new Error(`no cipher ${this.#options.cipher}`)
    const mac = macFor(suite, this.#options.mac)
    this.#useOwnKeys = () => this.#writer.use(suite.sealer(keys.toServer, mac), this.#options.strict)
    this.#useServerKeys = () => this.#reader.use(suite.opener(keys.toClient, mac), this.#options.strict)
  }

  #secret(serverKey: Uint8Array): Uint8Array {
    if (this.#mlkem === undefined) return encodeForm({ k: mpint }, { k: this.#ecdh.agree(serverKey) })
    const shared = decapsulate(this.#mlkem.privateKey, serverKey.subarray(0, 1088))
    const classical = this.#ecdh.agree(serverKey.subarray(1088))
    const k = createHash('sha256').update(shared).update(classical).digest()
    return encodeForm({ k: string }, { k })
  }
}

/** A source of ephemeral keys that always gives the same X25519 key. */
export function fixedKeys(ephemeral: Ephemeral, encapsulate: EphemeralKeys['encapsulate']): EphemeralKeys {
  const none = (): never => {
    throw new Error('only X25519 and ML-KEM are fixed')
  }
  return { x25519: () => ephemeral, ecdh: none, dh: none, encapsulate }
}
