import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Reaches } from '../../../src/gate/fences.ts'
import { OUTLET_HIGH, Outlet } from '../../../src/gate/outlet.ts'
import type { Mark, Reach } from '../../../src/record/group-commit.ts'

/** A recorder whose progress the test decides. */
class Progress implements Reaches {
  written = 0
  durable = 0
  #waiting: { mark: Mark; reach: Reach; done: (error?: Error) => void }[] = []

  reached(mark: Mark, reach: Reach): boolean {
    return mark <= this[reach]
  }

  when(mark: Mark, reach: Reach, done: (error?: Error) => void): void {
    if (this.reached(mark, reach)) done()
    else this.#waiting.push({ mark, reach, done })
  }

  move(reach: Reach, to: Mark): void {
    this[reach] = to
    const ready = this.#waiting.filter((one) => this.reached(one.mark, one.reach))
    this.#waiting = this.#waiting.filter((one) => !ready.includes(one))
    for (const { done } of ready) done()
  }

  fail(error: Error): void {
    for (const { done } of this.#waiting.splice(0)) done(error)
  }
}

function open() {
  const out: string[] = []
  let ended = false
  let blocked = false
  let unblock = (): void => {}
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      out.push(chunk.toString())
      if (blocked) unblock = done
      else done()
    },
    final(done) {
      ended = true
      done()
    },
  })
  const progress = new Progress()
  const failures: Error[] = []
  let rooms = 0
  const outlet = new Outlet(stream as unknown as Socket, progress, {
    onRoom: () => rooms++,
    onFailure: (error) => failures.push(error),
  })
  const text = (value: string): Uint8Array => Buffer.from(value)
  return {
    outlet,
    progress,
    failures,
    text,
    sent: () => out.join(''),
    pieces: () => out.length,
    hasEnded: () => ended,
    rooms: () => rooms,
    block: () => {
      blocked = true
    },
    unblock: () => {
      blocked = false
      unblock()
    },
  }
}

describe('an outlet', () => {
  test('lets nothing behind a fence out before its record is there, and everything before it at once', () => {
    const { outlet, progress, sent, text } = open()
    outlet.send(text('rows '))
    outlet.fence(3, 'durable')
    outlet.send(text('done '))
    outlet.send(text('ready '))
    expect(sent()).toBe('rows ')
    progress.move('durable', 2)
    expect(sent()).toBe('rows ')
    progress.move('durable', 3)
    expect(sent()).toBe('rows done ready ')
  })

  test('keeps the order over several fences of both kinds', () => {
    const { outlet, progress, sent, text } = open()
    outlet.fence(1, 'written')
    outlet.send(text('a'))
    outlet.fence(2, 'durable')
    outlet.send(text('b'))
    outlet.fence(3, 'written')
    outlet.send(text('c'))
    progress.move('written', 3)
    expect(sent()).toBe('a')
    progress.move('durable', 2)
    expect(sent()).toBe('abc')
  })

  test('a later fence right behind another takes its place, never an earlier one', () => {
    const { outlet, progress, sent, text } = open()
    outlet.fence(1, 'durable')
    outlet.send(text('a'))
    outlet.fence(2, 'durable')
    outlet.fence(5, 'durable')
    outlet.send(text('b'))
    progress.move('durable', 4)
    expect(sent()).toBe('a')
    progress.move('durable', 5)
    expect(sent()).toBe('ab')
  })

  test('no mark, no mode or a reached mark is no fence', () => {
    const { outlet, progress, sent, text } = open()
    progress.move('durable', 1)
    outlet.fence(0, 'durable')
    outlet.fence(9, undefined)
    outlet.fence(1, 'durable')
    outlet.send(text('through'))
    expect(sent()).toBe('through')
  })

  test('ends after what is held, not before', async () => {
    const { outlet, progress, sent, hasEnded, text } = open()
    outlet.fence(1, 'durable')
    outlet.send(text('last words'))
    outlet.end()
    await new Promise(setImmediate)
    expect([sent(), hasEnded()]).toEqual(['', false])
    progress.move('durable', 1)
    await new Promise(setImmediate)
    expect([sent(), hasEnded()]).toEqual(['last words', true])
  })

  test('when the record cannot be made, what waits for it never goes out', () => {
    const { outlet, progress, failures, sent, text } = open()
    outlet.fence(1, 'durable')
    outlet.send(text('secret'))
    progress.fail(new Error('disk'))
    progress.move('durable', 1)
    outlet.send(text('more'))
    expect([sent(), failures]).toEqual(['', [new Error('disk')]])
  })

  test('counts what it holds, and says when there is room again', () => {
    const { outlet, progress, rooms } = open()
    outlet.fence(1, 'durable')
    outlet.send(new Uint8Array(OUTLET_HIGH))
    expect(outlet.isFull).toBe(false)
    outlet.send(new Uint8Array(1))
    expect(outlet.isFull).toBe(true)
    const before = rooms()
    progress.move('durable', 1)
    expect([outlet.isFull, rooms() > before]).toEqual([false, true])
  })

  test('what a slow peer has not taken counts too', async () => {
    const { outlet, block, unblock } = open()
    block()
    outlet.send(new Uint8Array(OUTLET_HIGH))
    outlet.send(new Uint8Array(10))
    expect(outlet.isFull).toBe(true)
    unblock()
    await new Promise(setImmediate)
    expect(outlet.isFull).toBe(false)
  })
})
