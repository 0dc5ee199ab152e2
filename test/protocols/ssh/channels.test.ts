import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeText } from '../../../protocols/bytes.ts'
import type { Refusal } from '../../../protocols/relay.ts'
import type { HostEvent } from '../../../protocols/ssh/index.ts'
import type { Message } from '../../../protocols/ssh/messages.ts'
import { encodeForm, string, text, uint32 } from '../../../protocols/ssh/wire.ts'
import {
  adjust,
  close,
  data,
  directTcpip,
  env,
  eof,
  exec,
  exitSignal,
  exitStatus,
  global,
  MODES,
  open,
  pty,
  request,
  running,
  subsystem,
  textOf,
} from '../../support/ssh-channel-talk.ts'
import { Talk } from '../../support/ssh-talk.ts'
import { toHex } from '../../support/ssh-vectors.ts'

const NONE = new Uint8Array(0)
const SUCCESS: Message = { type: 'CHANNEL_SUCCESS', recipient: 0 }
const FAILURE: Message = { type: 'CHANNEL_FAILURE', recipient: 0 }
const ENDED: readonly HostEvent[] = [
  { type: 'eof', channel: 0 },
  { type: 'ending', channel: 0, ending: { type: 'exit-status', status: 0 } },
  { type: 'closed', channel: 0 },
]
const REFUSAL: Refusal = {
  cause: 'access',
  what: 'no access to "web-1" for alice',
  why: 'no role grants target web-1',
  next: 'https://gw.example.com/r/web-1',
  record: '',
}

function tell(talk: Talk, ...events: readonly HostEvent[]): void {
  for (const event of events) talk.run(talk.connection.host(event))
}

function allow(talk: Talk): void {
  for (const { id } of talk.wishes) talk.run(talk.connection.verdict(id, { allow: true }))
}

const output = (content: string | Uint8Array, channel = 0): HostEvent => ({
  type: 'data',
  channel,
  stream: 'output',
  bytes: typeof content === 'string' ? encodeText(content) : content,
})

const names = (messages: readonly Message[]) => messages.map((message) => message.type)

describe('data and EOF before the answer', () => {
  test('are kept in order and follow the program to the host, however late it is allowed', () => {
    const talk = new Talk().login()
    talk.send(open(0), data(0, 'one '), exec(0, 'cat'), data(0, 'two '), data(0, 'three'), eof(0))
    expect(talk.commands).toEqual([])
    expect(names(talk.heard())).toEqual(['CHANNEL_OPEN_CONFIRMATION'])
    allow(talk)
    expect(talk.commands.map((command) => command.type)).toEqual(['start', 'write', 'write', 'write', 'eof'])
    expect(
      talk.commands
        .map((command) => (command.type === 'write' ? new TextDecoder().decode(command.bytes) : ''))
        .join(''),
    ).toBe('one two three')
    // Not before the host has started it.
    expect(talk.heard()).toEqual([])
    tell(talk, { type: 'started', channel: 0 })
    expect(talk.heard()).toEqual([SUCCESS])
  })

  test('are bounded by the window, beyond which the connection ends', () => {
    const talk = new Talk().login()
    talk.send(open(0))
    const piece = new Uint8Array(32 * 1024)
    for (let i = 0; i < 64; i++) talk.send(data(0, piece))
    expect(talk.closed).toBeUndefined()
    talk.send(data(0, 'x'))
    expect(talk.closed).toEqual({ why: 'client', message: 'data beyond the window' })
  })

  test('the window grows as the host takes, and no sooner', () => {
    const talk = running(new Talk().login())
    const piece = new Uint8Array(32 * 1024)
    for (let i = 0; i < 64; i++) talk.send(data(0, piece))
    expect(talk.heard()).toEqual([])
    tell(talk, { type: 'taken', channel: 0, bytes: 1024 * 1024 - 1 })
    expect(talk.heard()).toEqual([])
    tell(talk, { type: 'taken', channel: 0, bytes: 1 })
    expect(talk.heard()).toEqual([adjust(0, 1024 * 1024)])
  })
})

