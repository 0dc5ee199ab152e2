import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, encodeText, ProtocolError } from '../../../protocols/bytes.ts'
import type { TlsFacts } from '../../../protocols/conversation.ts'
import {
  type ConnectOptions,
  type ConnectQuestion,
  connect,
  makeVerifier,
  saltPassword,
} from '../../../protocols/postgres/index.ts'
import { decodeClientFinal, encodeServerFinal, matchProof } from '../../../protocols/postgres/scram.ts'
import { inSingleBytes, playConversation } from '../../support/play.ts'
import { back, bytes, front, message } from '../../support/postgres-messages.ts'
import { plain } from '../../support/vectors.ts'

const SECRET = Uint8Array.of(9, 9, 9, 9)
const options: ConnectOptions = {
  tls: 'off',
  version: 0x30002,
  user: 'app',
  database: 'orders',
  parameters: new Map([['default_transaction_read_only', 'on']]),
  password: 'pencil',
  nonce: 'rOprNGfwEbeRWgbNEkqO',
  clientSecret: SECRET,
}

const certificate = new Uint8Array(
  readFileSync(new URL('../../vectors/certificates/ecdsa-sha256.der', import.meta.url)),
)
const facts: TlsFacts = { protocol: 'postgresql', ownCertificate: undefined, peerCertificate: certificate }

const answer = ({ password, salt, iterations }: ConnectQuestion): Uint8Array =>
  saltPassword(password, salt, iterations)

function play(flights: readonly Uint8Array[], more: Partial<ConnectOptions> = {}) {
  return playConversation(connect({ ...options, ...more }), flights, { answer, tls: facts })
}

const settled = bytes(
  back.authentication(0),
  back.parameter('server_version', '18.4'),
  back.notice('hello'),
  back.backendKey(4711, Uint8Array.of(1, 2, 3, 4)),
  back.ready(),
)
const ready = {
  type: 'ready',
  pid: 4711,
  secret: Uint8Array.of(1, 2, 3, 4),
  parameters: new Map([['server_version', '18.4']]),
  version: 0x30002,
  welcome: bytes(
    back.parameter('server_version', '18.4'),
    back.notice('hello'),
    back.backendKey(4711, SECRET),
    back.ready(),
  ),
}
const startup = front.startup(0x30002, {
  user: 'app',
  database: 'orders',
  default_transaction_read_only: 'on',
})

/** What a target that knows the password says, given how the client begins: it needs the client's first message. */
function scramServer(header: string, data: Uint8Array = bytes()) {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  const first = 'r=rOprNGfwEbeRWgbNEkqOserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'
  const verifier = makeVerifier('x', saltPassword('pencil', salt, 4096))
  const withoutProof = `c=${Buffer.concat([Buffer.from(header), data]).toString('base64')},r=rOprNGfwEbeRWgbNEkqOserver`
  const transcript = `n=,r=rOprNGfwEbeRWgbNEkqO,${first},${withoutProof}`
  return {
    first: back.authentication(11, first),
    final: back.authentication(12, encodeServerFinal(verifier.serverKey, transcript)),
    /** Whether the client's last message proves the password under exactly this binding. */
    accepts: (sent: Uint8Array): boolean => {
      const final = decodeClientFinal(sent.subarray(5))
      const found = matchProof({ salt, iterations: 4096, verifiers: [verifier] }, transcript, final.proof)
      return found === verifier && final.withoutProof === withoutProof
    },
  }
}

