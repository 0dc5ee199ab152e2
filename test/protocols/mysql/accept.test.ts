import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AcceptOptions, accept, type Login } from '../../../protocols/mysql/accept.ts'
import { answerNative, answerSha2, makeVerifier, sha256 } from '../../../protocols/mysql/auth.ts'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import { decodeGreeting, type Greeting } from '../../../protocols/mysql/handshake.ts'
import type { Question } from '../../../protocols/mysql/prove.ts'
import { hex, join, NO_TLS, packet, playConversation, text } from '../../support/mysql-play.ts'

const SCRAMBLE = new Uint8Array(20).fill(7)
const MYSQL: Greeting = {
  version: '8.4.3',
  charset: 255,
  status: 2,
  capabilities: { flags: 0xdfffffff, extended: 0 },
  plugin: 'caching_sha2_password',
}
const MARIADB: Greeting = {
  version: '5.5.5-10.11.6-MariaDB',
  charset: 45,
  status: 2,
  capabilities: { flags: 0x81fffffe, extended: 0x3d },
  plugin: 'mysql_native_password',
}
const OPTIONS: AcceptOptions = {
  greeting: MYSQL,
  threadId: 77,
  scramble: SCRAMBLE,
  tlsPolicy: 'allow',
  methods: ['caching_sha2_password', 'mysql_native_password'],
  localFiles: false,
}
const FLAGS =
  FLAG.MYSQL |
  FLAG.PROTOCOL_41 |
  FLAG.SECURE_CONNECTION |
  FLAG.PLUGIN_AUTH |
  FLAG.PLUGIN_AUTH_LENENC |
  FLAG.CONNECT_WITH_DB |
  FLAG.DEPRECATE_EOF

function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)
}

function head(flags: number, extended = 0): Uint8Array {
  return join(u32(flags), u32(1 << 24), Uint8Array.of(45), new Uint8Array(19), u32(extended))
}

interface Response {
  readonly user?: string
  readonly plugin?: string
  readonly answer?: Uint8Array
  readonly flags?: number
  readonly sequence?: number
}

function response({
  user = 'alice~shop',
  plugin = 'caching_sha2_password',
  answer,
  flags = FLAGS,
  sequence = 1,
}: Response) {
  const bytes = answer ?? answerSha2(text('right'), SCRAMBLE)
  return packet(sequence, head(flags), user, 0, bytes.length, bytes, 'shop', 0, plugin, 0)
}

/** Alice has two secrets; of the first only the newer hash is kept. */
const asked: Question[] = []
function answer(question: unknown): unknown {
  const q = question as Question
  asked.push(q)
  const known = q.user === 'alice~shop'
  if (q.type === 'verifiers') {
    const first = { ...makeVerifier('first', text('right')), sha1: undefined }
    return known ? [first, makeVerifier('second', text('other'))] : []
  }
  return known && Buffer.from(q.password).toString() === 'long chosen password' ? 'account' : undefined
}

function play(options: Partial<AcceptOptions>, clear: Uint8Array, secured?: Uint8Array) {
  asked.length = 0
  const script = { clear, answer, ...(secured === undefined ? {} : { secured }) }
  return playConversation<Login, Question>(accept({ ...OPTIONS, ...options }), script)
}

/** What was sent behind the greeting. */
function behindGreeting(sent: Uint8Array): string {
  return hex(sent.subarray(4 + (sent[0] ?? 0)))
}

describe('the greeting', () => {
  test("is the target's, with our thread, our scramble, our method, and only what we can carry", () => {
    const { sent } = play({}, response({}))
    const { greeting, threadId, scramble } = decodeGreeting(sent.subarray(4, 4 + (sent[0] ?? 0)))
    expect([threadId, hex(scramble), greeting.version, greeting.plugin]).toEqual([
      77,
      hex(SCRAMBLE),
      '8.4.3',
      'caching_sha2_password',
    ])
    const stripped = FLAG.COMPRESS | FLAG.ZSTD_COMPRESSION | FLAG.MULTI_FACTOR | FLAG.LOCAL_FILES
    expect(greeting.capabilities.flags & stripped).toBe(0)
    expect(greeting.capabilities.flags & FLAG.SSL).not.toBe(0)
  })

  test("shows MariaDB's own flags without bulk execution, and no TLS where there is none", () => {
    const { sent } = play({ greeting: MARIADB, tlsPolicy: 'off' }, response({ flags: FLAGS & ~FLAG.MYSQL }))
    const { greeting } = decodeGreeting(sent.subarray(4, 4 + (sent[0] ?? 0)))
    expect([greeting.capabilities.extended, greeting.capabilities.flags & FLAG.SSL]).toEqual([0x19, 0])
  })

  test('offers local files only where they are allowed', () => {
    const { sent } = play({ localFiles: true }, response({}))
    expect(
      decodeGreeting(sent.subarray(4, 4 + (sent[0] ?? 0))).greeting.capabilities.flags & FLAG.LOCAL_FILES,
    ).not.toBe(0)
  })
})

