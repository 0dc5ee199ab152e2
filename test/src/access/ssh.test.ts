import { describe, expect, test } from 'vitest'
import { decideAccess } from '../../../src/access/rights.ts'
import { judgeSsh, type SshWish } from '../../../src/access/ssh.ts'
import { changed, loadGood } from '../../support/config.ts'

interface Given {
  readonly forward?: string
  readonly listen?: string
  readonly allow?: string
  /** Of two roles that both reach the target. */
  readonly first?: string
  readonly second?: string
}

function judge(wish: SshWish, { forward = '[]', listen = '[]', allow, first, second }: Given = {}) {
  const lines = [
    `    forward: ${forward}`,
    `    listen: ${listen}`,
    ...(allow === undefined ? [] : [`    allow: ${allow}`]),
  ]
  const role = (name: string, ssh: string | undefined) =>
    `  ${name}: { targets: [web]${ssh === undefined ? '' : `, ssh: ${ssh}`} }`
  const loaded = loadGood(
    changed([
      [
        '    credentials: { user: deploy, password: env:WEB_PW }\n',
        `    credentials: { user: deploy, password: env:WEB_PW }\n${lines.join('\n')}\n`,
      ],
      ['roles:\n', `roles:\n${role('ops', first)}\n${role('more', second)}\n`],
      [
        'grants:\n',
        'grants:\n  - { group: engineering, role: ops }\n  - { group: engineering, role: more }\n',
      ],
    ]),
  )
  const person = { user: 'alice', groups: ['engineering'] }
  const decision = decideAccess(person, { protocol: 'ssh', named: 'web' }, loaded, Date.now())
  if (decision.type === 'denied') throw new Error(decision.why)
  return judgeSsh(decision.access, wish, loaded)
}

const connect = (address: string): SshWish => ({ type: 'connect', address })
const isAllowed = (address: string, forward: string) =>
  judge(connect(address), { forward }).type === 'allowed'

describe('a tunnel leads', () => {
  test.each([
    ['127.0.0.1:8080', '["127.0.0.1:*"]', true],
    ['127.0.0.1:8080', '["127.0.0.1:8081"]', false],
    ['app.internal:443', '["*.internal:443"]', true],
    ['APP.internal:443', '["app.INTERNAL:443"]', true],
    ['app.internal:443', '["*:443"]', true],
    ['app.internal:444', '["*:443"]', false],
    ['[::1]:8080', '["[::1]:*"]', true],
    ['app.internal.evil:443', '["app.internal:443"]', false],
    ['/run/app/a.sock', '["/run/app/*.sock"]', true],
    ['/run/other.sock', '["/run/app/*.sock", "*:*"]', false],
    ['app.internal:443', '[]', false],
  ])('to %s where %s is listed: %s', (address, forward, allowed) => {
    expect(isAllowed(address, forward)).toBe(allowed)
  })

  // The target is web-1.internal:22.
  test.each([
    '127.0.0.1:22',
    '127.1:22',
    '127.000.000.1:22',
    '2130706433:22',
    '0x7f000001:22',
    '0:22',
    '0.0.0.0:22',
    'localhost:22',
    'LOCALHOST:22',
    'x.localhost:22',
    '[::1]:22',
    '[::]:22',
    '[0:0:0:0:0:0:0:1]:22',
    '[::ffff:127.0.0.1]:22',
    '[::ffff:7f00:1]:22',
    ':22',
    'web-1.internal:22',
    'WEB-1.INTERNAL:22',
  ])('never to the SSH of the host itself, as %s, whatever is listed', (address) => {
    expect(isAllowed(address, `["*:*", "${address.startsWith(':') ? 'x:22' : address}"]`)).toBe(false)
  })

  test('to SSH elsewhere only where it is written out', () => {
    expect(isAllowed('other.example:22', '["*:*"]')).toBe(false)
    expect(isAllowed('other.example:22', '["other.example:*"]')).toBe(false)
    expect(isAllowed('other.example:22', '["other.example:22"]')).toBe(true)
  })

  test('to no other target of this gateway, which has a door of its own', () => {
    expect(judge(connect('db-1.internal:5432'), { forward: '["*:*", "db-1.internal:5432"]' })).toMatchObject({
      type: 'refused',
      why: 'It is the target "orders": log in as <user>~orders instead.',
    })
  })
})

describe('roles', () => {
  const shell: SshWish = { type: 'program', program: 'shell', named: 'a shell' }

  test('add up, and the one that allows is named', () => {
    expect(judge(shell)).toEqual({ type: 'allowed', rule: 'ops' })
    expect(judge(shell, { first: '{ allow: [sftp] }' })).toEqual({ type: 'allowed', rule: 'more' })
    const both = { first: '{ allow: [sftp] }', second: '{ allow: [] }' }
    expect(judge(shell, both)).toMatchObject({
      type: 'refused',
      what: 'a shell is not allowed on "web"',
      why: 'Your role ops allows sftp. Your role more allows none of it.',
    })
  })

  test('cannot allow what the target does not', () => {
    const given = { allow: '[sftp]', first: '{ allow: [shell], forward: ["*:*"], listen: ["*:*"] }' }
    expect(judge(shell, given)).toMatchObject({ type: 'refused', why: 'This target allows sftp.' })
    expect(judge(connect('a:1'), given).type).toBe('refused')
    expect(judge({ type: 'listen', address: 'localhost:1' }, given).type).toBe('refused')
  })

  test('narrow where the host may listen', () => {
    const listen: SshWish = { type: 'listen', address: 'localhost:8080' }
    expect(judge(listen, { listen: '["localhost:8080"]' }).type).toBe('allowed')
    const none = {
      listen: '["localhost:8080"]',
      first: '{ listen: [] }',
      second: '{ listen: ["localhost:9"] }',
    }
    expect(judge(listen, none).type).toBe('refused')
  })
})

test('a subsystem that is not SFTP is refused', () => {
  const wish: SshWish = { type: 'program', program: 'other', named: 'the subsystem netconf' }
  expect(judge(wish)).toMatchObject({
    type: 'refused',
    what: 'the subsystem netconf is not allowed on "web"',
  })
})
