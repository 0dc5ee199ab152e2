import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat, encodeText } from '../../../protocols/bytes.ts'
import { type Ephemeral, freshEphemeralKeys, KEX_METHODS } from '../../../protocols/ssh/agreements.ts'
import { CIPHERS, MACS } from '../../../protocols/ssh/ciphers.ts'
import { deriveKeys } from '../../../protocols/ssh/kex.ts'
import { decodeMessage, encodeMessage, type Message, NUMBER } from '../../../protocols/ssh/messages.ts'
import { Transport, type TransportOptions } from '../../../protocols/ssh/transport.ts'
import { signed } from '../../../protocols/ssh/wire.ts'
import {
  type ClientOptions,
  fixedKeys,
  type MlkemKey,
  TestClient,
  x25519,
  x25519Key,
} from '../../support/ssh-client.ts'
import { HOST_KEY } from '../../support/ssh-keys.ts'
import { field, fromHex, readVectors, toHex, type Vector } from '../../support/ssh-vectors.ts'

const OPTIONS: TransportOptions = {
  software: 'gatebook_test',
  hostKeys: [HOST_KEY],
  ephemeralKeys: freshEphemeralKeys,
  fill: (bytes) => void bytes.fill(9),
}

function fixedX25519(byte: number): Ephemeral {
  const key = x25519Key(byte)
  return x25519(key, createPublicKey(key).export({ format: 'raw-public' }))
}

/** Both ends, and everything that the server hands to the layer above it. */
class Link {
  readonly server: Transport
  readonly client: TestClient
  readonly payloads: Uint8Array[] = []

  constructor(options: Partial<TransportOptions> = {}, client: ClientOptions = {}) {
    this.server = new Transport({ ...OPTIONS, ...options })
    this.client = new TestClient(freshEphemeralKeys.x25519(), client)
  }

  hello(): this {
    this.send(this.client.hello())
    return this
  }

  send(bytes: Uint8Array): void {
    this.server.push(bytes)
    this.turn()
  }

  /** Reads, answers and lets the client answer, until nobody has anything to say. */
  turn(): void {
    for (let payload = this.server.next(); payload !== undefined; payload = this.server.next()) {
      this.payloads.push(payload)
    }
    this.server.release()
    if (!this.server.hasOutput) return
    const answer = this.client.receive(concat(this.server.output()))
    if (answer.length > 0) this.send(answer)
    else this.turn()
  }
}

const IGNORE: Message = { type: 'IGNORE', data: Uint8Array.of(1) }
const SERVICE: Message = { type: 'SERVICE_REQUEST', service: 'ssh-userauth' }

