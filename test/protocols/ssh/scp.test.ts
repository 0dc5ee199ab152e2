import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { ScpWatch } from '../../../protocols/ssh/scp.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

function watch(command: string): ScpWatch {
  const found = ScpWatch.of(bytes(command))
  if (found === undefined) throw new Error(`${command} is not scp`)
  return found
}

const UPLOAD = `C0644 5 hello.txt\nhello\0`

test.each(['scp -t /tmp', '/usr/bin/scp -r -p -t .', 'scp -v -f a', 'scp -prt -- x'])(
  '%s is looked at',
  (command) => {
    expect(ScpWatch.of(bytes(command))).toBeDefined()
  },
)

test.each(['scpx -t a', 'cat -t', 'echo scp -t', 'scp a b', 'sftp', ''])('%j is not', (command) => {
  expect(ScpWatch.of(bytes(command))).toBeUndefined()
})

describe('files are listed by name, size and hash', () => {
  test('as the person sends them', () => {
    const scp = watch('scp -t /tmp')
    scp.fromPerson(bytes(UPLOAD))
    scp.fromHost(bytes('\0\0\0'))
    expect(scp.files()).toEqual([{ path: 'hello.txt', bytes: 5, sha256: sha256('hello') }])
  })

  test('as the host sends them', () => {
    const scp = watch('scp -f /etc/motd')
    scp.fromPerson(bytes('\0\0\0'))
    scp.fromHost(bytes(UPLOAD))
    expect(scp.files()).toHaveLength(1)
  })

  test('whatever pieces they come in, empty ones and directories too', () => {
    const stream = `T1 0 1 0\nD0755 0 top\nC0644 5 a b.txt\nhello\0D0755 0 sub\nC0600 0 empty\n\0E\nE\nC0644 2 last\nhi\0`
    const expected = [
      { path: 'top/a b.txt', bytes: 5, sha256: sha256('hello') },
      { path: 'top/sub/empty', bytes: 0, sha256: sha256('') },
      { path: 'last', bytes: 2, sha256: sha256('hi') },
    ]
    for (let cut = 0; cut <= stream.length; cut++) {
      const scp = watch('scp -r -t .')
      scp.fromPerson(bytes(stream.slice(0, cut)))
      scp.fromPerson(bytes(stream.slice(cut)))
      expect(scp.files(), `cut at ${cut}`).toEqual(expected)
    }
  })

  test('past a warning', () => {
    const scp = watch('scp -f .')
    scp.fromHost(bytes(`\u{1}scp: x: No such file\n${UPLOAD}`))
    expect(scp.files()).toHaveLength(1)
  })

  test('up to a thousand, then counted', () => {
    const scp = watch('scp -t .')
    for (let i = 0; i < 1005; i++) scp.fromPerson(bytes(`C0644 1 f${i}\nx\0`))
    expect(scp.files()).toHaveLength(1001)
    expect(scp.files().at(-1)).toEqual({ more: 5 })
  })
})

test.each([
  ['not the protocol', '#!/bin/sh\nrm -rf /\n'],
  ['a name that is a path', 'C0644 1 ../../etc/passwd\nx\0'],
  ['a size that is none', 'C0644 -1 a\nx\0'],
  ['a line without end', 'x'.repeat(9000)],
  ['directories without end', 'D0755 0 d\n'.repeat(300)],
])('%s is not understood, and lists nothing', (_, stream) => {
  const scp = watch('scp -t .')
  scp.fromPerson(bytes(stream))
  scp.fromPerson(bytes(UPLOAD))
  expect(scp.files()).toEqual([])
})
