import { describe, expect, test } from 'vitest'
import { Cutter } from '../../../protocols/postgres/frames.ts'
import { bytes, message } from '../../support/postgres-messages.ts'

/** What a cutter tells of chunks: whole messages as text, pieces with their marks. 'd' is streamed. */
function cut(chunks: readonly Uint8Array[]): string[] {
  const cutter = new Cutter((tag) => (tag === 'd'.charCodeAt(0) ? 'stream' : 'whole'))
  const told: string[] = []
  for (const chunk of chunks) {
    cutter.feed(chunk)
    for (let found = cutter.next(); found !== 'none'; found = cutter.next()) {
      const text = Buffer.from(cutter.bytes.subarray(cutter.start, cutter.end)).toString('latin1')
      const marks = found === 'piece' ? `${cutter.first ? '<' : ''}${cutter.last ? '>' : ''}` : '='
      told.push(`${marks}${text}`)
    }
  }
  return told
}

const stream = bytes(message('Q', 'ab'), message('d', 'cdef'), message('d'), message('S'))

describe('a stream is cut at its messages', () => {
  test('whole', () => {
    expect(cut([stream])).toEqual(['=Q\0\0\0\x06ab', '<>d\0\0\0\x08cdef', '<>d\0\0\0\x04', '=S\0\0\0\x04'])
  })

  test('cut in two anywhere: the same bytes, the same messages, pieces only of what is streamed', () => {
    for (let at = 1; at < stream.length; at++) {
      const told = cut([stream.slice(0, at), stream.slice(at)])
      expect(told.map((line) => line.replace(/^[<>=]*/, '')).join(''), `cut at ${at}`).toBe(
        Buffer.from(stream).toString('latin1'),
      )
      expect(told.filter((line) => line.startsWith('='))).toEqual(['=Q\0\0\0\x06ab', '=S\0\0\0\x04'])
      expect(told.filter((line) => line.startsWith('<'))).toHaveLength(2)
      expect(told.filter((line) => /^<?>/.test(line))).toHaveLength(2)
    }
  })

  test('byte by byte', () => {
    const told = cut(Array.from(stream, (byte) => Uint8Array.of(byte)))
    expect(told).toEqual([
      '=Q\0\0\0\x06ab',
      '<d\0\0\0\x08',
      'c',
      'd',
      'e',
      '>f',
      '<>d\0\0\0\x04',
      '=S\0\0\0\x04',
    ])
  })

  test('in its middle, for somebody who has to wait', () => {
    const cutter = new Cutter(() => 'whole')
    const chunk = bytes(message('Q', 'a'), message('Q', 'b'), message('Q', 'c').slice(0, 3))
    cutter.feed(chunk)
    expect(cutter.next()).toBe('message')
    cutter.keep()
    chunk.fill(0)
    cutter.feed(message('Q', 'c').slice(3))
    const told: string[] = []
    while (cutter.next() !== 'none') told.push(String.fromCharCode(cutter.bytes[cutter.start + 5] ?? 0))
    expect(told).toEqual(['b', 'c'])
    expect(cutter.empty).toBe(true)
  })
})
