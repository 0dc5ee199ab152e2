import { expect, test } from 'vitest'
import { createLog } from '../../../src/system/log.ts'
import { Secret } from '../../../src/system/secret.ts'

function lines(): { readonly written: unknown[]; write(text: string): void } {
  const written: unknown[] = []
  return { written, write: (text) => written.push(JSON.parse(text)) }
}

test('an event is one line of JSON with its words and facts', () => {
  const out = lines()
  createLog('info', out).listening({ listener: 'postgres', address: '127.0.0.1:6432' })
  expect(out.written).toEqual([
    {
      level: 30,
      time: expect.any(String),
      listener: 'postgres',
      address: '127.0.0.1:6432',
      msg: 'listening',
    },
  ])
})

test('an error keeps its message and its cause, and shows no secret', () => {
  const out = lines()
  const error = Object.assign(new Error('dialling orders', { cause: new Error('refused') }), {
    used: new Secret('pw'),
  })
  createLog('info', out).targetFailed({ target: 'orders', error })
  expect(out.written).toMatchObject([
    {
      target: 'orders',
      err: { message: 'dialling orders: refused', used: '[secret]' },
      msg: 'target failed',
    },
  ])
})

test('what is below the level is not written', () => {
  const out = lines()
  createLog('info', out).connectionFailed({ listener: 'postgres', error: new Error('reset') })
  expect(out.written).toEqual([])
})