describe('requests are answered in the order in which they were asked', () => {
  test('with the program’s answer among them', () => {
    const talk = new Talk().login()
    talk.send(
      open(0),
      pty(0),
      env(0, 'LANG', 'C'),
      env(0, 'LD_PRELOAD', '/tmp/x.so'),
      exec(0, 'id'),
      request(0, 'winadj@putty.projects.tartarus.org'),
      exec(0, 'again'),
      request(0, 'keepalive@openssh.com'),
    )
    talk.heard()
    allow(talk)
    expect(talk.heard()).toEqual([])
    tell(talk, { type: 'started', channel: 0 })
    expect(talk.heard()).toEqual([SUCCESS, FAILURE, FAILURE, FAILURE])
  })

  test('terminal and environment are answered at once, as libraries wait for it', () => {
    const talk = new Talk().login()
    talk.send(open(0), pty(0), env(0, 'LC_ALL', 'C'), env(0, 'PATH', '/x'), pty(0))
    expect(talk.heard().slice(1)).toEqual([SUCCESS, SUCCESS, FAILURE, FAILURE])
  })

  test('eow@openssh.com and what follows the start of a program are answered too', () => {
    const talk = running(new Talk().login())
    talk.send(request(0, 'eow@openssh.com'), env(0, 'LANG', 'C'), pty(0), exec(0, 'again'))
    expect(talk.heard()).toEqual([SUCCESS, FAILURE, FAILURE, FAILURE])
  })

  test.each([
    ['x11-req', NONE],
    ['auth-agent-req@openssh.com', NONE],
    ['xon-xoff', Uint8Array.of(1)],
    ['exit-status', new Uint8Array(4)],
    ['__proto__', NONE],
    ['', NONE],
  ])('%s is refused', (name, fields) => {
    const talk = new Talk().login()
    talk.send(open(0), request(0, name, fields))
    expect(talk.heard().slice(1)).toEqual([FAILURE])
    talk.send(request(0, name, fields, false))
    expect(talk.heard()).toEqual([])
  })

  test('more of them than anybody asks at once end the connection', () => {
    const talk = new Talk().login()
    talk.send(open(0), exec(0, 'id'))
    for (let i = 0; i < 255; i++) talk.send(request(0, 'x'))
    expect(talk.closed).toBeUndefined()
    talk.send(request(0, 'x'))
    expect(talk.closed?.message).toBe('too many requests without waiting for an answer')
  })

  test('global requests too, whoever answers them', () => {
    const talk = new Talk().login()
    const listen = encodeForm({ host: text, port: uint32 }, { host: '', port: 0 })
    talk.send(
      global('keepalive@openssh.com'),
      global('tcpip-forward', listen),
      global('no-more-sessions@openssh.com'),
      global('keepalive@openssh.com'),
    )
    expect(names(talk.heard())).toEqual(['REQUEST_FAILURE'])
    allow(talk)
    tell(talk, { type: 'listening', id: 1, success: true, port: 40000 })
    expect(talk.heard()).toEqual([
      { type: 'REQUEST_SUCCESS', fields: expect.anything() },
      { type: 'REQUEST_SUCCESS', fields: expect.anything() },
      { type: 'REQUEST_FAILURE' },
    ])
  })
})

