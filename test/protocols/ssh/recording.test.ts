import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { encodeText } from '../../../protocols/bytes.ts'
import type { RelayEvent } from '../../../protocols/events.ts'
import type { HostEvent, RelayOptions } from '../../../protocols/ssh/index.ts'
import { encodeForm } from '../../../protocols/ssh/wire.ts'
import {
  data,
  env,
  eof,
  exec,
  open,
  pty,
  request,
  running,
  subsystem,
} from '../../support/ssh-channel-talk.ts'
import { Talk } from '../../support/ssh-talk.ts'

const MIB = 1024 * 1024
const bytes = (content: string) => encodeText(content)
const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')

function tell(talk: Talk, ...events: readonly HostEvent[]): void {
  for (const event of events) talk.run(talk.connection.host(event))
}

const output = (content: string, stream: 'output' | 'stderr' = 'output'): HostEvent => ({
  type: 'data',
  channel: 0,
  stream,
  bytes: bytes(content),
})
const ended: HostEvent = { type: 'ending', channel: 0, ending: { type: 'exit-status', status: 0 } }

/** Frames as text: stream, kind, bytes. */
function frames(talk: Talk): string[] {
  return talk.records.flatMap((event) =>
    event.type === 'data' ? [`${event.stream} ${event.frame} ${new TextDecoder().decode(event.bytes)}`] : [],
  )
}

function payload(event: RelayEvent | undefined, type: string): unknown {
  const payloads = event !== undefined && 'payloads' in event ? (event.payloads ?? []) : []
  const found = payloads.find((candidate) => candidate.type === type)
  return found === undefined ? undefined : JSON.parse(new TextDecoder().decode(found.body))
}

function program(command: string, options: Partial<RelayOptions> = {}): Talk {
  return running(new Talk().login(options), exec(0, command))
}

function terminal(options: Partial<RelayOptions> = {}): Talk {
  return running(new Talk().login(options), pty(0, 80, 24), request(0, 'shell'))
}

test('a program begins with its command, its terminal and its environment', () => {
  const talk = new Talk().login()
  talk.send(open(0), env(0, 'LANG', 'C'), env(0, '__proto__', 'x'), pty(0, 100, 30), exec(0, 'top'))
  talk.run(talk.connection.verdict(1, { allow: true, rule: 'ops' }))
  const [begin] = talk.records
  expect(begin).toMatchObject({ type: 'begin', op: 1, act: 'ssh.exec', rule: 'ops' })
  if (begin?.type !== 'begin') throw new Error('no begin')
  expect(begin.payloads[0]?.type).toBe('cmd')
  expect(new TextDecoder().decode(begin.payloads[0]?.body)).toBe('top')
  expect(payload(begin, 'args')).toEqual({
    terminal: { term: 'xterm-256color', columns: 100, rows: 30 },
    env: [{ name: 'LANG', value: 'C' }],
  })
})

test('a subsystem by its name, a shell without one', () => {
  for (const [asked, act, name] of [
    [subsystem(0, 'netconf'), 'ssh.subsystem', 'netconf'],
    [request(0, 'shell'), 'ssh.shell', ''],
  ] as const) {
    const talk = new Talk().login()
    talk.send(open(0), asked)
    talk.run(talk.connection.verdict(1, { allow: true }))
    expect(talk.records).toMatchObject([{ act, payloads: [{ type: 'cmd', body: bytes(name) }] }])
  }
})

test('a forced command with what was asked for', () => {
  const talk = new Talk().login({ forceCommand: 'uptime' })
  talk.send(open(0), exec(0, 'bash -i'))
  talk.run(talk.connection.verdict(1, { allow: true }))
  expect(payload(talk.records[0], 'args')).toEqual({ asked: 'bash -i' })
})

test('a subsystem gets no terminal, and what it is told is recorded', () => {
  const talk = new Talk().login()
  talk.send(open(0), pty(0), subsystem(0, 'netconf'), data(0, '<hello/>'))
  talk.run(talk.connection.verdict(1, { allow: true }))
  expect(talk.commands[0]).toMatchObject({ type: 'start', terminal: undefined })
  expect(frames(talk)).toEqual(['in i <hello/>'])
})

