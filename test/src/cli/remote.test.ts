/** What a gateway elsewhere, or the way to it, can do in the middle of things; the rest is test/real/remote.test.ts. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { collected } from '../../../src/cli/reading/library.ts'
import { libraryOver } from '../../../src/cli/reading/over-http.ts'
import { RemoteGateway } from '../../../src/cli/remote.ts'
import type { Row } from '../../../src/read/answers.ts'
import { OWN_SESSIONS_ONLY } from '../../../src/read/rights.ts'

const asker = { sub: 'local', rights: OWN_SESSIONS_ONLY }
const SESSION = 'aaaaaaaaaaaaaaaa'

let server: Server | undefined
afterEach(() => {
  vi.unstubAllEnvs()
  server?.closeAllConnections()
  server?.close()
})

/** A console that has accepted the token; `answer` gets the rest. */
async function gatewayThat(
  answer: RequestListener,
  live?: (socket: WebSocket) => void,
): Promise<RemoteGateway> {
  vi.stubEnv('GATEBOOK_TOKEN', 'gatebook_test')
  const opened = createServer((request, response) =>
    request.url === '/api/v1/me' ? response.end('{}') : answer(request, response),
  )
  server = opened
  if (live !== undefined) new WebSocketServer({ server: opened, path: '/api/v1/live' }).on('connection', live)
  await new Promise<void>((done) => opened.listen(0, '127.0.0.1', done))
  const address = opened.address()
  return RemoteGateway.open(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, {})
}

const problem = (code: string, what: string): string => JSON.stringify({ error: { code, what } })

describe('a request', () => {
  test('that comes too soon waits for its turn', async () => {
    let asked = 0
    using gateway = await gatewayThat((_, response) => {
      if (++asked > 1) return response.end('{"files":[]}')
      return response.writeHead(429, { 'retry-after': '0' }).end(problem('too-many', 'Too many requests.'))
    })
    expect(await libraryOver(gateway).files(asker, SESSION)).toEqual({ files: [] })
    expect(asked).toBe(2)
  })

  test('that comes too soon for ever is given up, in the words of the gateway', async () => {
    using gateway = await gatewayThat((_, response) =>
      response.writeHead(429, { 'retry-after': '0' }).end(problem('too-many', 'Too many requests.')),
    )
    await expect(libraryOver(gateway).files(asker, SESSION)).rejects.toThrow(/Too many requests/)
  })

  test.each([
    ['a page', 200, '<html>'],
    ['a redirection', 302, ''],
    ['an error of somebody else', 502, '{"error":"Bad Gateway"}'],
  ])('that %s answers is not believed', async (_, status, body) => {
    using gateway = await gatewayThat((__, response) => response.writeHead(status).end(body))
    await expect(libraryOver(gateway).files(asker, SESSION)).rejects.toThrow(
      /is not the console of a gateway/,
    )
  })

  test('that breaks off is no answer, however much of it has come', async () => {
    using gateway = await gatewayThat((_, response) => {
      response.write('{"type":"evidence"}\n{"type":"record"}\n', () => response.destroy())
    })
    const lines = libraryOver(gateway).evidence(asker, SESSION)
    await expect(collected(lines)).rejects.toThrow(/no answer from/)
  })

  test('an id that is none gets into no path', async () => {
    using gateway = await gatewayThat((_, response) => response.end('{}'))
    await expect(libraryOver(gateway).files(asker, '../me')).rejects.toThrow('there is no session ../me')
  })
})

describe('a following', () => {
  const row = (id: number): Row => ({ id, seq: id >> 4, text: `row ${id}` }) as unknown as Row

  test('goes on behind the last row after a gap, and shows none twice', async () => {
    const asked: unknown[] = []
    using gateway = await gatewayThat(
      () => undefined,
      (socket) =>
        socket.on('message', (data) => {
          asked.push(JSON.parse(String(data)))
          const rows = asked.length === 1 ? [row(32), row(33)] : [row(32), row(33), row(34)]
          socket.send(JSON.stringify({ type: 'rows', id: 1, rows }))
          if (asked.length === 1) socket.send(JSON.stringify({ type: 'gap', id: 1 }))
        }),
    )
    const seen: number[] = []
    for await (const { id } of libraryOver(gateway).follow(asker, 'x', AbortSignal.timeout(20_000))) {
      seen.push(id)
      if (id === 34) break
    }
    expect(seen).toEqual([32, 33, 34])
    expect(asked).toEqual([
      { type: 'follow', id: 1, query: 'x' },
      { type: 'follow', id: 1, query: 'x', from: 2 },
    ])
  })

  test('tells all that has come before it tells that it has ended', async () => {
    using gateway = await gatewayThat(
      () => undefined,
      (socket) =>
        socket.on('message', () => {
          socket.send(JSON.stringify({ type: 'rows', id: 1, rows: [row(32)] }))
          socket.terminate()
        }),
    )
    const rows = libraryOver(gateway).follow(asker, 'x', AbortSignal.timeout(20_000))
    expect((await rows.next()).value).toMatchObject({ id: 32 })
    await expect(rows.next()).rejects.toThrow(/has ended the following\n {2}why : the connection broke off/)
  })

  test('that is refused says why', async () => {
    const refusal = { type: 'problem', id: 1, error: { code: 'bad-query', what: 'unknown key', column: 3 } }
    using gateway = await gatewayThat(
      () => undefined,
      (socket) => socket.on('message', () => socket.send(JSON.stringify(refusal))),
    )
    const rows = libraryOver(gateway).follow(asker, 'a:b', AbortSignal.timeout(20_000))
    await expect(rows.next()).rejects.toMatchObject({ code: 'query', column: 3, message: 'unknown key' })
  })
})