describe('a program goes to the host with everything that was set up for it', () => {
  test('terminal with its modes untouched, environment, size', () => {
    const talk = new Talk().login()
    talk.send(open(0), pty(0, 132, 50), env(0, 'LANG', 'de_DE.UTF-8'))
    const size = { columns: 120, rows: 40, width: 960, height: 640 }
    const form = { columns: uint32, rows: uint32, width: uint32, height: uint32 }
    talk.send(request(0, 'window-change', encodeForm(form, size), false), request(0, 'shell'))
    expect(talk.wishes).toEqual([
      { id: 1, wish: { type: 'program', program: { type: 'shell' }, terminal: true } },
    ])
    allow(talk)
    expect(talk.commands).toEqual([
      {
        type: 'start',
        channel: 0,
        program: { type: 'shell' },
        terminal: { term: 'xterm-256color', ...size, modes: expect.anything() },
        variables: [{ name: 'LANG', value: expect.anything() }],
        agent: false,
      },
    ])
    const [start] = talk.commands
    if (start?.type === 'start') expect(toHex(start.terminal?.modes ?? NONE)).toBe(toHex(MODES))

    tell(talk, { type: 'started', channel: 0 })
    talk.send(request(0, 'window-change', encodeForm(form, { ...size, columns: 90 }), false))
    talk.send(request(0, 'signal', encodeForm({ signal: text }, { signal: 'INT' }), false))
    talk.send(request(0, 'break', encodeForm({ ms: uint32 }, { ms: 500 })))
    expect(talk.commands.slice(1)).toEqual([
      { type: 'resize', channel: 0, size: { ...size, columns: 90 } },
      { type: 'signal', channel: 0, signal: 'INT' },
      { type: 'break', channel: 0, milliseconds: 500 },
    ])
    expect(talk.heard().at(-1)).toEqual(SUCCESS)
  })

  test('the host’s banner is shown once, by the first terminal, without what a terminal would obey', () => {
    const talk = new Talk().login()
    tell(talk, { type: 'banner', text: 'Welcome\nto \u{1b}[2Jweb-1\n' })
    talk.send(
      open(0),
      exec(0, 'id'),
      open(1),
      pty(1),
      request(1, 'shell'),
      open(2),
      pty(2),
      request(2, 'shell'),
    )
    allow(talk)
    talk.heard()
    tell(
      talk,
      { type: 'started', channel: 0 },
      { type: 'started', channel: 1 },
      { type: 'started', channel: 2 },
    )
    const heard = talk.heard()
    expect(textOf(heard, 'stderr')).toBe('Welcome\r\nto \u{fffd}[2Jweb-1\r\n')
    expect(heard.find(({ type }) => type === 'CHANNEL_EXTENDED_DATA')).toMatchObject({ recipient: 1 })
  })

  test('a forced command runs in its place', () => {
    const talk = new Talk().login({ forceCommand: 'uptime -p' })
    talk.send(open(0), exec(0, 'rm -rf /'))
    allow(talk)
    expect(talk.commands[0]).toMatchObject({ program: { type: 'exec', command: encodeText('uptime -p') } })
  })

  test('an environment without end is refused', () => {
    const talk = new Talk().login()
    talk.send(open(0), ...Array.from({ length: 70 }, (_, i) => env(0, `LC_${i}`, 'x')))
    expect(names(talk.heard()).filter((name) => name === 'CHANNEL_SUCCESS')).toHaveLength(64)
    const long = new Talk().login()
    long.send(open(0), env(0, 'LANG', 'x'.repeat(30_000)), env(0, 'LC_ALL', 'x'.repeat(4_000)))
    expect(long.heard().slice(1)).toEqual([SUCCESS, FAILURE])
  })
})

describe('the end of a program', () => {
  test('comes to the person in the host’s order, behind all output', () => {
    const talk = running(new Talk().login())
    tell(talk, output('bye'), ...ENDED)
    expect(talk.heard()).toEqual([data(0, 'bye'), eof(0), exitStatus(0, 0), close(0)])
    expect(talk.connection.idle).toBe(true)
  })

  test('by a signal', () => {
    const talk = running(new Talk().login())
    const ending = {
      type: 'exit-signal',
      signal: 'KILL',
      coreDumped: false,
      message: '',
      language: '',
    } as const
    tell(talk, { type: 'ending', channel: 0, ending }, { type: 'closed', channel: 0 })
    expect(talk.heard()).toEqual([exitSignal(0, 'KILL'), close(0)])
    expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'error', code: 'SIGKILL' })
  })

  test('waits behind output that the person’s window does not take yet', () => {
    const talk = new Talk().login()
    talk.send(open(0, 4), exec(0, 'x'))
    allow(talk)
    tell(talk, { type: 'started', channel: 0 }, output('0123456789'), ...ENDED)
    expect(talk.heard().slice(1)).toEqual([SUCCESS, data(0, '0123')])
    talk.send(adjust(0, 4))
    expect(talk.heard()).toEqual([data(0, '4567')])
    talk.send(adjust(0, 100))
    expect(talk.heard()).toEqual([data(0, '89'), eof(0), exitStatus(0, 0), close(0)])
  })

  test('half-closed by the person, the program goes on', () => {
    const talk = running(new Talk().login())
    talk.send(data(0, 'in'), eof(0))
    tell(talk, output('out'), ...ENDED)
    expect(talk.commands.map(({ type }) => type)).toEqual(['write', 'eof'])
    expect(textOf(talk.heard(), 'output')).toBe('out')
  })

  test('half-closed by the host, the person goes on', () => {
    const talk = running(new Talk().login())
    tell(talk, { type: 'eof', channel: 0 })
    expect(talk.heard()).toEqual([eof(0)])
    talk.send(data(0, 'still here'))
    expect(talk.commands).toMatchObject([{ type: 'write' }])
  })

  test('closed by the person, it is closed at the host, and what became of it is recorded', () => {
    const talk = running(new Talk().login())
    talk.send(close(0))
    expect(talk.commands).toEqual([{ type: 'close', channel: 0 }])
    expect(talk.heard()).toEqual([])
    tell(talk, output('late'), ...ENDED)
    expect(talk.heard()).toEqual([eof(0), exitStatus(0, 0), close(0)])
    expect(talk.records.map(({ type }) => type)).toEqual(['data', 'end'])
  })

  test('closed by the person before anything runs, it is closed at once', () => {
    const talk = new Talk().login()
    talk.send(open(0), close(0))
    expect(talk.heard().slice(1)).toEqual([close(0)])
  })

  test('closed by the person behind its end, it is closed at the host too', () => {
    const talk = running(new Talk().login())
    tell(talk, { type: 'ending', channel: 0, ending: { type: 'exit-status', status: 0 } })
    talk.send(close(0))
    expect(talk.commands).toEqual([{ type: 'close', channel: 0 }])
  })

  test('refused by the host, it is a request that failed', () => {
    const talk = new Talk().login()
    talk.send(open(0), subsystem(0, 'nonsense'))
    allow(talk)
    tell(talk, { type: 'refused', channel: 0, reason: 4, message: 'no' })
    expect(talk.heard().slice(1)).toEqual([FAILURE, close(0)])
    expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'error', code: 'refused' })
  })
})

