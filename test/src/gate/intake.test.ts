import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { dial } from '../../../src/gate/dial.ts'
import { Intake } from '../../../src/gate/intake.ts'
import { Outlet } from '../../../src/gate/outlet.ts'

const BYTES = 24 << 20

async function listening(serve: (socket: Socket) => void): Promise<{ port: number } & Disposable> {
  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port, [Symbol.dispose]: () => void server.close() }
}

function pattern(): Buffer {
  const bytes = Buffer.alloc(BYTES)
  for (let at = 0; at < BYTES; at += 4) bytes.writeUInt32LE(at, at)
  return bytes
}

const NOTHING_WAITS = { reached: () => true, when: () => {} }

// The reader is slow, so that most reads find their predecessor still on its way out.
test('what is still on its way out is not overwritten by the next read', async () => {
  const sent = pattern()
  using source = await listening((socket) => socket.end(sent))
  using sink = await listening((socket) => {
    const hash = createHash('sha256')
    socket.on('data', (chunk) => {
      hash.update(chunk)
      socket.pause()
      setImmediate(() => socket.resume())
    })
    socket.on('end', () => socket.end(hash.digest('hex')))
  })
  const out = connect({ port: sink.port, host: '127.0.0.1', allowHalfOpen: true })
  await once(out, 'connect')
  const intake = new Intake()
  const from = await dial({ host: '127.0.0.1', port: source.port }, new AbortController().signal, intake)
  const outlet = new Outlet(out, NOTHING_WAITS, { onRoom: () => from.resume(), onFailure: () => {} })
  let reads = 0
  from.on('data', (chunk: Buffer) => {
    reads++
    outlet.send(chunk)
    if (outlet.retains) intake.giveAway()
    if (outlet.isFull) from.pause()
  })
  from.on('end', () => outlet.end())
  const [digest] = (await once(out, 'data')) as [Buffer]
  expect(digest.toString()).toBe(createHash('sha256').update(sent).digest('hex'))
  expect(reads, 'it came in pieces').toBeGreaterThan(BYTES / (512 << 10) / 2)
  from.destroy()
})

/** Reads that bring as much as wanted, or as there is room for; `goesOn` is what the last one said. */
function reading(intake: Intake, socket: Partial<Socket>) {
  const { buffer, callback } = intake.into(() => socket as Socket)
  let goesOn = true
  const read = (length: number): ArrayBufferLike => {
    const memory = typeof buffer === 'function' ? buffer() : buffer
    goesOn = callback(Math.min(length, memory.length), memory)
    return memory.buffer
  }
  return { read, goesOn: () => goesOn }
}

test('short reads share one small memory; a long answer gets a larger one, and a stream one larger still', () => {
  const intake = new Intake()
  const { read } = reading(intake, { emit: () => true, isPaused: () => true })
  const [first, second, full] = [read(100), read(200), read(1 << 20)]
  expect([second === first, full === first]).toEqual([true, true])
  const large = read(40 << 10)
  expect(large.byteLength).toBe(64 << 10)
  intake.giveAway()
  expect(read(64 << 10) === large).toBe(false)
  // What brought less than there was room for was the end: nothing so large is held on to.
  expect([read(1 << 20), read(500 << 10), read(10)].map(({ byteLength }) => byteLength >> 10)).toEqual([
    512, 512, 64,
  ])
  expect(read(10).byteLength).toBe(4 << 10)
})

test('a stream lets others have their turn, and goes on by itself unless somebody has paused it', async () => {
  for (const paused of [false, true]) {
    let resumed = 0
    const resume = () => ++resumed
    const socket = { emit: () => true, isPaused: () => paused, resume } as unknown as Socket
    const { read, goesOn } = reading(new Intake(), socket)
    let bytes = 0
    for (; goesOn(); bytes += read(1 << 20).byteLength) expect(bytes).toBeLessThan(1 << 20)
    expect(resumed).toBe(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(resumed).toBe(paused ? 0 : 1)
  }
})
