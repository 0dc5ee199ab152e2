import { beforeAll, describe, expect, test } from 'vitest'
import type { Identity } from '../../../src/access/authenticate.ts'
import { authorize, Grant, renew, renewAll } from '../../../src/access/authorize.ts'
import type { AccessRequest } from '../../../src/access/rights.ts'
import { type AccessDesk, identityOf, openDesk } from '../../support/access.ts'
import { changed, loadGood } from '../../support/config.ts'

const CONFIG = `version: 1
gateway: { name: gw, data_dir: data, tls: { cert: c, key: k }, contact: Ask dba@example.com. }
listeners: { pg: { type: postgres, address: 127.0.0.1:0 } }
groups: { eng: {}, ops: {}, idle: {} }
users:
  alice: { groups: [eng] }
  bob: { groups: [ops] }
  carol: { groups: [idle] }
  dave: {}
  erin: { groups: [eng, ops] }
targets:
  orders: { type: postgres, address: a:1, database: orders, credentials: { user: u, password: env:P }, read_only_credentials: { user: r, password: env:P }, labels: { env: prod } }
  billing: { type: postgres, address: a:2, credentials: { user: u, password: env:P }, labels: { env: test } }
  shop: { type: mysql, address: a:3, credentials: { user: u, password: env:P }, read_only_credentials: { user: r, password: env:P }, labels: { env: prod } }
  web-1: { type: ssh, address: a:4, known_hosts: kh, credentials: { user: u, password: env:P }, labels: { env: prod } }
roles:
  reader: { targets: { env: prod }, read_only: true, max_rows: 100 }
  writer: { targets: [orders], max_rows: 5, hours: { tz: UTC, days: [mon-fri], from: "08:00", to: "19:00" } }
  biller: { targets: ["bill*"], databases: [invoices, "inv_*"] }
  shell: { targets: ["web-*"] }
grants:
  - { group: eng, role: reader }
  - { user: alice, role: writer, expires: 2027-01-05 }
  - { group: ops, role: biller }
  - { group: ops, role: shell }
  - { user: erin, role: writer }
recording: { encryption: { key: file:kek } }
integrity: { signing_key: book.key }
`

const MONDAY_NOON = Date.UTC(2027, 0, 4, 12)
const HOUR = 3_600_000

let desk: AccessDesk
const people = new Map<string, Identity>()
beforeAll(async () => {
  desk = await openDesk(CONFIG)
  for (const user of ['alice', 'bob', 'carol', 'dave', 'erin']) people.set(user, await identityOf(desk, user))
})

function who(user: string): Identity {
  const identity = people.get(user)
  if (identity === undefined) throw new Error(user)
  return identity
}

function ask(user: string, request: AccessRequest, now = MONDAY_NOON, text = CONFIG) {
  return authorize(who(user), request, loadGood(text), now)
}

function granted(user: string, request: AccessRequest, now = MONDAY_NOON): Grant {
  const decision = ask(user, request, now)
  if (decision.type === 'denied') throw new Error(decision.why)
  return decision.grant
}

describe('roles on one target add up', () => {
  test('a reader alone is read-only under its own limit', () => {
    const grant = granted('alice', { protocol: 'mysql', named: 'shop' })
    expect([grant.roles, grant.readOnly, grant.access.maxRows]).toEqual([['reader'], true, 100])
  })

  test('with a writer the session may write, under the larger limit', () => {
    const grant = granted('alice', { protocol: 'postgres', named: 'orders' })
    expect([grant.roles, grant.readOnly, grant.access.maxRows]).toEqual([['reader', 'writer'], false, 100])
    expect([grant.targetName, grant.access.database, grant.identity.user]).toEqual([
      'orders',
      'orders',
      'alice',
    ])
  })

  test('a role without a limit lifts that of the others', () => {
    const text = changed([['max_rows: 5, ', '']], CONFIG)
    const decision = ask('alice', { protocol: 'postgres', named: 'orders' }, MONDAY_NOON, text)
    expect(decision.type === 'granted' && decision.grant.access.maxRows).toBe(undefined)
  })

  test('a role whose hours are over is no part of it', () => {
    const grant = granted('alice', { protocol: 'postgres', named: 'orders' }, MONDAY_NOON + 7 * HOUR)
    expect([grant.roles, grant.readOnly]).toEqual([['reader'], true])
  })
})

