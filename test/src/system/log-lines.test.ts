import { expect, test } from 'vitest'
import { createLog } from '../../../src/system/log.ts'
import { readableLines } from '../../../src/system/log-lines.ts'

test('a line for a person has the time, the level, the event and its facts, and nothing that acts on a terminal', () => {
  const lines: string[] = []
  const log = createLog('info', readableLines({ write: (text) => lines.push(text) }))
  log.listening({ listener: 'postgres', address: '127.0.0.1:6432' })
  log.targetFailed({ target: 'or\u001b[31mders', error: new Error('no answer') })
  expect(lines.map((line) => line.replace(/^\d\d:\d\d:\d\d/, 'TIME'))).toEqual([
    'TIME info  listening listener=postgres address=127.0.0.1:6432\n',
    'TIME warn  target failed target="or\\u001b[31mders" error="no answer"\n',
  ])
})