describe('without a terminal', () => {
  test('all three streams are recorded, each as what it is', () => {
    const talk = program('bash')
    talk.send(data(0, 'id\n'))
    tell(talk, output('uid=0'), output('warning', 'stderr'))
    expect(frames(talk)).toEqual(['in i id\n', 'out o uid=0', 'out e warning'])
    talk.send(eof(0))
    tell(talk, ended)
    const end = talk.records.at(-1)
    expect(end).toMatchObject({ type: 'end', outcome: 'ok', code: '0', bytes: 12 })
    expect(payload(end, 'meta')).toEqual({ stdin: { bytes: 3, sha256: sha256(bytes('id\n')) } })
  })

  const piece = new Uint8Array(32 * 1024).fill(0x61)
  const feed = (talk: Talk, length: number): void => {
    for (let at = 0; at < length; at += piece.length) {
      talk.send(data(0, piece.subarray(0, Math.min(piece.length, length - at))))
      tell(talk, { type: 'taken', channel: 0, bytes: Math.min(piece.length, length - at) })
    }
  }
  const kept = (talk: Talk) =>
    talk.records.reduce(
      (sum, event) => (event.type === 'data' && event.stream === 'in' ? sum + event.bytes.length : sum),
      0,
    )

  test.each([
    ['a mebibyte is kept whole', MIB, 'keep', MIB],
    ['one byte more is counted and hashed', MIB + 1, 'keep', MIB],
    ['all of it is counted and hashed', 100 * MIB, 'keep', MIB],
    ['nothing is kept where it shall only be hashed', 1000, 'hash', 0],
  ] as const)('of what it reads %s (%i bytes, %s)', (_, length, stdin, expected) => {
    const talk = program('cat', { stdin })
    feed(talk, length)
    expect(kept(talk)).toBe(expected)
    expect(
      talk.commands.reduce(
        (sum, command) => (command.type === 'write' ? sum + command.bytes.length : sum),
        0,
      ),
    ).toBe(length)
    tell(talk, ended)
    const hash = createHash('sha256')
    for (let left = length; left > 0; left -= piece.length)
      hash.update(piece.subarray(0, Math.min(piece.length, left)))
    expect(payload(talk.records.at(-1), 'meta')).toEqual({
      stdin: { bytes: length, sha256: hash.digest('hex') },
    })
  })

  test('its output is only counted where it shall not be kept', () => {
    const talk = program('cat', { output: false })
    tell(talk, output('secret'), ended)
    expect(frames(talk)).toEqual([])
    expect(talk.records.at(-1)).toMatchObject({ bytes: 6 })
  })

  test('files of scp are listed at its end', () => {
    const talk = program('scp -t /tmp')
    talk.send(data(0, 'C0644 2 a.txt\nhi\0'))
    tell(talk, ended)
    expect(payload(talk.records.at(-1), 'meta')).toMatchObject({
      files: [{ path: 'a.txt', bytes: 2, sha256: sha256(bytes('hi')) }],
    })
  })

  test('SFTP started as a program has its operations, and its streams beside them', () => {
    const talk = program('/usr/lib/openssh/sftp-server')
    talk.send(data(0, Uint8Array.of(0, 0, 0, 5, 1, 0, 0, 0, 3)))
    tell(talk, {
      type: 'data',
      channel: 0,
      stream: 'output',
      bytes: Uint8Array.of(0, 0, 0, 5, 2, 0, 0, 0, 3),
    })
    talk.send(
      data(0, Uint8Array.of(0, 0, 0, 7, 13, 0, 0, 0, 1, 0, 0)),
      data(0, Uint8Array.of(0, 0, 0, 11, 13, 0, 0, 0)),
    )
    talk.send(data(0, 'x'))
    tell(talk, ended)
    // The second packet is none: from there on it is a program like any other.
    expect(talk.records.filter((event) => event.type === 'data').length).toBe(5)
    expect(talk.closed).toBeUndefined()
  })
})

