import { expect, test } from 'vitest'
import { CastWriter, castHeader } from '../../../src/http/recordings.ts'
import type { Frame } from '../../../src/read/answers.ts'

const frame = (at: number, kind: Frame['kind'], bytes: Uint8Array | string): Frame => ({
  at,
  kind,
  data: Buffer.from(bytes).toString('base64'),
})

test('frames become asciicast v3: relative times, and no character cut in two', () => {
  const writer = new CastWriter()
  const euro = Buffer.from('a€b')
  const lines = [
    frame(0, 'r', '80x24'),
    frame(1_500_000, 'o', euro.subarray(0, 2)),
    frame(1_600_000, 'o', euro.subarray(2)),
    frame(1_700_000, 'e', 'oops'),
    frame(1_700_000, 'm', '{"command":"ls"}'),
    frame(1_650_000, 'o', 'late'),
    frame(2_000_000, 'x', '0'),
  ].map((one) => writer.event(one))
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    [0, 'r', '80x24'],
    [1.5, 'o', 'a'],
    [0.1, 'o', '€b'],
    [0.1, 'o', 'oops'],
    [0, 'm', '{"command":"ls"}'],
    [0, 'o', 'late'],
    [0.3, 'x', '0'],
  ])
  expect(lines.every((line) => line.endsWith('\n'))).toBe(true)
})

test('what was typed is in none', () => {
  expect(new CastWriter().event(frame(0, 'i', 'hunter2'))).toBe('')
})

test('the header tells size, time and session', () => {
  const recording = {
    op: 1,
    act: 'ssh.shell',
    stream: 'tty',
    from: 5_000_000,
    duration: 1,
    bytes: 1,
  } as const
  const header = castHeader({
    session: { session: 'aaaaaaaaaaaaaaaa', target: 'web' },
    recording: { ...recording, columns: 120, lines: 40 },
  })
  expect(JSON.parse(header)).toEqual({
    version: 3,
    term: { cols: 120, rows: 40 },
    timestamp: 5,
    title: 'aaaaaaaaaaaaaaaa at web',
  })
})