describe('back-pressure', () => {
  test('the host is given credit for what fits, and no more until the person has taken it', () => {
    const talk = new Talk().login()
    talk.send(open(0, 0), exec(0, 'yes'))
    allow(talk)
    tell(talk, { type: 'started', channel: 0 })
    const credits = () => talk.steps.flatMap((step) => (step.type === 'credit' ? [step.bytes] : []))
    expect(credits()).toEqual([512 * 1024])
    for (let i = 0; i < 16; i++) tell(talk, output(new Uint8Array(32 * 1024)))
    expect(credits()).toEqual([512 * 1024])
    talk.send(adjust(0, 100 * 1024))
    expect(credits()).toEqual([512 * 1024])
    talk.send(adjust(0, 412 * 1024))
    expect(credits()).toEqual([512 * 1024, 512 * 1024])
  })

  test('credit stands behind what was sent for it', () => {
    const talk = running(new Talk().login())
    talk.paused = true
    for (let i = 0; i < 16; i++) talk.run(talk.connection.host(output(new Uint8Array(32 * 1024))))
    const last = talk.connection.host(output('x'))
    expect(last.map(({ type }) => type)).toEqual(['record', 'send'])
  })

  test('standard output and error come whole and apart, whatever the person’s window does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 5000 })), { maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 60 }),
        (pieces, grants) => {
          const talk = new Talk().login()
          talk.send(open(0, 1000, 700), exec(0, 'x'))
          allow(talk)
          tell(talk, { type: 'started', channel: 0 })
          const expected = { output: '', stderr: '' }
          const heard: Message[] = []
          const grant = [...grants]
          pieces.forEach(([error, length], i) => {
            const content = String.fromCharCode(97 + (i % 26)).repeat(length)
            const stream = error ? 'stderr' : 'output'
            expected[stream] += content
            tell(talk, { type: 'data', channel: 0, stream, bytes: encodeText(content) })
            const bytes = grant.shift()
            if (bytes !== undefined) talk.send(adjust(0, bytes))
            heard.push(...talk.heard())
          })
          tell(talk, ...ENDED)
          talk.send(adjust(0, 1_000_000))
          heard.push(...talk.heard())
          expect(textOf(heard, 'output')).toBe(expected.output)
          expect(textOf(heard, 'stderr')).toBe(expected.stderr)
          expect(heard.slice(-3)).toEqual([eof(0), exitStatus(0, 0), close(0)])
          for (const message of heard) {
            if (message.type === 'CHANNEL_DATA') expect(message.data.length).toBeLessThanOrEqual(700)
          }
        },
      ),
      { numRuns: 40, seed: 5 },
    )
  })

  test('while keys are exchanged data waits in its channel, and no credit is given', () => {
    const talk = running(new Talk({ rekeyBytes: 1e9 }).login())
    talk.client.automatic = false
    talk.run(talk.connection.tick(0))
    talk.run(talk.connection.tick(3_600_000))
    tell(talk, output('held back'), ...ENDED)
    expect(talk.heard()).toEqual([])
    expect(talk.steps.some(({ type }) => type === 'credit')).toBe(false)
    talk.bytes(talk.client.kexinit())
    talk.bytes(talk.client.kexEcdhInit())
    talk.bytes(talk.client.newkeys())
    expect(talk.heard()).toEqual([data(0, 'held back'), eof(0), exitStatus(0, 0), close(0)])
  })
})