describe('a whole handshake with fixed keys', () => {
  const vectors = readVectors('handshakes')

  function handshake(vector: Vector): { server: Transport; client: TestClient } {
    const kex =
      field(vector, 'kex') === 'mlkem768x25519-sha256' ? 'mlkem768x25519-sha256' : 'curve25519-sha256'
    const mlkem = kex === 'mlkem768x25519-sha256' ? mlkemKey(vector) : undefined
    const client = new TestClient(
      fixedX25519(0x22),
      {
        kex,
        cipher: field(vector, 'cipher'),
        mac: field(vector, 'mac'),
        strict: field(vector, 'strict') === 'yes',
      },
      mlkem,
    )
    const ephemeralKeys = fixedKeys(fixedX25519(0x11), () => ({
      ciphertext: fromHex(field(vector, 'ciphertext')),
      sharedKey: fromHex(field(vector, 'shared-key')),
    }))
    return { server: new Transport({ ...OPTIONS, ephemeralKeys }), client }
  }

  function mlkemKey(vector: Vector): MlkemKey {
    const key = Buffer.from(field(vector, 'mlkem-seed'), 'hex')
    const privateKey = createPrivateKey({ key, format: 'raw-seed', asymmetricKeyType: 'ml-kem-768' })
    return { privateKey, publicValue: createPublicKey(privateKey).export({ format: 'raw-public' }) }
  }

  /** Everything the server says to a client that asks for the authentication service and then leaves. */
  function play(
    { server, client }: ReturnType<typeof handshake>,
    pieces: (bytes: Uint8Array) => Uint8Array[],
  ) {
    const said: Uint8Array[] = []
    const payloads: string[] = []
    const exchange = (bytes: Uint8Array): void => {
      for (const piece of pieces(bytes)) {
        server.push(piece)
        for (let payload = server.next(); payload !== undefined; payload = server.next()) {
          payloads.push(toHex(payload))
        }
        server.release()
      }
      const output = concat(server.output())
      said.push(output)
      const answer = client.receive(output)
      if (answer.length > 0) exchange(answer)
    }
    exchange(client.hello())
    exchange(client.message(SERVICE))
    server.send({ type: 'SERVICE_ACCEPT', service: 'ssh-userauth' })
    exchange(client.message({ type: 'DISCONNECT', reason: 11, description: 'so long', language: '' }))
    return { said: toHex(concat(said)), payloads, heard: client.take().map((message) => message.type) }
  }

  test.each(vectors)('is always the same, byte for byte: $name', (vector) => {
    const { said, payloads, heard } = play(handshake(vector), (bytes) => [bytes])
    expect(said).toBe(toHex(vector.bytes))
    expect(payloads.map((hex) => decodeMessage(fromHex(hex)).type)).toEqual(['SERVICE_REQUEST', 'DISCONNECT'])
    expect(heard).toEqual(['EXT_INFO', 'SERVICE_ACCEPT'])
  })

  test.each(vectors)('is the same when it comes byte by byte: $name', (vector) => {
    const bytewise = (bytes: Uint8Array) => Array.from(bytes, (byte) => Uint8Array.of(byte))
    expect(play(handshake(vector), bytewise).said).toBe(toHex(vector.bytes))
  })

  test('is the same when it is cut in two at any byte', () => {
    const [vector] = vectors
    if (vector === undefined) throw new Error('no vectors')
    for (let cut = 0; cut < 700; cut++) {
      const inTwo = (bytes: Uint8Array) => [bytes.subarray(0, cut), bytes.subarray(cut)]
      expect(play(handshake(vector), inTwo).said, `cut at ${cut}`).toBe(toHex(vector.bytes))
    }
  })
})

test('keys are derived as RFC 4253, section 7.2 says, longer than the hash too', () => {
  // Computed once with Python's hashlib from the formula in the RFC.
  const keys = deriveKeys('sha256', { hash: encodeText('H'), secret: encodeText('K') }, encodeText('S'))
  expect(toHex(keys.toServer.iv(12))).toBe('5f79769777026608ffc2550d')
  expect(toHex(keys.toClient.key(64))).toBe(
    'd51e67c8b04850308d2e00b1d89e7b77d593c7ad7a7af6d5069308717cb8641108e2145c075f1d8339ebfe702c6e8e4bc939e339607e989c1e925724603fedde',
  )
  expect(toHex(keys.toClient.integrity(32))).toBe(
    '8c20449d0b8e5d66ffdb57b05da8309bdaea516ea8a9bf5874c93654f72da934',
  )
})

describe('every combination of what is offered', () => {
  const protections = [...CIPHERS].flatMap(([cipher, { needsMac }]) =>
    needsMac ? [...MACS.keys()].map((mac) => [cipher, mac]) : [[cipher, 'hmac-sha2-256']],
  )

  test.each(protections)('%s with %s carries messages both ways', (cipher = '', mac = '') => {
    const link = new Link({}, { cipher, mac }).hello()
    link.send(link.client.message(SERVICE))
    link.server.send({ type: 'SERVICE_ACCEPT', service: 'ssh-userauth' })
    link.turn()
    expect(link.payloads.map((payload) => payload[0])).toEqual([NUMBER.SERVICE_REQUEST])
    expect(link.client.take().map((message) => message.type)).toEqual(['EXT_INFO', 'SERVICE_ACCEPT'])
  })
})

