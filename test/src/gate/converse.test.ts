import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ProtocolError } from '../../../protocols/bytes.ts'
import { type Conversation, read, send, startTls } from '../../../protocols/conversation.ts'
import { HangUpError, type Talk, Talker } from '../../../src/gate/converse.ts'

/** Both ends of one connection on loopback. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const { port } = server.address() as { port: number }
  const far = connect(port, '127.0.0.1')
  const near = await accepted
  onTestFinished(() => {
    far.destroy()
    near.destroy()
    server.close()
  })
  return [near, far]
}

function talk(more: Partial<Talk<string>> = {}): Talk<string> {
  const upgrade = (): never => {
    throw new Error('no TLS in this test')
  }
  return { upgrade, answer: (question) => `${question}!`, signal: AbortSignal.timeout(5000), ...more }
}

function* greet(): Conversation<string, string> {
  const name = yield* read(5)
  const answer = yield { type: 'ask', question: Buffer.from(name).toString() }
  yield* send(Buffer.from(`hello ${String(answer)}`))
  const rest = yield* read(3)
  return Buffer.from(rest).toString()
}

describe('a talker', () => {
  test('reads exactly what is asked for, however it arrives, and hands on what was not read', async () => {
    const [near, far] = await pair()
    const heard = new Promise<string>((resolve) => far.once('data', (data) => resolve(data.toString())))
    const talker = new Talker(near)
    const result = talker.run(greet(), talk())
    for (const byte of 'alice') {
      far.write(byte)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    expect(await heard).toBe('hello alice!')
    far.write('endmore')
    expect(await result).toBe('end')
    expect(Buffer.from(talker.take().pending).toString()).toBe('more')
  })

  test('peeks at the first byte and leaves it where it is', async () => {
    const [near, far] = await pair()
    far.write('alice')
    const talker = new Talker(near)
    expect(await talker.peek()).toBe('a'.charCodeAt(0))
    far.write('end')
    expect(await talker.run(greet(), talk())).toBe('end')
  })

  test('bytes behind a request for TLS end the conversation, and TLS never begins', async () => {
    const [near, far] = await pair()
    far.write('requestSNEAKED')
    const request = function* (): Conversation<void> {
      yield* read(7)
      yield* startTls(Buffer.from('S'))
    }
    await expect(new Talker(near).run(request(), talk() as Talk<never>)).rejects.toThrow(ProtocolError)
  })

  test('a peer that goes away is told to the conversation, which may still answer', async () => {
    const [near, far] = await pair()
    const told: unknown[] = []
    const polite = function* (): Conversation<string> {
      try {
        yield* read(100)
        return 'read'
      } catch (error) {
        told.push(error)
        return 'gone'
      }
    }
    far.end('short')
    expect(await new Talker(near).run(polite(), talk() as Talk<never>)).toBe('gone')
    expect(told).toEqual([expect.any(HangUpError)])
  })

  test('a peer that says nothing is given up', async () => {
    const [near] = await pair()
    const waiting = new Talker(near).run(greet(), talk({ signal: AbortSignal.timeout(20) }))
    await expect(waiting).rejects.toThrow('it took too long')
  })

  test('reads no more than a handshake can need', async () => {
    const [near, far] = await pair()
    const talker = new Talker(near)
    const waiting = talker.run(greet(), talk({ answer: () => new Promise(() => {}) }))
    waiting.catch(() => {})
    far.write(Buffer.alloc(32 << 20, 'a'))
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(near.isPaused()).toBe(true)
    expect(near.bytesRead).toBeLessThan(4 << 20)
    expect(far.writableLength).toBeGreaterThan(16 << 20)
  })
})