describe('a refused program', () => {
  const denied = (...setup: readonly Message[]) => {
    const talk = new Talk().login()
    talk.send(open(0), ...setup)
    talk.run(talk.connection.verdict(1, { allow: false, rule: 'no-shell', refusal: REFUSAL }))
    return talk
  }

  test('is explained on standard error and ends with 77, the record first', () => {
    const talk = denied(exec(0, 'reboot'))
    const heard = talk.heard().slice(1)
    expect(names(heard)).toEqual([
      'CHANNEL_SUCCESS',
      'CHANNEL_EXTENDED_DATA',
      'CHANNEL_EOF',
      'CHANNEL_REQUEST',
      'CHANNEL_CLOSE',
    ])
    expect(heard[3]).toEqual(exitStatus(0, 77))
    expect(textOf(heard, 'stderr')).toBe(
      'gatebook: no access to "web-1" for alice\n' +
        '  why : no role grants target web-1\n' +
        '  next: https://gw.example.com/r/web-1\n' +
        '  id  : k3v5o2n7q4w6x2za.1\n',
    )
    expect(talk.commands).toEqual([])
    expect(talk.records).toMatchObject([{ type: 'decision', op: 1, act: 'ssh.exec', rule: 'no-shell' }])
    const order = talk.steps.map(({ type }) => type)
    expect(order.indexOf('record')).toBeLessThan(order.indexOf('hold'))
  })

  test('has line ends for a raw terminal where there is one', () => {
    expect(textOf(denied(pty(0), request(0, 'shell')).heard(), 'stderr')).toContain('alice\r\n  why')
  })

  test('shows nothing that a terminal would obey', () => {
    const talk = new Talk().login()
    talk.send(open(0), exec(0, 'x'))
    const refusal = { ...REFUSAL, what: 'no \u{1b}]52;c;x\u{7} here\r\n', why: '', next: '' }
    talk.run(talk.connection.verdict(1, { allow: false, refusal }))
    expect(textOf(talk.heard(), 'stderr').split('\n')[0]).toBe(
      'gatebook: no \u{fffd}]52;c;x\u{fffd} here\u{fffd}\u{fffd}',
    )
  })

  test('leaves the connection and its other channels as they are', () => {
    const talk = denied(exec(0, 'x'))
    talk.send(data(0, 'ignored'), close(0), open(1), exec(1, 'id'))
    expect(talk.wishes).toHaveLength(2)
    expect(talk.closed).toBeUndefined()
  })
})

describe('many sessions on one connection', () => {
  test('each is judged, recorded and ended by itself', () => {
    const talk = new Talk().login()
    talk.send(open(10), open(11), exec(0, 'a'), exec(1, 'b'))
    const [first, second] = talk.wishes
    talk.run(talk.connection.verdict(second?.id ?? 0, { allow: true }))
    talk.run(talk.connection.verdict(first?.id ?? 0, { allow: false, refusal: REFUSAL }))
    tell(talk, { type: 'started', channel: 1 }, output('from b', 1))
    const heard = talk.heard()
    expect(heard.filter((message) => message.type === 'CHANNEL_DATA')).toEqual([data(11, 'from b')])
    expect(talk.records.map((event) => [event.type, event.op])).toEqual([
      ['begin', 1],
      ['decision', 2],
      ['data', 1],
    ])
    expect(talk.connection.idle).toBe(false)
  })

  test('there may be 256 channels', () => {
    const talk = new Talk().login()
    for (let i = 0; i < 257; i++) talk.send(open(i))
    const heard = talk.heard()
    expect(names(heard).filter((name) => name === 'CHANNEL_OPEN_CONFIRMATION')).toHaveLength(256)
    expect(heard.at(-1)).toMatchObject({ type: 'CHANNEL_OPEN_FAILURE', recipient: 256, reason: 4 })
    talk.send(close(0), open(300))
    expect(names(talk.heard())).toEqual(['CHANNEL_CLOSE', 'CHANNEL_OPEN_CONFIRMATION'])
  })

  test('none may be opened after no-more-sessions@openssh.com', () => {
    const talk = new Talk().login()
    talk.send(open(0), global('no-more-sessions@openssh.com', NONE, false))
    talk.send(directTcpip(1, 'db', 5432))
    expect(talk.closed).toBeUndefined()
    talk.send(open(2))
    expect(talk.closed?.message).toBe('a session after no-more-sessions@openssh.com')
  })

  test.each(['x11', 'tun@openssh.com', 'forwarded-tcpip', 'auth-agent@openssh.com', '__proto__', ''])(
    'a channel of the type %j is refused',
    (channel) => {
      const talk = new Talk().login()
      talk.send({ type: 'CHANNEL_OPEN', channel, sender: 5, window: 1, packetMax: 1, fields: NONE })
      expect(talk.heard()).toMatchObject([{ type: 'CHANNEL_OPEN_FAILURE', recipient: 5, reason: 3 }])
      expect(talk.closed).toBeUndefined()
    },
  )
})