describe('version exchange', () => {
  const attempt = (line: string) => () => new Link().send(encodeText(line))

  test.each([
    'SSH-2.0-x\r\n',
    'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n',
    'SSH-2.0-PuTTY_Release_0.78\r\n',
    'SSH-2.0-bare_lf\n',
  ])('%j is a client', (line) => {
    const link = new Link()
    link.send(encodeText(line))
    expect(link.server.clientVersion).toBe(line.trimEnd())
  })

  test.each([
    'SSH-1.5-old\r\n',
    'SSH-2.0-\r\n',
    'GET / HTTP/1.1\r\n',
    'SSH-2.0-a\0b\r\n',
    'SSH-2.0-\x7f\r\n',
    '\r\n',
  ])('%j is none', (line) => {
    expect(attempt(line)).toThrow('not a client of SSH 2')
  })

  test('a line without end is refused at 255 bytes', () => {
    expect(attempt(`SSH-2.0-${'x'.repeat(245)}\r\n`)).not.toThrow()
    expect(attempt(`SSH-2.0-${'x'.repeat(246)}\r\n`)).toThrow('a version line above 255 bytes')
    expect(attempt('x'.repeat(255))).toThrow('a version line above 255 bytes')
    expect(attempt('x'.repeat(254))).not.toThrow()
  })
})

describe('negotiation', () => {
  test('the first packet behind our NEWKEYS announces every signature algorithm, commas between them', () => {
    const link = new Link().hello()
    const [info] = link.client.take()
    if (info?.type !== 'EXT_INFO') throw new Error('no EXT_INFO')
    expect(new TextDecoder().decode(info.extensions)).toContain(
      'ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,' +
        'sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com',
    )
  })

  test('a client that has not asked for EXT_INFO gets none', () => {
    const link = new Link({}, { extInfo: false }).hello()
    expect(link.client.take()).toEqual([])
    expect(link.client.exchanges).toBe(1)
  })

  test('nothing in common ends the connection and says what there is', () => {
    expect(() => new Link({}, { hostKey: 'ssh-dss' }).hello()).toThrow(
      'no host key algorithm in common: ssh-dss',
    )
    expect(() => new Link({}, { cipher: 'aes128-cbc' }).hello()).toThrow('no cipher algorithm in common')
  })

  test('the MAC list is not looked at where the cipher has its own tag', () => {
    expect(new Link({}, { mac: 'hmac-md5' }).hello().client.exchanges).toBe(1)
    expect(() => new Link({}, { cipher: 'aes128-ctr', mac: 'hmac-md5' }).hello()).toThrow('no MAC algorithm')
  })

  test('a message on a wrong guess is passed over', () => {
    const link = new Link({}, { wrongGuess: true })
    link.client.automatic = false
    link.hello()
    link.send(link.client.message({ type: 'KEX_ECDH_INIT', clientKey: Uint8Array.of(1) }))
    link.send(link.client.kexEcdhInit())
    link.send(link.client.newkeys())
    link.send(link.client.message(SERVICE))
    expect(link.payloads).toHaveLength(1)
  })
})

describe('a key exchange value that is none ends the connection', () => {
  const value = (length: number, byte = 0) => new Uint8Array(length).fill(byte)
  const { publicKey: mlkem } = generateKeyPairSync('ml-kem-768')
  const key = mlkem.export({ format: 'raw-public' })

  test.each([
    ['curve25519-sha256', value(31, 9)],
    ['curve25519-sha256', value(33, 9)],
    // The point of order 1, with which the secret would be known to everybody.
    ['curve25519-sha256', value(32)],
    ['ecdh-sha2-nistp256', value(65, 4)],
    ['ecdh-sha2-nistp384', Uint8Array.of(0)],
    ['ecdh-sha2-nistp521', value(67, 2)],
    ['diffie-hellman-group14-sha256', value(1)],
    ['diffie-hellman-group14-sha256', Uint8Array.of(1)],
    ['diffie-hellman-group16-sha512', signed(value(513, 0x7f))],
    ['diffie-hellman-group14-sha256', Uint8Array.of(0x80)],
    ['mlkem768x25519-sha256', value(1184 + 31, 9)],
    ['mlkem768x25519-sha256', concat([key, value(32)])],
    // Coefficients above the modulus (FIPS 203, section 7.2).
    ['mlkem768x25519-sha256', concat([value(1184, 0xff), value(32, 9)])],
  ])('%s', (name, clientValue) => {
    const method = KEX_METHODS.get(name)
    expect(() => method?.respond(clientValue, freshEphemeralKeys)).toThrow(
      expect.objectContaining({ name: 'ProtocolError' }),
    )
  })
})