describe('which target is meant', () => {
  test('the only one within reach, when none is named', () => {
    expect(granted('bob', { protocol: 'postgres' }).targetName).toBe('billing')
    expect(granted('bob', { protocol: 'ssh' }).targetName).toBe('web-1')
  })

  test('the listener’s, when it has one', () => {
    expect(granted('alice', { protocol: 'mysql', bound: 'shop' }).targetName).toBe('shop')
    expect(granted('alice', { protocol: 'mysql', bound: 'shop', named: 'shop' }).targetName).toBe('shop')
  })
})

const NEXT = 'Ask dba@example.com.'

describe('what is not granted is denied, with its reason', () => {
  test.each<[string, string, AccessRequest, number, object]>([
    [
      'no role',
      'carol',
      { protocol: 'postgres', named: 'orders' },
      MONDAY_NOON,
      {
        cause: 'no-role',
        what: 'access to "orders" denied for carol',
        why: 'Your groups (idle) grant no role on "orders". Roles that do: reader, writer.',
        target: 'orders',
        lines: [],
      },
    ],
    [
      'no group either',
      'dave',
      { protocol: 'ssh', named: 'web-1' },
      MONDAY_NOON,
      { why: 'You have no group, and nothing grants you a role on "web-1". The role that does: shell.' },
    ],
    [
      'an SSH target by a read-only role',
      'alice',
      { protocol: 'ssh', named: 'web-1' },
      MONDAY_NOON,
      {
        cause: 'no-role',
        lines: [
          'group eng → reader (config.yaml:22): does not reach this target',
          'user alice → writer (config.yaml:23): does not reach this target',
        ],
      },
    ],
    [
      'another database',
      'bob',
      { protocol: 'postgres', named: 'billing', database: 'secrets' },
      MONDAY_NOON,
      { cause: 'database', why: 'Your role biller covers the databases invoices, inv_*, not "secrets".' },
    ],
    [
      'none named and several within reach',
      'erin',
      { protocol: 'postgres' },
      MONDAY_NOON,
      { cause: 'target', what: 'no target is named', why: 'Name one of: erin~orders, erin~billing.' },
    ],
    [
      'none named and none within reach',
      'carol',
      { protocol: 'postgres' },
      MONDAY_NOON,
      {
        cause: 'target',
        what: 'access denied for carol',
        why: 'No role of yours reaches a target of type postgres.',
      },
    ],
    [
      'another target than the listener’s',
      'alice',
      { protocol: 'mysql', bound: 'shop', named: 'orders' },
      MONDAY_NOON,
      {
        cause: 'target',
        what: 'access to "orders" denied for alice',
        why: 'This listener leads to "shop" alone.',
      },
    ],
    [
      'the wrong protocol, told to who may use the target',
      'alice',
      { protocol: 'mysql', named: 'orders' },
      MONDAY_NOON,
      { cause: 'target', why: 'It is reached by postgres, and this is mysql.' },
    ],
    [
      'the wrong protocol, not told to who may not',
      'carol',
      { protocol: 'mysql', named: 'orders' },
      MONDAY_NOON,
      { cause: 'no-role' },
    ],
  ])('%s', (_, user, request, now, expected) => {
    expect(ask(user, request, now)).toMatchObject({ type: 'denied', next: NEXT, ...expected })
  })

  test('hours and expiry, where no other role is left', () => {
    const alone = changed([['  - { group: eng, role: reader }\n', '']], CONFIG)
    expect(
      ask('alice', { protocol: 'postgres', named: 'orders' }, Date.UTC(2027, 0, 4, 7, 59), alone),
    ).toMatchObject({
      cause: 'hours',
      why: 'Your role writer holds mon, tue, wed, thu, fri 08:00-19:00 UTC.',
      lines: ['user alice → writer (config.yaml:22): is outside its hours'],
    })
    expect(
      ask('alice', { protocol: 'postgres', named: 'orders' }, Date.UTC(2027, 0, 6), alone),
    ).toMatchObject({
      cause: 'expired',
      why: 'Your grant of writer expired at 2027-01-06T00:00:00Z.',
    })
  })
})