describe('with a terminal', () => {
  const typed = (talk: Talk, ...keys: readonly string[]): void => {
    for (const key of keys) talk.send(data(0, key))
  }
  const shown = (talk: Talk, content: string): void => tell(talk, output(content))
  const enter = (talk: Talk, line: string, echo = true): void => {
    for (const key of line) {
      typed(talk, key)
      if (echo) shown(talk, key)
    }
    typed(talk, '\r')
    shown(talk, '\r\n')
  }

  test('what is shown is recorded, with its sizes and the commands derived from it', () => {
    const talk = terminal()
    shown(talk, '$ ')
    enter(talk, 'ls')
    talk.send(
      request(
        0,
        'window-change',
        encodeForm(
          { size: { read: () => 0, write: (to) => void to.uint32(90).uint32(20).uint32(0).uint32(0) } },
          { size: 0 },
        ),
        false,
      ),
    )
    expect(frames(talk)).toEqual([
      'tty o $ ',
      'tty o l',
      'tty o s',
      'tty o \r\n',
      'tty m {"command":"ls","by":"cursor"}',
      'tty r 90x20',
    ])
    tell(talk, ended)
    expect(payload(talk.records.at(-1), 'meta')).toEqual({ commands: 1 })
  })

  test('its first frame is its size', () => {
    const talk = new Talk().login()
    talk.send(open(0), pty(0, 80, 24), request(0, 'shell'))
    talk.run(talk.connection.verdict(1, { allow: true }))
    expect(frames(talk)).toEqual(['tty r 80x24'])
  })

  test('what is typed is nowhere in the record: a password', () => {
    const talk = terminal()
    shown(talk, '$ ')
    enter(talk, 'sudo id')
    shown(talk, '[sudo] password for alice: ')
    enter(talk, 'correct horse battery', false)
    shown(talk, 'uid=0(root)\r\n$ ')
    tell(talk, ended)
    const everything = talk.records
      .flatMap((event) => [
        ...(event.type === 'data' ? [event.bytes] : []),
        ...('payloads' in event ? (event.payloads ?? []).map(({ body }) => body) : []),
      ])
      .map((content) => new TextDecoder().decode(content))
      .join('')
    expect(everything).not.toMatch(/horse/)
    expect(everything).toContain('sudo id')
    expect(payload(talk.records.at(-1), 'meta')).toEqual({
      commands: 1,
      unechoed: { lines: 1, characters: 21 },
    })
  })

  test('a shell without echo is only counted, and ended where that is demanded', () => {
    for (const strictEcho of [false, true]) {
      const talk = terminal({ strictEcho })
      shown(talk, '$ ')
      enter(talk, 'stty -echo')
      for (let i = 0; i < 5; i++) enter(talk, `hidden command ${i}`, false)
      talk.run(talk.connection.tick(1000))
      expect(talk.closed === undefined).toBe(!strictEcho)
      expect(frames(talk).join('')).not.toContain('hidden')
      if (!strictEcho) continue
      expect(talk.closed).toEqual({
        why: 'limit',
        message: '5 lines were entered that this terminal did not show',
      })
      expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'aborted' })
    }
  })

  test('sudo’s three tries do not end it', () => {
    const talk = terminal({ strictEcho: true })
    shown(talk, '$ ')
    enter(talk, 'sudo id')
    for (let i = 0; i < 3; i++) enter(talk, 'wrong', false)
    talk.run(talk.connection.tick(1000))
    expect(talk.closed).toBeUndefined()
    shown(talk, '$ ')
    enter(talk, 'passwd')
    for (let i = 0; i < 4; i++) enter(talk, 'new', false)
    talk.run(talk.connection.tick(2000))
    expect(talk.closed).toBeUndefined()
  })
})

describe('SFTP as a subsystem', () => {
  const packet = (...content: readonly number[]) => Uint8Array.of(0, 0, 0, content.length, ...content)
  const INIT = packet(1, 0, 0, 0, 3)
  const VERSION = packet(2, 0, 0, 0, 3)
  const REMOVE = packet(13, 0, 0, 0, 9, 0, 0, 0, 2, 0x2f, 0x78)
  const STATUS = packet(101, 0, 0, 0, 9, 0, 0, 0, 0)
  const host = (content: Uint8Array): HostEvent => ({
    type: 'data',
    channel: 0,
    stream: 'output',
    bytes: content,
  })

  test('is recorded by operations, in their channel, and not by bytes', () => {
    const talk = running(new Talk().login(), subsystem(0, 'sftp'))
    talk.send(data(0, INIT), data(0, REMOVE))
    tell(talk, host(VERSION), host(STATUS), ended)
    expect(talk.records.map((event) => [event.type, event.op])).toEqual([
      ['begin', 2],
      ['end', 2],
      ['end', 1],
    ])
    expect(talk.records[0]).toMatchObject({ act: 'sftp.remove', parent: 1 })
  })

  test('holds each status by itself, in the order of the stream', () => {
    const talk = running(new Talk().login(), subsystem(0, 'sftp'))
    talk.send(data(0, INIT), data(0, REMOVE))
    tell(talk, host(VERSION))
    expect(talk.connection.host(host(STATUS)).map(({ type }) => type)).toEqual(['record', 'hold', 'send'])
  })

  test('passes packets on only when they are whole', () => {
    const talk = running(new Talk().login(), subsystem(0, 'sftp'))
    talk.send(data(0, INIT), data(0, REMOVE.subarray(0, 8)))
    expect(talk.commands).toHaveLength(1)
    talk.send(data(0, REMOVE.subarray(8)))
    expect(talk.commands).toHaveLength(2)
  })

  test('is SFTP with a terminal too', () => {
    const talk = new Talk().login()
    talk.send(open(0), pty(0), subsystem(0, 'sftp'), data(0, INIT), data(0, REMOVE))
    talk.run(talk.connection.verdict(1, { allow: true }))
    expect(talk.records.map((event) => ('act' in event ? event.act : event.type))).toEqual([
      'ssh.subsystem',
      'sftp.remove',
    ])
  })

  test('is nothing else: what is not SFTP ends the connection', () => {
    const talk = running(new Talk().login(), subsystem(0, 'sftp'))
    talk.send(data(0, '#!/bin/sh\n'))
    expect(talk.closed?.message).toMatch(/a packet of SFTP/)
    expect(talk.commands).toEqual([])
  })
})