describe('strict key exchange', () => {
  /** A client that does one step after the other, so that something can be put between them. */
  function byHand(client: ClientOptions = {}): Link {
    const link = new Link({}, client)
    link.client.automatic = false
    return link
  }

  const steps: readonly ((link: Link) => Uint8Array)[] = [
    () => encodeText('SSH-2.0-test\r\n'),
    (link) => link.client.kexinit(),
    (link) => link.client.kexEcdhInit(),
    (link) => link.client.newkeys(),
  ]

  test.each([1, 2, 3])('a packet injected before step %i of the first exchange ends the connection', (at) => {
    for (const injected of [
      IGNORE,
      { type: 'DEBUG', alwaysDisplay: false, message: Uint8Array.of(), language: '' },
      { type: 'UNIMPLEMENTED', sequence: 0 },
      SERVICE,
      { type: 'NEWKEYS' },
    ] as const) {
      const link = byHand()
      expect(() => {
        steps.forEach((step, i) => {
          if (i === at) link.send(link.client.message(injected))
          link.send(step(link))
        })
        link.send(link.client.message(SERVICE))
      }, injected.type).toThrow(expect.objectContaining({ name: 'ProtocolError' }))
      expect(link.payloads).toEqual([])
    }
  })

  test('without it, IGNORE and DEBUG may come at any time', () => {
    const link = byHand({ strict: false })
    for (const step of steps) {
      link.send(step(link))
      link.send(link.client.message(IGNORE))
    }
    link.send(link.client.message(SERVICE))
    expect(link.payloads).toHaveLength(1)
  })

  test('a packet dropped behind NEWKEYS breaks the tags of all others', () => {
    const link = new Link().hello()
    link.client.message(IGNORE)
    expect(() => link.send(link.client.message(SERVICE))).toThrow('wrong tag')
  })

  test('EXT_INFO of the client may only stand directly behind its first NEWKEYS', () => {
    const info = encodeMessage({ type: 'EXT_INFO', extensions: fromHex('00000000') })
    const link = new Link().hello()
    link.send(link.client.payload(info))
    expect(() => link.send(link.client.payload(info))).toThrow('message 7')

    const late = new Link().hello()
    late.send(late.client.message(IGNORE))
    expect(() => late.send(late.client.payload(info))).toThrow('message 7')
  })
})

describe('messages that a client never sends end the connection', () => {
  const inClear: readonly number[] = [6, 21, 31, 50, 52, 80, 90, 94, 98, 192]
  test.each(inClear)('%i before key exchange', (number) => {
    const link = new Link()
    link.send(encodeText('SSH-2.0-test\r\n'))
    expect(() => link.send(link.client.payload(Uint8Array.of(number)))).toThrow(`message ${number}`)
  })

  test.each([6, 8, 19, 21, 22, 30, 31, 34, 49])('%i behind key exchange', (number) => {
    const link = new Link().hello()
    expect(() => link.send(link.client.payload(Uint8Array.of(number)))).toThrow(`message ${number}`)
  })
})

