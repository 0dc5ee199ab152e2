import { describe, expect, test } from 'vitest'
import { encodeText } from '../../../protocols/bytes.ts'
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
import { allow, ENDED, FAILURE, NONE, names, output, REFUSAL, SUCCESS, tell } from './channel-setting.ts'

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

test('strings of channel messages stay strings of bytes', () => {
  const talk = new Talk().login()
  const command = Uint8Array.of(0xff, 0xfe, 0x00)
  talk.send(open(0), request(0, 'exec', encodeForm({ command: string }, { command })))
  allow(talk)
  const [start] = talk.commands
  if (start?.type !== 'start' || start.program.type !== 'exec') throw new Error('not started')
  expect(toHex(start.program.command)).toBe('fffe00')
})
