import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { call, NoGatewayError } from '../../../src/control/client.ts'
import {
  type Command,
  type ControlOptions,
  ControlServer,
  REQUEST_BYTES_MAX,
} from '../../../src/control/server.ts'
import { OperatorError } from '../../../src/system/operator-error.ts'

let folder: string
let socket: string
const faults: unknown[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gb-control-'))
  socket = join(folder, 'control', 'socket')
  faults.length = 0
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const commands = new Map<string, Command>([
  ['echo', async (given, caller) => ({ given, caller })],
  ['nothing', async () => undefined],
  ['wrong', async () => Promise.reject(new OperatorError('usage', 'not like this'))],
  ['broken', async () => Promise.reject(new TypeError('our mistake'))],
])

function open(more: Partial<ControlOptions> = {}): Promise<ControlServer> {
  return ControlServer.open({
    socket,
    commands,
    requireToken: false,
    identify: async (token) => (token === 'good' ? { sub: 'u_alice' } : undefined),
    onFault: (error) => faults.push(error),
    ...more,
  })
}

describe('the control socket', () => {
  test('is for its owner alone and answers commands as local', async () => {
    const server = await open()
    expect(statSync(join(folder, 'control')).mode & 0o777).toBe(0o700)
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    expect(await call({ socket }, 'echo', { a: [1] })).toEqual({
      given: { a: [1] },
      caller: { sub: 'local' },
    })
    expect(await call({ socket }, 'nothing', {})).toBeNull()
    await server.close()
  })

  test('what the operator got wrong comes back in words, what we got wrong is told to the log too', async () => {
    const server = await open()
    await expect(call({ socket }, 'wrong', {})).rejects.toThrow(new OperatorError('usage', 'not like this'))
    expect(faults).toEqual([])
    await expect(call({ socket }, 'broken', {})).rejects.toThrow('our mistake')
    expect(faults).toEqual([new TypeError('our mistake')])
    await expect(call({ socket }, 'elsewhere', {})).rejects.toThrow('no such command')
    await server.close()
  })

  test('demands a token where it is told to, and names whose it is', async () => {
    const server = await open({ requireToken: true })
    await expect(call({ socket }, 'echo', {})).rejects.toThrow('personal token')
    await expect(call({ socket, token: 'bad' }, 'echo', {})).rejects.toThrow('personal token')
    expect(await call({ socket, token: 'good' }, 'echo', 1)).toEqual({ given: 1, caller: { sub: 'u_alice' } })
    await server.close()
  })

  test('refuses a request beyond its limit, and bad JSON, and stays up', async () => {
    const server = await open()
    await expect(call({ socket }, 'echo', 'x'.repeat(REQUEST_BYTES_MAX))).rejects.toThrow('too long')
    const answer = await new Promise<string>((resolve) => {
      const sent = request({ socketPath: socket, path: '/v1/echo', method: 'POST' }, (response) => {
        response.setEncoding('utf8').once('data', resolve)
      })
      sent.end('{')
    })
    expect(JSON.parse(answer)).toHaveProperty('error')
    expect(await call({ socket }, 'nothing', {})).toBeNull()
    await server.close()
  })

  test('a left-over file of a killed gateway is replaced, a living gateway is not', async () => {
    const first = await open()
    await expect(open()).rejects.toThrow('another gateway answers')
    await first.close()
    writeFileSync(socket, '')
    const second = await open()
    expect(await call({ socket }, 'nothing', {})).toBeNull()
    await second.close()
    await expect(call({ socket }, 'nothing', {})).rejects.toThrow(NoGatewayError)
  })

  test('a path too long for the system is refused with its name', async () => {
    const long = join(folder, 'x'.repeat(120))
    await expect(open({ socket: long })).rejects.toThrow('longer than the system allows')
  })
})