describe('new keys', () => {
  test('at the wish of the client, as often as it likes, with what is sent meanwhile in order', () => {
    const link = new Link().hello()
    link.server.trust()
    link.client.take()
    for (let i = 0; i < 20; i++) {
      link.client.automatic = true
      link.server.push(link.client.kexinit())
      link.server.next()
      expect(link.server.rekeying).toBe(true)
      link.server.send({ type: 'CHANNEL_DATA', recipient: i, data: Uint8Array.of(i) })
      link.turn()
      expect(link.server.rekeying).toBe(false)
      link.send(link.client.message({ type: 'CHANNEL_EOF', recipient: i }))
    }
    expect(link.client.exchanges).toBe(21)
    expect(link.client.take().map((message) => message.type === 'CHANNEL_DATA' && message.recipient)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    )
    expect(link.payloads).toHaveLength(20)
  })

  test('are not made again and again for who is not known', () => {
    const link = new Link().hello()
    for (let i = 0; i < 3; i++) link.send(link.client.kexinit())
    expect(() => link.send(link.client.kexinit())).toThrow('again and again before authentication')
  })

  test('at our own wish when so many bytes have gone either way', () => {
    const link = new Link({ rekeyBytes: 10_000 }).hello()
    link.server.trust()
    const data = new Uint8Array(1000)
    for (let i = 0; i < 30; i++) link.send(link.client.message({ type: 'CHANNEL_DATA', recipient: i, data }))
    const after = link.client.exchanges
    expect(after).toBeGreaterThanOrEqual(3)
    for (let i = 0; i < 30; i++) {
      link.server.send({ type: 'CHANNEL_DATA', recipient: i, data })
      link.turn()
    }
    expect(link.client.exchanges).toBeGreaterThanOrEqual(after + 2)
    expect(link.payloads).toHaveLength(30)
    expect(link.client.take().filter((message) => message.type === 'CHANNEL_DATA')).toHaveLength(30)
  })

  test('while ours is not answered the client may go on, and what we send waits', () => {
    const link = new Link().hello()
    link.client.take()
    link.client.automatic = false
    link.server.rekey()
    link.server.rekey()
    link.turn()
    link.server.send({ type: 'CHANNEL_EOF', recipient: 1 })
    link.send(link.client.message({ type: 'CHANNEL_EOF', recipient: 2 }))
    expect(link.payloads).toHaveLength(1)
    expect(link.client.take()).toEqual([])

    link.send(link.client.kexinit())
    link.send(link.client.kexEcdhInit())
    link.send(link.client.newkeys())
    expect(link.client.take()).toEqual([{ type: 'CHANNEL_EOF', recipient: 1 }])
    expect(link.client.exchanges).toBe(2)
  })

  test('behind its own KEXINIT the client sends nothing else', () => {
    const link = new Link().hello()
    link.client.automatic = false
    link.send(link.client.kexinit())
    expect(() => link.send(link.client.message({ type: 'CHANNEL_EOF', recipient: 2 }))).toThrow('message 96')
    expect(() => link.send(link.client.kexinit())).toThrow('message 20')
  })

  test('what waits for a client that never finishes is bounded', () => {
    const link = new Link().hello()
    link.server.rekey()
    expect(() => {
      for (let i = 0; i < 1000; i++) {
        link.server.send({ type: 'CHANNEL_DATA', recipient: 1, data: new Uint8Array(32_768) })
      }
    }).toThrow('does not finish a key exchange')
  })

  test('the session keeps the id of its first exchange', () => {
    const link = new Link().hello()
    const id = toHex(link.server.sessionId)
    link.send(link.client.kexinit())
    expect(link.client.exchanges).toBe(2)
    expect(toHex(link.server.sessionId)).toBe(id)
    expect(toHex(link.client.sessionId)).toBe(id)
  })
})

test('DISCONNECT can be sent in the midst of a key exchange', () => {
  const link = new Link().hello()
  link.client.take()
  link.client.automatic = false
  link.server.rekey()
  link.server.disconnect(11, 'enough')
  link.turn()
  expect(link.client.take()).toEqual([
    { type: 'DISCONNECT', reason: 11, description: 'enough', language: '' },
  ])
})