// GHSA-h5rc-j5f5-3gcm and GHSA-f5v4-2wr6-hqmg, and what else a channel must not be told.
describe('a client that breaks the rules of a channel ends its connection', () => {
  test.each([
    ['a window above 2^32 - 1', [adjust(0, 2 ** 32 - 1)], 'a window above 2^32 - 1'],
    [
      'data that is longer than a packet may be',
      [data(0, new Uint8Array(32 * 1024 + 1))],
      'beyond the window',
    ],
    ['data behind EOF', [eof(0), data(0, 'x')], 'data behind the end of a channel'],
    ['a second EOF', [eof(0), eof(0)], 'a second EOF'],
    ['a message behind CLOSE', [close(0), eof(0)], 'the channel 0, which is not open'],
    ['a channel that is not there', [data(7, 'x')], 'the channel 7, which is not open'],
    [
      'a channel that nobody asked for',
      [{ type: 'CHANNEL_OPEN_FAILURE', recipient: 0, reason: 1, description: '', language: '' }],
      'not asked for',
    ],
    ['a packet size of 0', [open(1, 1, 0)], 'packets of no bytes'],
    [
      'a reply that nobody waits for',
      [{ type: 'CHANNEL_SUCCESS', recipient: 0 }],
      'CHANNEL_SUCCESS from a client',
    ],
    ['an answer to no global request', [{ type: 'REQUEST_FAILURE' }], 'a request that was not made'],
    ['a request that is cut', [request(0, 'exec', Uint8Array.of(0, 0, 0, 9))], 'bytes wanted where'],
    ['a request with bytes behind it', [request(0, 'shell', Uint8Array.of(0))], '1 bytes behind the end'],
  ] as const)('%s', (_, messages, reason) => {
    const talk = running(new Talk().login())
    talk.send(...messages)
    expect(talk.closed?.why).toBe('client')
    expect(talk.closed?.message).toContain(reason)
    expect(talk.heard().at(-1)).toMatchObject({ type: 'DISCONNECT', reason: 2 })
    expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'aborted' })
  })

  test('a packet size of 2^32 - 1 is no more than ours', () => {
    const talk = new Talk().login()
    talk.send(open(0, 2 ** 32 - 1, 2 ** 32 - 1), exec(0, 'x'))
    allow(talk)
    tell(talk, { type: 'started', channel: 0 }, output(new Uint8Array(100_000)))
    const sizes = talk
      .heard()
      .flatMap((message) => (message.type === 'CHANNEL_DATA' ? [message.data.length] : []))
    expect(sizes).toEqual([32_768, 32_768, 32_768, 1696])
  })

  test('what a client sends beside its standard input takes window and goes nowhere', () => {
    const talk = running(new Talk().login())
    talk.send({ type: 'CHANNEL_EXTENDED_DATA', recipient: 0, code: 1, data: encodeText('x') })
    expect(talk.commands).toEqual([])
    expect(talk.closed).toBeUndefined()
  })
})

