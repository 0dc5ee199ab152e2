import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import type { RelayEvent } from '../../../protocols/events.ts'
import { Operations } from '../../../protocols/ssh/operations.ts'
import { SftpFrames } from '../../../protocols/ssh/sftp.ts'
import { SftpTap, SftpWatch } from '../../../protocols/ssh/sftp-tap.ts'
import { toHex } from '../../support/ssh-vectors.ts'

const text = (value: string) => new TextEncoder().encode(value)

type Part = number | bigint | string | Uint8Array | { readonly byte: number }

/** A packet: its type, then numbers of four bytes, of eight (bigint), and strings. */
function packet(type: number, ...parts: readonly Part[]): Uint8Array {
  const body = parts.map((part) => {
    if (typeof part === 'number') return u32(part)
    if (typeof part === 'bigint') return concat([u32(Number(part >> 32n)), u32(Number(part & 0xffffffffn))])
    if (typeof part === 'object' && 'byte' in part) return Uint8Array.of(part.byte)
    const bytes = typeof part === 'string' ? text(part) : part
    return concat([u32(bytes.length), bytes])
  })
  const whole = concat([Uint8Array.of(type), ...body])
  return concat([u32(whole.length), whole])
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

const INIT = packet(1, 3)
const VERSION = packet(2, 3, 'posix-rename@openssh.com', '1')
const status = (id: number, code: number) => packet(101, id, code, 'message', 'en')

/** A tap between a person and a host: what went where, in order. */
class Line {
  readonly log: string[] = []
  readonly events: RelayEvent[] = []
  readonly tap: SftpTap

  constructor() {
    const record = (event: RelayEvent): void => {
      this.events.push(event)
      this.log.push(`${event.type} ${event.op}`)
    }
    this.tap = new SftpTap({
      operations: new Operations(record),
      op: 100,
      toHost: (bytes) => void this.log.push(`> ${bytes[4]}`),
      toPerson: (_, bytes) => void this.log.push(`< ${bytes[4]}`),
      hold: () => void this.log.push('hold'),
    })
  }

  person(...packets: readonly Uint8Array[]): this {
    for (const bytes of packets) this.tap.fromPerson(bytes)
    return this
  }

  host(...packets: readonly Uint8Array[]): this {
    for (const bytes of packets) this.tap.fromHost('output', bytes)
    return this
  }

  begin(): this {
    return this.person(INIT).host(VERSION)
  }

  /** Begins and ends as they can be read: act, paths, arguments; outcome, code, facts. */
  get story(): string[] {
    return this.events.map((event) => {
      if (event.type !== 'begin' && event.type !== 'end') return event.type
      const payloads = (event.payloads ?? []).map(({ body }) =>
        new TextDecoder().decode(body).replaceAll('\0', ' -> '),
      )
      const facts =
        event.type === 'begin'
          ? [event.act, event.parent]
          : [event.outcome, event.code, event.bytes, event.rows].filter((fact) => fact !== undefined)
      return [event.op, ...facts, ...payloads].join(' ')
    })
  }
}

const HANDLE = 'handle-1'
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

describe('one operation each, from the request to its status', () => {
  const attributes = [0x0000000d, 77n, 0o100644, 1, 2] as const

  test.each([
    ['REMOVE', packet(13, 1, '/tmp/a'), 'sftp.remove 100 /tmp/a'],
    ['RENAME', packet(18, 1, '/a', '/b'), 'sftp.rename 100 /a -> /b {"request":"RENAME"}'],
    ['MKDIR', packet(14, 1, '/d', 4, 0o755), 'sftp.mkdir 100 /d {"permissions":"755"}'],
    ['RMDIR', packet(15, 1, '/d'), 'sftp.rmdir 100 /d'],
    [
      'SETSTAT',
      packet(9, 1, '/a', ...attributes),
      'sftp.setstat 100 /a {"request":"SETSTAT","size":"77","permissions":"644","atime":1,"mtime":2}',
    ],
    ['SYMLINK', packet(20, 1, 'to', 'link'), 'sftp.symlink 100 to -> link {"request":"SYMLINK"}'],
    ['STAT', packet(17, 1, '/a'), 'sftp.other 100 /a {"request":"STAT"}'],
    ['LSTAT', packet(7, 1, '/a'), 'sftp.other 100 /a {"request":"LSTAT"}'],
    ['REALPATH', packet(16, 1, '.'), 'sftp.other 100 . {"request":"REALPATH"}'],
    ['READLINK', packet(19, 1, '/l'), 'sftp.other 100 /l {"request":"READLINK"}'],
    [
      'posix-rename',
      packet(200, 1, 'posix-rename@openssh.com', '/a', '/b'),
      'sftp.rename 100 /a -> /b {"request":"posix-rename@openssh.com"}',
    ],
    [
      'hardlink',
      packet(200, 1, 'hardlink@openssh.com', '/a', '/b'),
      'sftp.symlink 100 /a -> /b {"request":"hardlink@openssh.com"}',
    ],
    [
      'lsetstat',
      packet(200, 1, 'lsetstat@openssh.com', '/a', 2, 0, 0),
      'sftp.setstat 100 /a {"request":"lsetstat@openssh.com","uid":0,"gid":0}',
    ],
    [
      'statvfs',
      packet(200, 1, 'statvfs@openssh.com', '/'),
      'sftp.other 100 / {"request":"statvfs@openssh.com"}',
    ],
    ['limits', packet(200, 1, 'limits@openssh.com'), 'sftp.other 100 {"request":"limits@openssh.com"}'],
    [
      'expand-path',
      packet(200, 1, 'expand-path@openssh.com', '~'),
      'sftp.other 100 ~ {"request":"expand-path@openssh.com"}',
    ],
    [
      'an unknown extension',
      packet(200, 1, 'frobnicate@example.com', 'x'),
      'sftp.other 100 {"request":"frobnicate@example.com","fields":"0000000178"}',
    ],
  ])('%s', (_, request, expected) => {
    const line = new Line().begin().person(request).host(status(1, 0))
    expect(line.story).toEqual([`1 ${expected}`, '1 ok 0'])
    // Recorded before the host has it; the status waits for the record of the outcome.
    expect(line.log.slice(2)).toEqual(['begin 1', `> ${request[4]}`, 'end 1', 'hold', '< 101'])

    const refused = new Line().begin().person(request).host(status(1, 3))
    expect(refused.story.at(-1)).toBe('1 error 3')
  })

  test('answered by names or attributes instead of a status', () => {
    const line = new Line().begin().person(packet(17, 1, '/a'), packet(16, 2, '.'))
    line.host(packet(104, 2, 1, '/home', '', 0), packet(105, 1, 0))
    expect(line.story.slice(2)).toEqual(['2 ok 0', '1 ok 0'])
    expect(line.log.slice(-6)).toEqual(['end 2', 'hold', '< 104', 'end 1', 'hold', '< 105'])
  })
})

describe('a file', () => {
  const content = text('x'.repeat(1000))
  const half = content.length / 2

  test('that is read whole has its bytes and their hash in its end', () => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/etc/motd', 1, 0))
      .host(packet(102, 1, HANDLE))
    line.person(
      packet(5, 2, HANDLE, 0n, half),
      packet(5, 3, HANDLE, BigInt(half), half),
      packet(5, 4, HANDLE, 1000n, half),
    )
    line.host(packet(103, 2, content.subarray(0, half)), packet(103, 3, content.subarray(half)), status(4, 1))
    line.person(packet(4, 5, HANDLE)).host(status(5, 0))
    expect(line.story).toEqual([
      '1 sftp.open 100 /etc/motd {"flags":["read"]}',
      `1 ok 0 1000 {"read":{"bytes":1000,"sha256":"${sha256(content)}"}}`,
    ])
    // Neither the handle nor the data waits: only the status of CLOSE tells the operation's outcome.
    expect(line.log.filter((entry) => entry === 'hold')).toHaveLength(1)
    expect(line.log.slice(-3)).toEqual(['end 1', 'hold', '< 101'])
    expect(line.tap.facts().bytes).toBe(1000)
  })

  test('that is read up to the size the host told is whole too', () => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/a', 1, 0))
      .host(packet(102, 1, HANDLE))
    line.person(packet(8, 2, HANDLE)).host(packet(105, 2, 1, 1000n))
    line.person(packet(5, 3, HANDLE, 0n, 1000)).host(packet(103, 3, content))
    line.person(packet(4, 4, HANDLE)).host(status(4, 0))
    expect(line.story.at(-1)).toContain(sha256(content))
  })

  test('that is read in part, or out of order, has no hash', () => {
    for (const offset of [1n, 500n]) {
      const line = new Line()
        .begin()
        .person(packet(3, 1, '/a', 1, 0))
        .host(packet(102, 1, HANDLE))
      line.person(packet(5, 2, HANDLE, offset, 500)).host(packet(103, 2, content.subarray(0, 500)))
      line.person(packet(5, 3, HANDLE, 500n, 500)).host(status(3, 1))
      line.person(packet(4, 4, HANDLE)).host(status(4, 0))
      expect(line.story.at(-1)).toBe('1 ok 0 500 {"read":{"bytes":500}}')
    }
  })

  test('that is written anew has its bytes and their hash', () => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/a', 0x1a, 4, 0o644))
      .host(packet(102, 1, HANDLE))
    line.person(
      packet(6, 2, HANDLE, 0n, content.subarray(0, half)),
      packet(6, 3, HANDLE, 500n, content.subarray(half)),
    )
    line.host(status(2, 0), status(3, 0))
    line.person(packet(4, 4, HANDLE)).host(status(4, 0))
    expect(line.story).toEqual([
      '1 sftp.open 100 /a {"flags":["write","create","truncate"],"permissions":"644"}',
      `1 ok 0 1000 {"written":{"bytes":1000,"sha256":"${sha256(content)}"}}`,
    ])
  })

  test('that is cut to what was written into it is whole too, as scp does it', () => {
    for (const [size, whole] of [
      [1000n, true],
      [999n, false],
    ] as const) {
      const line = new Line()
        .begin()
        .person(packet(3, 1, '/a', 0x0a, 0))
        .host(packet(102, 1, HANDLE))
      line.person(packet(6, 2, HANDLE, 0n, content)).host(status(2, 0))
      line.person(packet(10, 3, HANDLE, 1, size)).host(status(3, 0))
      line.person(packet(4, 4, HANDLE)).host(status(4, 0))
      expect(line.story.at(-1)?.includes(sha256(content))).toBe(whole)
    }
  })

  test.each([
    ['without truncation', 0x0a, 0n, 0],
    ['behind a gap', 0x1a, 5n, 0],
    ['appending', 0x1e, 0n, 0],
    ['that failed', 0x1a, 0n, 4],
  ])('written %s has no hash', (_, flags, offset, code) => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/a', flags, 0))
      .host(packet(102, 1, HANDLE))
    line.person(packet(6, 2, HANDLE, offset, content)).host(status(2, code))
    line.person(packet(4, 3, HANDLE)).host(status(3, 0))
    expect(line.story.at(-1)).toBe('1 ok 0 1000 {"written":{"bytes":1000}}')
  })

  test('that cannot be opened is an error', () => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/root/x', 1, 0))
      .host(status(1, 3))
    expect(line.story).toEqual(['1 sftp.open 100 /root/x {"flags":["read"]}', '1 error 3'])
  })

  test('that is still open when the channel ends is aborted', () => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/a', 1, 0), packet(13, 2, '/b'))
      .host(packet(102, 1, HANDLE))
    line.tap.facts()
    expect(line.story.slice(2)).toEqual(['2 aborted', '1 aborted 0'])
  })

  test('changed through its handle is named by its path', () => {
    const line = new Line()
      .begin()
      .person(packet(3, 1, '/a', 1, 0))
      .host(packet(102, 1, HANDLE))
    line.person(packet(10, 2, HANDLE, 4, 0o600)).host(status(2, 0))
    line.person(packet(200, 3, 'copy-data', HANDLE, 0n, 0n, HANDLE, 0n)).host(status(3, 0))
    expect(line.story.filter((entry) => entry.startsWith('2 ') || entry.startsWith('3 '))).toEqual([
      '2 sftp.setstat 100 /a {"permissions":"600"}',
      '2 ok 0',
      '3 sftp.other 100 /a -> /a {"request":"copy-data","length":"0"}',
      '3 ok 0',
    ])
  })
})