describe('caching_sha2_password', () => {
  test('is proved by the short way, told so, and success is left to the caller', () => {
    const { result, sent } = play({}, response({}))
    expect(result).toMatchObject({
      user: 'alice~shop',
      database: 'shop',
      charset: 45,
      method: 'caching_sha2_password',
      secret: 'first',
      threadId: 77,
      tls: undefined,
      sequence: 3,
    })
    expect(behindGreeting(sent)).toBe('020000020103')
  })

  test('any secret of the person fits', () => {
    expect(play({}, response({ answer: answerSha2(text('other'), SCRAMBLE) })).result.secret).toBe('second')
  })

  test('outside TLS a wrong one ends at once, without the packet that would make a client send it under RSA', () => {
    const { result, sent } = play({}, response({ answer: answerSha2(text('wrong'), SCRAMBLE) }))
    expect([result.secret, result.sequence, behindGreeting(sent)]).toEqual([undefined, 2, ''])
  })

  test('inside TLS a password that is kept otherwise is asked for in clear', () => {
    const flags = FLAGS | FLAG.SSL
    const long = 'long chosen password'
    const inside = response({ flags, sequence: 2, answer: answerSha2(text(long), SCRAMBLE) })
    const { result, sent } = play({}, packet(1, head(flags)), join(inside, packet(4, long, 0)))
    expect([result.secret, result.sequence, behindGreeting(sent)]).toEqual(['account', 5, '020000030104'])
    expect(result.proven).toEqual(makeVerifier('account', text(long)))
  })
})

describe('methods', () => {
  test('a client that announces another method is switched to the first of the list, with the same scramble', () => {
    const clear = join(
      response({ plugin: 'parsec', answer: new Uint8Array(5) }),
      packet(3, answerSha2(text('right'), SCRAMBLE)),
    )
    const { result, sent } = play({}, clear)
    const challenge = packet(2, 0xfe, 'caching_sha2_password', 0, SCRAMBLE, 0)
    expect([result.secret, result.sequence]).toEqual(['first', 5])
    expect(behindGreeting(sent)).toBe(hex(join(challenge, packet(4, 1, 3))))
  })

  test('the native method is proved by its own hash only', () => {
    const plugin = 'mysql_native_password'
    const right = play({}, response({ plugin, answer: answerNative(text('other'), SCRAMBLE) }))
    expect([right.result.secret, behindGreeting(right.sent)]).toEqual(['second', ''])
    const unkept = play({}, response({ plugin, answer: answerNative(text('right'), SCRAMBLE) }))
    expect(unkept.result.secret).toBeUndefined()
  })

  test('a client that waits to be asked is asked', () => {
    const clear = join(
      response({ answer: new Uint8Array(0) }),
      packet(3, answerSha2(text('right'), SCRAMBLE)),
    )
    expect(play({}, clear).result.secret).toBe('first')
  })

  test.each(['mysql_clear_password', 'dialog'] as const)('%s is taken inside TLS', (method) => {
    const flags = FLAGS | FLAG.SSL
    const inside = join(
      response({ flags, sequence: 2, plugin: method, answer: new Uint8Array(0) }),
      packet(4, 'long chosen password', 0),
    )
    const { result, sent } = play({ methods: [method] }, packet(1, head(flags)), inside)
    expect([result.secret, result.method]).toEqual(['account', method])
    expect(behindGreeting(sent)).toContain(hex(text(method)))
  })

  test.each(['mysql_clear_password', 'dialog'] as const)('%s is never asked for outside TLS', (method) => {
    const clear = response({ plugin: method, answer: text('long chosen password\0') })
    expect(() => play({ methods: [method] }, clear)).toThrow('inside TLS only')
    // Beside another method the client is switched to that one, and what it sent is not looked at.
    const switched = join(clear, packet(3, answerSha2(text('right'), SCRAMBLE)))
    expect(play({ methods: [method, 'caching_sha2_password'] }, switched).result.secret).toBe('first')
    expect(asked.map(({ type }) => type)).toEqual(['verifiers'])
  })

  test('an unknown user sees the same steps and bytes as a known one with a wrong secret', () => {
    const wrong = answerSha2(text('wrong'), SCRAMBLE)
    const known = play({}, response({ answer: wrong }))
    const unknown = play({}, response({ user: 'mallory', answer: wrong }))
    expect(hex(unknown.sent)).toBe(hex(known.sent))
    expect({ ...unknown.result, user: '' }).toEqual({ ...known.result, user: '' })
  })

  test('at most 16 secrets are tried', () => {
    const many = Array.from({ length: 17 }, (_, i) => makeVerifier(String(i), text(`secret ${i}`)))
    const login = (secret: string) =>
      playConversation<Login, Question>(accept(OPTIONS), {
        clear: response({ answer: answerSha2(text(secret), SCRAMBLE) }),
        answer: () => many,
      }).result.secret
    expect([login('secret 15'), login('secret 16')]).toEqual(['15', undefined])
  })
})