describe('forwarding', () => {
  const listenAt = (host: string, port: number) => encodeForm({ host: text, port: uint32 }, { host, port })

  test('to a destination is asked for as host:port, recorded, and confirmed when it stands', () => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, 'db.internal', 5432), directTcpip(4, '::1', 22))
    expect(talk.wishes.map(({ wish }) => wish)).toEqual([
      { type: 'connect', address: 'db.internal:5432' },
      { type: 'connect', address: '[::1]:22' },
    ])
    talk.run(talk.connection.verdict(1, { allow: true, rule: 'db-tunnel' }))
    expect(talk.steps.slice(2).map(({ type }) => type)).toEqual(['record', 'host'])
    expect(talk.heard()).toEqual([])
    tell(talk, { type: 'started', channel: 0 }, output('220 hello', 0))
    expect(names(talk.heard())).toEqual(['CHANNEL_OPEN_CONFIRMATION', 'CHANNEL_DATA'])
    talk.send(data(0, 'quit'))
    tell(talk, { type: 'eof', channel: 0 }, { type: 'closed', channel: 0 })
    expect(talk.records).toMatchObject([
      { type: 'begin', act: 'ssh.forward', rule: 'db-tunnel' },
      { type: 'end', outcome: 'ok', bytes: 13 },
    ])
    const payloads = talk.records.flatMap((event) => ('payloads' in event ? (event.payloads ?? []) : []))
    expect(payloads.map(({ type, body }) => `${type} ${new TextDecoder().decode(body)}`)).toEqual([
      'addr db.internal:5432',
      'args {"type":"direct-tcpip","originator":"127.0.0.1","originatorPort":50000}',
      'meta {"sent":4,"received":9,"content":"not recorded"}',
    ])
  })

  test('that is denied never reaches the host', () => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, '127.0.0.1', 22))
    talk.run(talk.connection.verdict(1, { allow: false, refusal: REFUSAL }))
    expect(talk.commands).toEqual([])
    expect(talk.records).toMatchObject([{ type: 'decision', act: 'ssh.forward' }])
    const [failure] = talk.heard()
    expect(failure).toMatchObject({ type: 'CHANNEL_OPEN_FAILURE', recipient: 3, reason: 1 })
    if (failure?.type === 'CHANNEL_OPEN_FAILURE')
      expect(failure.description).toContain('id  : k3v5o2n7q4w6x2za.1')
  })

  test('that the host cannot do fails as the host said', () => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, 'db', 1))
    allow(talk)
    tell(talk, { type: 'refused', channel: 0, reason: 2, message: 'Connection refused' })
    expect(talk.heard()).toEqual([
      {
        type: 'CHANNEL_OPEN_FAILURE',
        recipient: 3,
        reason: 2,
        description: 'Connection refused',
        language: '',
      },
    ])
    expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'error' })
  })

  test.each([
    { type: 'closed', channel: 0 },
    { type: 'refused', channel: 0, reason: 2, message: '' },
  ] as const)('is not ended by “$type” from a host that has not been asked yet', (early) => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, 'db', 1))
    tell(talk, early)
    allow(talk)
    talk.run(talk.connection.end('client'))
    expect(talk.records).toMatchObject([
      { type: 'begin', op: 1 },
      { type: 'end', op: 1, outcome: 'aborted' },
    ])
  })

  test('to a socket’s path', () => {
    const talk = new Talk().login()
    const fields = encodeForm(
      { path: text, reserved: text, number: uint32 },
      { path: '/run/docker.sock', reserved: '', number: 0 },
    )
    talk.send({
      type: 'CHANNEL_OPEN',
      channel: 'direct-streamlocal@openssh.com',
      sender: 0,
      window: 1,
      packetMax: 1,
      fields,
    })
    expect(talk.wishes[0]?.wish).toEqual({ type: 'connect', address: '/run/docker.sock' })
    allow(talk)
    expect(talk.commands).toMatchObject([{ type: 'connect', destination: { path: '/run/docker.sock' } }])
  })

  test('from a listener at the host, with a port that the host chooses', () => {
    const talk = new Talk().login()
    talk.send(global('tcpip-forward', listenAt('localhost', 0)))
    expect(talk.wishes[0]?.wish).toEqual({ type: 'listen', address: 'localhost:0' })
    talk.run(talk.connection.verdict(1, { allow: true, rule: 'back' }))
    expect(talk.commands).toEqual([
      { type: 'listen', id: 1, endpoint: { type: 'tcp', host: 'localhost', port: 0 } },
    ])
    tell(talk, { type: 'listening', id: 1, success: true, port: 40001 })
    const [granted] = talk.heard()
    if (granted?.type === 'REQUEST_SUCCESS') expect(toHex(granted.fields)).toBe('00009c41')

    const forwarded = {
      type: 'forwarded-tcpip',
      host: 'localhost',
      port: 40001,
      originator: '10.0.0.9',
      originatorPort: 5,
    } as const
    tell(talk, { type: 'incoming', incoming: 1, forwarded })
    expect(talk.heard()).toMatchObject([{ type: 'CHANNEL_OPEN', channel: 'forwarded-tcpip', sender: 0 }])
    talk.send({
      type: 'CHANNEL_OPEN_CONFIRMATION',
      recipient: 0,
      sender: 9,
      window: 100,
      packetMax: 100,
      fields: NONE,
    })
    expect(talk.commands.at(-1)).toEqual({ type: 'accept', incoming: 1, channel: 0 })
    tell(talk, output('hello'))
    expect(talk.heard()).toEqual([data(9, 'hello')])
    expect(talk.records.map((event) => [event.type, 'rule' in event ? event.rule : ''])).toEqual([
      ['begin', 'back'],
      ['end', ''],
      ['begin', 'back'],
    ])

    talk.send(global('cancel-tcpip-forward', listenAt('localhost', 40001)))
    tell(talk, { type: 'listening', id: 2, success: true, port: 0 })
    expect(names(talk.heard())).toEqual(['REQUEST_SUCCESS'])
    tell(talk, { type: 'incoming', incoming: 2, forwarded })
    expect(talk.commands.at(-1)).toEqual({ type: 'reject', incoming: 2 })
  })

  test('from a listener that is denied, or that nobody asked for', () => {
    const talk = new Talk().login()
    talk.send(global('tcpip-forward', listenAt('0.0.0.0', 80)))
    talk.run(talk.connection.verdict(1, { allow: false, refusal: REFUSAL }))
    expect(names(talk.heard())).toEqual(['REQUEST_FAILURE'])
    expect(talk.commands).toEqual([])
    talk.send(global('cancel-tcpip-forward', listenAt('0.0.0.0', 80)))
    expect(names(talk.heard())).toEqual(['REQUEST_FAILURE'])
    const forwarded = { type: 'forwarded-streamlocal@openssh.com', path: '/x', reserved: '' } as const
    tell(talk, { type: 'incoming', incoming: 1, forwarded })
    expect(talk.commands).toEqual([{ type: 'reject', incoming: 1 }])
  })

  test('from a socket’s path, turned away by the person’s client', () => {
    const talk = new Talk().login()
    talk.send(global('streamlocal-forward@openssh.com', encodeForm({ path: text }, { path: '/run/x' })))
    allow(talk)
    tell(talk, { type: 'listening', id: 1, success: true, port: 0 })
    const forwarded = { type: 'forwarded-streamlocal@openssh.com', path: '/run/x', reserved: '' } as const
    tell(talk, { type: 'incoming', incoming: 7, forwarded })
    talk.send({ type: 'CHANNEL_OPEN_FAILURE', recipient: 0, reason: 2, description: 'no', language: '' })
    expect(talk.commands.at(-1)).toEqual({ type: 'reject', incoming: 7 })
    expect(talk.closed).toBeUndefined()
  })

  test('of the person’s agent, only where it is allowed', () => {
    for (const agentForwarding of [false, true]) {
      const talk = new Talk().login({ agentForwarding })
      talk.send(open(0), request(0, 'auth-agent-req@openssh.com'), exec(0, 'ssh-add -l'))
      expect(talk.heard()[1]).toEqual(agentForwarding ? SUCCESS : FAILURE)
      allow(talk)
      expect(talk.commands[0]).toMatchObject({ agent: agentForwarding })
      tell(talk, { type: 'incoming', incoming: 1, forwarded: { type: 'auth-agent@openssh.com' } })
      expect(talk.commands.at(-1)?.type).toBe(agentForwarding ? 'start' : 'reject')
      expect(names(talk.heard()).includes('CHANNEL_OPEN')).toBe(agentForwarding)
    }
  })
})

describe('keep-alive', () => {
  test('is answered, and ours is counted', () => {
    const talk = new Talk().login()
    talk.run(talk.connection.keepalive())
    talk.run(talk.connection.keepalive())
    expect(talk.heard()).toEqual([global('keepalive@openssh.com'), global('keepalive@openssh.com')])
    expect(talk.connection.unanswered).toBe(2)
    talk.send({ type: 'REQUEST_FAILURE' }, { type: 'REQUEST_SUCCESS', fields: NONE })
    expect(talk.connection.unanswered).toBe(0)
  })

  test('ping is answered with what it brought', () => {
    const talk = new Talk().login()
    talk.send({ type: 'PING', data: encodeText('abc') })
    expect(talk.heard()).toEqual([{ type: 'PONG', data: encodeText('abc') }])
  })
})

test('strings of channel messages stay strings of bytes', () => {
  const talk = new Talk().login()
  const command = Uint8Array.of(0xff, 0xfe, 0x00)
  talk.send(open(0), request(0, 'exec', encodeForm({ command: string }, { command })))
  allow(talk)
  const [start] = talk.commands
  if (start?.type !== 'start' || start.program.type !== 'exec') throw new Error('not started')
  expect(toHex(start.program.command)).toBe('fffe00')
})