test('a directory that is listed is one operation with the number of its names', () => {
  const line = new Line()
    .begin()
    .person(packet(11, 1, '/etc'))
    .host(packet(102, 1, HANDLE))
  line.person(packet(12, 2, HANDLE)).host(packet(104, 2, 2, 'a', 'a', 0, 'b', 'b', 0))
  line.person(packet(12, 3, HANDLE)).host(status(3, 1))
  line.person(packet(4, 4, HANDLE)).host(status(4, 0))
  expect(line.story).toEqual(['1 sftp.list 100 /etc', '1 ok 0 2'])
})

test('pipelined requests are answered in any order', () => {
  const line = new Line().begin()
  line.person(packet(13, 7, '/a'), packet(13, 8, '/b'), packet(13, 9, '/c'))
  line.host(status(9, 0), status(7, 2), status(8, 0))
  expect(line.story.slice(3)).toEqual(['3 ok 0', '1 error 2', '2 ok 0'])
})

describe('what is not SFTP ends the connection', () => {
  test.each([
    ['a first packet that is not INIT', [packet(3, 1, '/a', 1, 0)]],
    ['an unknown type', [INIT, packet(99, 1)]],
    ['an answer from the person', [INIT, status(1, 0)]],
    ['an id that is open already', [INIT, packet(13, 1, '/a'), packet(13, 1, '/b')]],
    ['bytes behind a request', [INIT, packet(13, 1, '/a', 'more')]],
    ['a path with NUL', [INIT, packet(13, 1, '/a\0/b')]],
    ['a handle without end', [INIT, packet(4, 1, 'h'.repeat(257))]],
    ['a length of nothing', [INIT, u32(0)]],
    ['a length without end', [INIT, u32(256 * 1024 + 1)]],
    ['extended attributes without end', [INIT, packet(9, 1, '/a', 0x80000000, 65)]],
  ])('%s', (_, packets) => {
    expect(() => new Line().person(...packets)).toThrow(ProtocolError)
  })

  test.each([
    ['another version', [packet(2, 6)], 'speaks SFTP 6'],
    ['no version', [status(1, 0)], 'without VERSION'],
    ['an answer that was not asked for', [VERSION, status(1, 0)], 'no SFTP request: 1'],
    ['a request from the host', [VERSION, packet(13, 1, '/a')], 'unknown type 13'],
  ])('%s', (_, packets, reason) => {
    expect(() => new Line().person(INIT).host(...packets)).toThrow(reason)
  })

  test('more requests than anybody has at once', () => {
    const line = new Line().begin()
    expect(() => {
      for (let id = 0; id <= 4096; id++) line.person(packet(17, id, '/'))
    }).toThrow('too many SFTP requests at once')
  })

  test('a handle that the host gives twice', () => {
    const line = new Line().begin().person(packet(3, 1, '/a', 1, 0), packet(3, 2, '/b', 1, 0))
    expect(() => line.host(packet(102, 1, HANDLE), packet(102, 2, HANDLE))).toThrow('handle twice')
  })
})

