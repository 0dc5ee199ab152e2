import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  CHUNK_MAX,
  type Chunk,
  Chunker,
  decodeFrames,
  type FrameKind,
  TERMINAL_CHUNK_MAX,
} from '../../../src/record/chunks.ts'

const KINDS: readonly FrameKind[] = ['o', 'e', 'i', 'r', 'm', 'x']
const isRaw = (kind: FrameKind): boolean => kind === 'o' || kind === 'e' || kind === 'i'
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('a chunk is a list of frames: microseconds since the one before, kind, length, bytes', () => {
  const chunker = new Chunker(TERMINAL_CHUNK_MAX)
  const full = (): never => {
    throw new Error('not full')
  }
  chunker.add('o', Buffer.from('hi'), 1_000_000, full)
  chunker.add('r', Buffer.from('80x24'), 1_000_300, full)
  chunker.add('e', Buffer.alloc(200, 0xff), 1_000_300 + 2 ** 14, full)
  chunker.add('m', Buffer.alloc(0), 1_000_300 + 2 ** 14, full)
  const chunk = chunker.cut()
  expect({ ...chunk, body: hex(chunk.body) }).toEqual({
    body: [
      `00${hex(Buffer.from('o'))}02${hex(Buffer.from('hi'))}`,
      `ac02${hex(Buffer.from('r'))}05${hex(Buffer.from('80x24'))}`,
      `808001${hex(Buffer.from('e'))}c801${'ff'.repeat(200)}`,
      `00${hex(Buffer.from('m'))}00`,
    ].join(''),
    offset: 0,
    bytes: 202,
    startedAt: 1_000_000,
  })
  expect(chunker.isEmpty).toBe(true)
})

const frame = fc.record({
  kind: fc.constantFrom(...KINDS),
  bytes: fc.oneof(
    { weight: 4, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    { weight: 1, arbitrary: fc.nat(150_000).map((length) => Buffer.alloc(length, length)) },
  ),
  // Clocks are set back, too.
  after: fc.oneof(fc.nat(3_000_000), fc.constantFrom(-5_000_000, 2 ** 40)),
  cut: fc.boolean(),
})

test.each([TERMINAL_CHUNK_MAX, CHUNK_MAX])(
  'what is written in chunks of at most %d bytes is read back, with its times and offsets',
  (max) => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
        const chunker = new Chunker(max)
        const chunks: Chunk[] = []
        let now = 1_763_600_000_000_000
        const times: number[] = []
        for (const { kind, bytes, after, cut } of frames) {
          now += after
          times.push(now)
          chunker.add(kind, bytes, now, (chunk) => chunks.push(chunk))
          if (cut) chunks.push(chunker.cut())
        }
        if (!chunker.isEmpty) chunks.push(chunker.cut())

        let raw = 0
        const seen: { kind: FrameKind; bytes: Buffer }[] = []
        for (const chunk of chunks) {
          expect(chunk.body.length).toBeLessThanOrEqual(max)
          expect(chunk.offset).toBe(raw)
          const decoded = decodeFrames(chunk.body)
          expect(decoded.length).toBeGreaterThan(0)
          expect(decoded[0]?.delay).toBe(0)
          let inside = 0
          for (const { kind, bytes, delay } of decoded) {
            expect(delay).toBeGreaterThanOrEqual(0)
            if (isRaw(kind)) inside += bytes.length
            seen.push({ kind, bytes: Buffer.from(bytes) })
          }
          expect(chunk.bytes).toBe(inside)
          raw += inside
        }
        const joined = (list: readonly { kind: FrameKind; bytes: Uint8Array }[]): string =>
          list.map(({ kind, bytes }) => (bytes.length === 0 ? '' : `${kind}${hex(bytes)}`)).join('')
        // A piece of a stream may be cut between chunks; what it says and the order do not change.
        const flat = (list: readonly { kind: FrameKind; bytes: Uint8Array }[]): string[] => {
          const out: { kind: FrameKind; parts: Uint8Array[] }[] = []
          for (const { kind, bytes } of list) {
            const last = out.at(-1)
            if (last?.kind === kind) last.parts.push(bytes)
            else out.push({ kind, parts: [bytes] })
          }
          return out.map(({ kind, parts }) => joined([{ kind, bytes: Buffer.concat(parts) }]))
        }
        expect(flat(seen)).toEqual(flat(frames))
      }),
      { numRuns: 60 },
    )
  },
)

test('a frame that fits a chunk is not cut in two for the sake of a few bytes', () => {
  const chunker = new Chunker(TERMINAL_CHUNK_MAX)
  const chunks: Chunk[] = []
  chunker.add('o', Buffer.alloc(TERMINAL_CHUNK_MAX - 100), 0, (chunk) => chunks.push(chunk))
  chunker.add('r', Buffer.from('132x43'.padEnd(200)), 0, (chunk) => chunks.push(chunk))
  chunks.push(chunker.cut())
  expect(chunks.map(({ body }) => decodeFrames(body).map(({ kind }) => kind))).toEqual([['o'], ['r']])
})

test('times are kept to the microsecond, and a clock that is set back makes no negative delay', () => {
  const chunker = new Chunker(CHUNK_MAX)
  const start = 1_763_600_000_000_000
  for (const at of [0, 7, 2 ** 33, 2 ** 33 - 10, 2 ** 33 + 5]) {
    chunker.add('o', Buffer.of(1), start + at, () => {})
  }
  const { body, startedAt } = chunker.cut()
  expect(startedAt).toBe(start)
  expect(decodeFrames(body).map(({ delay }) => delay)).toEqual([0, 7, 2 ** 33 - 7, 0, 5])
})

test('a chunk keeps its bytes when the buffer they came from is used again', () => {
  const chunker = new Chunker(CHUNK_MAX)
  const bytes = Buffer.from('before')
  chunker.add('o', bytes, 0, () => {})
  const first = chunker.cut()
  bytes.fill('x')
  chunker.add('o', Buffer.from('after!'), 0, () => {})
  expect(Buffer.from(decodeFrames(first.body)[0]?.bytes ?? []).toString()).toBe('before')
})

test('a body that is cut short, or has a kind we do not know, is refused', () => {
  const chunker = new Chunker(CHUNK_MAX)
  chunker.add('o', Buffer.alloc(300, 1), 5, () => {})
  const { body } = chunker.cut()
  for (let length = 1; length < body.length; length++) {
    expect(() => decodeFrames(body.subarray(0, length)), `cut at ${length}`).toThrow(RangeError)
  }
  expect(decodeFrames(body.subarray(0, 0))).toEqual([])
  expect(() => decodeFrames(Buffer.from('007a00', 'hex'))).toThrow('unknown frame kind')
  expect(() => decodeFrames(Buffer.alloc(20, 0xff))).toThrow(RangeError)
})