describe('a target that asks for nothing', () => {
  test('is ready with its real process and our secret for the client', () => {
    const played = play([settled])
    expect(plain(played.sent)).toEqual(plain([startup]))
    expect(played.end).toEqual({ result: ready })
  })

  test('is understood however the network cuts it', () => {
    expect(play(inSingleBytes(settled))).toEqual(play([settled]))
  })

  test('may agree on 3.0, and speak of options we did not ask for', () => {
    for (const told of [0x30000, 0]) {
      const played = play([bytes(back.negotiate(told, '_pq_.x'), settled)])
      expect(played.end).toEqual({ result: { ...ready, version: 0x30000 } })
    }
    expect(play([bytes(back.negotiate(0x30003), settled)]).end).toEqual({
      thrown: new ProtocolError('the target wants to speak version 0x30003'),
    })
  })

  test('without a key is one that cannot be cancelled', () => {
    expect(play([bytes(back.authentication(0), back.ready())]).end).toEqual({
      result: { ...ready, pid: 0, secret: bytes(), parameters: new Map(), welcome: back.ready() },
    })
  })
})

describe('TLS towards a target', () => {
  const tls = { tls: 'require' } as const
  test('is asked for and begun after exactly one byte', () => {
    const played = play([bytes('S'), settled], tls)
    expect(plain(played.sent)).toEqual(plain([front.sslRequest, '<tls>', startup]))
    expect(played.end).toEqual({ result: ready })
  })

  test('T-PG-01: anything behind that byte ends it', () => {
    const played = play([bytes('S', settled)], tls)
    expect(plain(played.sent)).toEqual(plain([front.sslRequest]))
    expect(played.end).toEqual({ thrown: new ProtocolError(`received ${settled.length} bytes too early`) })
  })

  test('that is declined is a failure of configuration, and nothing is told in clear', () => {
    const played = play([bytes('N')], tls)
    expect(plain(played.sent)).toEqual(plain([front.sslRequest]))
    expect(played.end).toEqual({
      result: { type: 'failure', why: 'no-tls', message: 'the target does not offer TLS' },
    })
  })

  test('answered with something else is a fault', () => {
    expect(play([bytes('E')], tls).end).toEqual({
      thrown: new ProtocolError('the target answers a request for TLS with "E"'),
    })
  })
})

describe('SCRAM towards a target', () => {
  const mechanisms = back.mechanisms('SCRAM-SHA-256')
  const both = back.mechanisms('SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256')

  test.each([
    ['outside TLS', 'off', mechanisms, 'SCRAM-SHA-256', 'n,,', bytes()],
    ['outside TLS, PLUS offered', 'off', both, 'SCRAM-SHA-256', 'n,,', bytes()],
    ['inside TLS, PLUS not offered', 'require', mechanisms, 'SCRAM-SHA-256', 'y,,', bytes()],
    [
      'inside TLS, bound to its certificate',
      'require',
      both,
      'SCRAM-SHA-256-PLUS',
      'p=tls-server-end-point,,',
      new Uint8Array(createHash('sha256').update(certificate).digest()),
    ],
  ] as const)('%s', (_, tls, offer, mechanism, header, data) => {
    const server = scramServer(header, data)
    const clear = tls === 'require' ? [bytes('S')] : []
    const played = play([...clear, bytes(offer, server.first, server.final, settled)], { tls })
    expect(played.end).toEqual({ result: ready })
    const [first, second] = played.sent.slice(-2)
    expect(plain(first)).toEqual(plain(front.sasl(mechanism, `${header}n=,r=rOprNGfwEbeRWgbNEkqO`)))
    expect(server.accepts(second as Uint8Array)).toBe(true)
  })

  test('without a signature at its end, or with a wrong one, nobody is let in', () => {
    const server = scramServer('n,,')
    const wrong = back.authentication(12, 'v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=')
    expect(play([bytes(mechanisms, server.first, wrong, settled)]).end).toEqual({
      thrown: new ProtocolError('SCRAM: the server does not know the password either'),
    })
    expect(play([bytes(mechanisms, server.first, settled)]).end).toEqual({
      thrown: new ProtocolError('the target sends auth-ok where auth-sasl-final belongs'),
    })
  })

  test('a mechanism that is not known here is a failure of configuration', () => {
    expect(play([back.mechanisms('SCRAM-SHA-512', 'OAUTHBEARER')]).end).toEqual({
      result: {
        type: 'failure',
        why: 'unsupported',
        message: 'the target offers SCRAM-SHA-512, OAUTHBEARER, none of which is known here',
      },
    })
  })

  test('a password is proved once, and to no second demand', () => {
    const server = scramServer('n,,')
    expect(play([bytes(mechanisms, server.first, server.final, back.authentication(3))]).end).toEqual({
      thrown: new ProtocolError('the target sends auth-cleartext when it has the password'),
    })
  })
})