test('packets are the same whatever pieces the stream comes in', () => {
  const packets = [
    INIT,
    packet(3, 1, '/etc/motd', 1, 0),
    packet(6, 2, HANDLE, 0n, new Uint8Array(300)),
    packet(13, 3, '/'),
  ]
  const stream = concat(packets)
  const whole = packets.map(toHex)
  for (let cut = 0; cut <= stream.length; cut++) {
    const frames = new SftpFrames()
    expect(
      [...frames.push(stream.subarray(0, cut)), ...frames.push(stream.subarray(cut))].map(toHex),
    ).toEqual(whole)
  }
  const frames = new SftpFrames()
  expect(Array.from(stream).flatMap((byte) => frames.push(Uint8Array.of(byte)).map(toHex))).toEqual(whole)
})

describe('SFTP as a program of its own', () => {
  const events: RelayEvent[] = []
  const record = (event: RelayEvent) => void events.push(event)

  test('is read along', () => {
    events.length = 0
    const watch = new SftpWatch(new Operations(record), 5)
    expect(SftpWatch.begins(INIT)).toBe(true)
    expect(SftpWatch.begins(text('#!/bin/sh\n'))).toBe(false)
    watch.fromPerson(concat([INIT, packet(13, 1, '/a')]))
    expect(watch.fromHost(VERSION)).toBe(false)
    expect(watch.fromHost(status(1, 0))).toBe(true)
    expect(events.map((event) => event.type)).toEqual(['begin', 'end'])
  })

  test('stops being read along where it is something else, and disturbs nothing', () => {
    events.length = 0
    const watch = new SftpWatch(new Operations(record), 5)
    watch.fromPerson(concat([INIT, packet(13, 1, '/a')]))
    watch.fromPerson(text('and now for something completely different'))
    expect(watch.fromHost(VERSION)).toBe(false)
    watch.end()
    expect(events.map((event) => event.type)).toEqual(['begin', 'end'])
    expect(events[1]).toMatchObject({ outcome: 'aborted' })
  })
})