describe('replication', () => {
  const request = { protocol: 'postgres', named: 'billing', database: 'invoices', replication: true } as const
  const text = changed(
    [['  shell: {', '  backup: { targets: [billing], replication: true }\n  shell: {']],
    CONFIG,
  )
  const granting = changed([['  - { group: ops, role: shell }', '  - { group: ops, role: backup }']], text)

  test('needs a role that names it', () => {
    expect(ask('bob', request, MONDAY_NOON, text)).toMatchObject({
      type: 'denied',
      cause: 'replication',
      what: 'replication of "billing" is not allowed for bob',
      why: 'It carries data past the record of statements, and no role of yours (biller) has "replication".',
      target: 'billing',
      lines: ['group ops → biller (config.yaml:25): holds, without replication'],
      next: NEXT,
    })
    const decision = ask('bob', request, MONDAY_NOON, granting)
    expect(decision.type === 'granted' && decision.grant.access.replication).toBe(true)
  })

  test('ends with that role, while statements go on under another', () => {
    const ofBob = (given: AccessRequest): Grant => {
      const decision = ask('bob', given, MONDAY_NOON, granting)
      if (decision.type === 'denied') throw new Error(decision.why)
      return decision.grant
    }
    expect(renew(ofBob(request), loadGood(text), MONDAY_NOON)).toMatchObject({ cause: 'replication' })
    const plain = ofBob({ ...request, replication: false })
    expect(renew(plain, loadGood(text), MONDAY_NOON)).toMatchObject({ type: 'granted' })
  })
})

describe('while a session lives', () => {
  const orders = { protocol: 'postgres', named: 'orders' } as const

  test('a grant that still holds goes on under the new file', () => {
    const grant = granted('alice', orders)
    const text = changed([['max_rows: 100', 'max_rows: 7']], CONFIG)
    const renewed = renew(grant, loadGood(text), MONDAY_NOON)
    expect(renewed.type === 'granted' && renewed.grant.access.maxRows).toBe(7)
  })

  test.each<[string, readonly (readonly [string, string])[], string]>([
    [
      'the role',
      [['{ user: alice, role: writer, expires: 2027-01-05 }', '{ user: bob, role: writer }']],
      'read-only',
    ],
    [
      'the user',
      [
        ['  alice: { groups: [eng] }\n', ''],
        ['  - { user: alice, role: writer, expires: 2027-01-05 }\n', ''],
      ],
      'no-role',
    ],
    [
      'the group',
      [
        ['alice: { groups: [eng] }', 'alice: {}'],
        ['  - { user: alice, role: writer, expires: 2027-01-05 }\n', ''],
      ],
      'no-role',
    ],
    [
      'the target',
      [
        ['  orders: {', '  orders2: {'],
        ['targets: [orders]', 'targets: [orders2]'],
      ],
      'target',
    ],
  ])('it is gone with %s', (_, changes, cause) => {
    const renewed = renew(granted('alice', orders), loadGood(changed(changes, CONFIG)), MONDAY_NOON)
    expect(renewed).toMatchObject({ type: 'denied', cause })
  })

  test('time alone can end it: a connection that may write does not become one that may only read', () => {
    const grant = granted('alice', orders)
    expect(renew(grant, loadGood(CONFIG), MONDAY_NOON + 7 * HOUR - 1).type).toBe('granted')
    expect(renew(grant, loadGood(CONFIG), MONDAY_NOON + 7 * HOUR)).toMatchObject({
      cause: 'read-only',
      what: 'this session on "orders" may no longer write',
      why: 'What remains of your roles (reader) is read-only.',
      next: `Connect again to go on reading. ${NEXT}`,
    })
  })

  test('a reload tells which of all are gone and what the others become', () => {
    const [alice, erin, bob] = [
      granted('alice', orders),
      granted('erin', orders),
      granted('bob', { protocol: 'ssh' }),
    ]
    const text = changed([['  - { group: ops, role: shell }\n', '']], CONFIG)
    const { gone, kept } = renewAll([alice, erin, bob], loadGood(text), MONDAY_NOON)
    expect(gone.map(({ grant, denial }) => [grant === bob, denial.cause])).toEqual([[true, 'no-role']])
    expect([...kept.keys()]).toEqual([alice, erin])
    expect([...kept.values()].every((grant) => grant instanceof Grant && grant.targetName === 'orders')).toBe(
      true,
    )
  })
})