describe('other ways to let us in', () => {
  test('md5, salted', () => {
    const played = play([bytes(back.authentication(5, Uint8Array.of(1, 2, 3, 4)), settled)])
    const md5 = (...parts: (string | Uint8Array)[]) =>
      createHash('md5')
        .update(bytes(...parts))
        .digest('hex')
    expect(plain(played.sent.at(-1))).toBe(
      plain(front.password(`md5${md5(md5('pencilapp'), Uint8Array.of(1, 2, 3, 4))}`)),
    )
    expect(played.end).toEqual({ result: ready })
  })

  test('a password in clear, inside TLS only', () => {
    const demand = bytes(back.authentication(3), settled)
    const inside = play([bytes('S'), demand], { tls: 'require' })
    expect(plain(inside.sent.at(-1))).toBe(plain(front.password('pencil')))
    const outside = play([demand])
    expect(outside.sent).toHaveLength(1)
    expect(outside.end).toEqual({
      result: {
        type: 'failure',
        why: 'insecure',
        message: 'the target wants the password in clear, outside TLS',
      },
    })
  })

  test('without a password to show, or by a method that is not known', () => {
    expect(play([back.mechanisms('SCRAM-SHA-256')], { password: undefined }).end).toMatchObject({
      result: { why: 'no-password' },
    })
    expect(play([back.authentication(7)]).end).toMatchObject({
      result: { why: 'unsupported', message: 'the target wants authentication by method 7' },
    })
  })
})

describe('a target that says no', () => {
  test('is told of with every field it gave', () => {
    const fields = { S: 'FATAL', V: 'FATAL', C: '3D000', M: 'database "orders" does not exist' }
    const said = message(
      'E',
      ...Object.entries(fields).flatMap(([letter, value]) => [`${letter}${value}\0`]),
      '\0',
    )
    for (const flights of [[said], [bytes(back.authentication(0), said)]]) {
      expect(play(flights).end).toEqual({
        result: {
          type: 'failure',
          why: 'refused',
          message: 'database "orders" does not exist',
          fields: new Map(Object.entries(fields).map(([letter, value]) => [letter, encodeText(value)])),
        },
      })
    }
  })
})

describe('T-PG-06: a hostile target ends its own connection and nothing else', () => {
  test.each([
    ['an error without its last NUL', message('E', 'SERROR\0'), '1 bytes wanted where 0 are left'],
    ['an unknown message', message('!'), 'unknown message "!" of the server'],
    ['rows before it is ready', back.row('1'), 'the target sends data-row before it has let us in'],
    [
      'rows after authentication',
      bytes(back.authentication(0), back.row('1')),
      'the target sends data-row before it is ready',
    ],
    [
      'a long message',
      bytes('S', Uint8Array.of(0x7f, 0, 0, 0)),
      'a message "S" of 2130706428 bytes where 65536 are the most',
    ],
    [
      'no end of messages',
      concat(Array.from({ length: 1001 }, (_, i) => (i === 0 ? back.authentication(0) : back.notice('x')))),
      '1000 messages of the target, and it is not ready',
    ],
    ['a cut connection', back.authentication(0), 'the peer is gone'],
  ])('%s', (_, said, problem) => {
    expect(play([said]).end).toEqual({ thrown: new ProtocolError(problem) })
  })
})
