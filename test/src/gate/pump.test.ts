import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { Intake } from '../../../src/gate/intake.ts'
import { Pump, type PumpParts } from '../../../src/gate/pump.ts'

/** A pump between two sockets that are none, whose relay swallows everything. */
function pumping(intake?: PumpParts['intake']) {
  const passed: number[] = []
  const [client, target] = [new PassThrough(), new PassThrough()]
  const parts = {
    ...{ client, target, intake },
    relay: { receive: () => [], end: () => [], idle: true },
    recorder: { congested: false, failure: undefined },
    session: { mode: 'relaxed' },
    nursery: { passed: (bytes: number) => passed.push(bytes) },
    onTraffic: () => {},
  }
  void new Pump(parts as unknown as PumpParts).run({ client: new Uint8Array(0), target: new Uint8Array(0) })
  client.emit('data', Buffer.alloc(1000))
  target.emit('data', Buffer.alloc(500))
  return passed
}

test('what is read into memory of its own counts toward a young collection, of either side', () => {
  expect(pumping()).toEqual([1000, 500])
  expect(pumping({ target: new Intake() })).toEqual([1000])
})
