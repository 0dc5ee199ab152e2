import { describe, expect, test } from 'vitest'
import { encodeForm, text, uint32 } from '../../../protocols/ssh/wire.ts'
import { data, directTcpip, exec, global, open, request } from '../../support/ssh-channel-talk.ts'
import { Talk } from '../../support/ssh-talk.ts'
import { toHex } from '../../support/ssh-vectors.ts'
import { allow, FAILURE, NONE, names, output, REFUSAL, SUCCESS, tell } from './channel-setting.ts'

describe('forwarding', () => {
  const listenAt = (host: string, port: number) => encodeForm({ host: text, port: uint32 }, { host, port })

  test('to a destination is asked for as host:port, recorded, and confirmed when it stands', () => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, 'db.internal', 5432), directTcpip(4, '::1', 22))
    expect(talk.wishes.map(({ wish }) => wish)).toEqual([
      { type: 'connect', address: 'db.internal:5432' },
      { type: 'connect', address: '[::1]:22' },
    ])
    talk.run(talk.connection.verdict(1, { allow: true, rule: 'db-tunnel' }))
    expect(talk.steps.slice(2).map(({ type }) => type)).toEqual(['record', 'host'])
    expect(talk.heard()).toEqual([])
    tell(talk, { type: 'started', channel: 0 }, output('220 hello', 0))
    expect(names(talk.heard())).toEqual(['CHANNEL_OPEN_CONFIRMATION', 'CHANNEL_DATA'])
    talk.send(data(0, 'quit'))
    tell(talk, { type: 'eof', channel: 0 }, { type: 'closed', channel: 0 })
    expect(talk.records).toMatchObject([
      { type: 'begin', act: 'ssh.forward', rule: 'db-tunnel' },
      { type: 'end', outcome: 'ok', bytes: 13 },
    ])
    const payloads = talk.records.flatMap((event) => ('payloads' in event ? (event.payloads ?? []) : []))
    expect(payloads.map(({ type, body }) => `${type} ${new TextDecoder().decode(body)}`)).toEqual([
      'addr db.internal:5432',
      'args {"type":"direct-tcpip","originator":"127.0.0.1","originatorPort":50000}',
      'meta {"sent":4,"received":9,"content":"not recorded"}',
    ])
  })

  test('that is denied never reaches the host', () => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, '127.0.0.1', 22))
    talk.run(talk.connection.verdict(1, { allow: false, refusal: REFUSAL }))
    expect(talk.commands).toEqual([])
    expect(talk.records).toMatchObject([{ type: 'decision', act: 'ssh.forward' }])
    const [failure] = talk.heard()
    expect(failure).toMatchObject({ type: 'CHANNEL_OPEN_FAILURE', recipient: 3, reason: 1 })
    if (failure?.type === 'CHANNEL_OPEN_FAILURE')
      expect(failure.description).toContain('id  : k3v5o2n7q4w6x2za.1')
  })

  test('that the host cannot do fails as the host said', () => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, 'db', 1))
    allow(talk)
    tell(talk, { type: 'refused', channel: 0, reason: 2, message: 'Connection refused' })
    expect(talk.heard()).toEqual([
      {
        type: 'CHANNEL_OPEN_FAILURE',
        recipient: 3,
        reason: 2,
        description: 'Connection refused',
        language: '',
      },
    ])
    expect(talk.records.at(-1)).toMatchObject({ type: 'end', outcome: 'error' })
  })

  test.each([
    { type: 'closed', channel: 0 },
    { type: 'refused', channel: 0, reason: 2, message: '' },
  ] as const)('is not ended by “$type” from a host that has not been asked yet', (early) => {
    const talk = new Talk().login()
    talk.send(directTcpip(3, 'db', 1))
    tell(talk, early)
    allow(talk)
    talk.run(talk.connection.end('client'))
    expect(talk.records).toMatchObject([
      { type: 'begin', op: 1 },
      { type: 'end', op: 1, outcome: 'aborted' },
    ])
  })

  test('to a socket’s path', () => {
    const talk = new Talk().login()
    const fields = encodeForm(
      { path: text, reserved: text, number: uint32 },
      { path: '/run/docker.sock', reserved: '', number: 0 },
    )
    talk.send({
      type: 'CHANNEL_OPEN',
      channel: 'direct-streamlocal@openssh.com',
      sender: 0,
      window: 1,
      packetMax: 1,
      fields,
    })
    expect(talk.wishes[0]?.wish).toEqual({ type: 'connect', address: '/run/docker.sock' })
    allow(talk)
    expect(talk.commands).toMatchObject([{ type: 'connect', destination: { path: '/run/docker.sock' } }])
  })

  test('from a listener at the host, with a port that the host chooses', () => {
    const talk = new Talk().login()
    talk.send(global('tcpip-forward', listenAt('localhost', 0)))
    expect(talk.wishes[0]?.wish).toEqual({ type: 'listen', address: 'localhost:0' })
    talk.run(talk.connection.verdict(1, { allow: true, rule: 'back' }))
    expect(talk.commands).toEqual([
      { type: 'listen', id: 1, endpoint: { type: 'tcp', host: 'localhost', port: 0 } },
    ])
    tell(talk, { type: 'listening', id: 1, success: true, port: 40001 })
    const [granted] = talk.heard()
    if (granted?.type === 'REQUEST_SUCCESS') expect(toHex(granted.fields)).toBe('00009c41')

    const forwarded = {
      type: 'forwarded-tcpip',
      host: 'localhost',
      port: 40001,
      originator: '10.0.0.9',
      originatorPort: 5,
    } as const
    tell(talk, { type: 'incoming', incoming: 1, forwarded })
    expect(talk.heard()).toMatchObject([{ type: 'CHANNEL_OPEN', channel: 'forwarded-tcpip', sender: 0 }])
    talk.send({
      type: 'CHANNEL_OPEN_CONFIRMATION',
      recipient: 0,
      sender: 9,
      window: 100,
      packetMax: 100,
      fields: NONE,
    })
    expect(talk.commands.at(-1)).toEqual({ type: 'accept', incoming: 1, channel: 0 })
    tell(talk, output('hello'))
    expect(talk.heard()).toEqual([data(9, 'hello')])
    expect(talk.records.map((event) => [event.type, 'rule' in event ? event.rule : ''])).toEqual([
      ['begin', 'back'],
      ['end', ''],
      ['begin', 'back'],
    ])

    talk.send(global('cancel-tcpip-forward', listenAt('localhost', 40001)))
    tell(talk, { type: 'listening', id: 2, success: true, port: 0 })
    expect(names(talk.heard())).toEqual(['REQUEST_SUCCESS'])
    tell(talk, { type: 'incoming', incoming: 2, forwarded })
    expect(talk.commands.at(-1)).toEqual({ type: 'reject', incoming: 2 })
  })

  test('from a listener that is denied, or that nobody asked for', () => {
    const talk = new Talk().login()
    talk.send(global('tcpip-forward', listenAt('0.0.0.0', 80)))
    talk.run(talk.connection.verdict(1, { allow: false, refusal: REFUSAL }))
    expect(names(talk.heard())).toEqual(['REQUEST_FAILURE'])
    expect(talk.commands).toEqual([])
    talk.send(global('cancel-tcpip-forward', listenAt('0.0.0.0', 80)))
    expect(names(talk.heard())).toEqual(['REQUEST_FAILURE'])
    const forwarded = { type: 'forwarded-streamlocal@openssh.com', path: '/x', reserved: '' } as const
    tell(talk, { type: 'incoming', incoming: 1, forwarded })
    expect(talk.commands).toEqual([{ type: 'reject', incoming: 1 }])
  })

  test('from a socket’s path, turned away by the person’s client', () => {
    const talk = new Talk().login()
    talk.send(global('streamlocal-forward@openssh.com', encodeForm({ path: text }, { path: '/run/x' })))
    allow(talk)
    tell(talk, { type: 'listening', id: 1, success: true, port: 0 })
    const forwarded = { type: 'forwarded-streamlocal@openssh.com', path: '/run/x', reserved: '' } as const
    tell(talk, { type: 'incoming', incoming: 7, forwarded })
    talk.send({ type: 'CHANNEL_OPEN_FAILURE', recipient: 0, reason: 2, description: 'no', language: '' })
    expect(talk.commands.at(-1)).toEqual({ type: 'reject', incoming: 7 })
    expect(talk.closed).toBeUndefined()
  })

  test('of the person’s agent, only where it is allowed', () => {
    for (const agentForwarding of [false, true]) {
      const talk = new Talk().login({ agentForwarding })
      talk.send(open(0), request(0, 'auth-agent-req@openssh.com'), exec(0, 'ssh-add -l'))
      expect(talk.heard()[1]).toEqual(agentForwarding ? SUCCESS : FAILURE)
      allow(talk)
      expect(talk.commands[0]).toMatchObject({ agent: agentForwarding })
      tell(talk, { type: 'incoming', incoming: 1, forwarded: { type: 'auth-agent@openssh.com' } })
      expect(talk.commands.at(-1)?.type).toBe(agentForwarding ? 'start' : 'reject')
      expect(names(talk.heard()).includes('CHANNEL_OPEN')).toBe(agentForwarding)
    }
  })
})