describe('TLS', () => {
  test('goes on with the count of packets', () => {
    const flags = FLAGS | FLAG.SSL
    const { result } = play({}, packet(1, head(flags)), response({ flags, sequence: 2 }))
    expect([result.tls, result.sequence]).toEqual([NO_TLS, 4])
  })

  test('other flags inside than before are refused', () => {
    const flags = FLAGS | FLAG.SSL
    expect(() =>
      play({}, packet(1, head(flags)), response({ flags: flags | FLAG.ODBC, sequence: 2 })),
    ).toThrow('flags inside TLS differ')
  })

  test('what comes in clear behind the request ends the connection (T-MY-08)', () => {
    const flags = FLAGS | FLAG.SSL
    const clear = join(packet(1, head(flags)), response({ flags, sequence: 2 }))
    expect(() => play({}, clear, new Uint8Array(0))).toThrow('in clear behind')
  })

  test('is demanded where the listener demands it', () => {
    expect(() => play({ tlsPolicy: 'require' }, response({}))).toThrow('inside TLS only')
    expect(asked).toEqual([])
  })

  test('is refused where it was not offered', () => {
    expect(() => play({ tlsPolicy: 'off' }, packet(1, head(FLAGS | FLAG.SSL)))).toThrow('not offered')
  })

  test('the last OK vouches for our certificate to MariaDB clients of the native method', () => {
    const flags = (FLAGS | FLAG.SSL) & ~FLAG.MYSQL
    const native = { plugin: 'mysql_native_password', answer: answerNative(text('other'), SCRAMBLE) }
    const run = (given: Response) =>
      playConversation<Login, Question>(accept({ ...OPTIONS, greeting: MARIADB }), {
        clear: packet(1, head(flags)),
        secured: response({ flags, sequence: 2, ...given }),
        tls: { ...NO_TLS, ownCertificate: text('DER') },
        answer,
      }).result.signature
    const stored = makeVerifier('', text('other')).sha1 ?? text('')
    const digest = hex(sha256(stored, SCRAMBLE, sha256(text('DER')))).toUpperCase()
    expect(Buffer.from(run(native)).toString()).toBe(`\x01${digest}`)
    expect(run({})).toHaveLength(0)
  })
})

describe('a client that is not one', () => {
  test.each([
    ['compression', FLAGS | FLAG.COMPRESS, 'compression was not offered'],
    ['zstd', FLAGS | FLAG.ZSTD_COMPRESSION, 'compression was not offered'],
    ['no 4.1', FLAGS & ~FLAG.PROTOCOL_41, 'older than MySQL 4.1'],
    ['no secure connection', FLAGS & ~FLAG.SECURE_CONNECTION, 'older than MySQL 4.1'],
  ])('%s is refused and told so (T-MY-01)', (_, flags, problem) => {
    const sent: Uint8Array[] = []
    const run = () => playConversation(accept(OPTIONS), { clear: response({ flags }), answer, sent })
    expect(run).toThrow(problem)
    const last = Buffer.from(sent.at(-1) ?? []).toString('latin1')
    expect([last.slice(7, 13), last.includes(problem)]).toEqual(['#08S01', true])
  })

  test('a flag that nobody offered counts as not set', () => {
    const { result } = play({}, response({ flags: FLAGS | FLAG.LOCAL_FILES }))
    expect(result.capabilities.flags & FLAG.LOCAL_FILES).toBe(0)
  })

  test.each([
    ['of another sequence', packet(2, head(FLAGS))],
    ['too short', packet(1, new Uint8Array(31))],
    ['too long', Uint8Array.of(0xff, 0xff, 0x02, 1)],
    ['empty', packet(1)],
  ])('a response %s ends it (T-MY-05)', (_, clear) => {
    expect(() => play({}, join(clear, new Uint8Array(200_000)))).toThrow(/./)
    expect(asked).toEqual([])
  })

  test('whatever it sends, it ends with a login or an error, and never asks without end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(200), (noise, at) => {
        const bytes = response({}).slice()
        bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length))
        try {
          play({}, join(bytes, noise))
        } catch (problem) {
          expect(problem).toBeInstanceOf(Error)
        }
        expect(asked.length).toBeLessThan(3)
      }),
    )
  })
})
