import { describe, expect, test } from 'vitest'
import type { StatementFacts, StatementPart } from '../../../protocols/statement-facts.ts'
import { type Access, decideAccess } from '../../../src/access/rights.ts'
import { judgeStatement, needsFacts } from '../../../src/access/statements.ts'
import type { LoadedConfig } from '../../../src/config/load.ts'
import { loadGood } from '../../support/config.ts'

const config = (roles: string, policies = '[]') => `version: 1
gateway: { name: gw, data_dir: data, tls: { cert: c, key: k } }
listeners: { pg: { type: postgres, address: 127.0.0.1:0 } }
users: { alice: {} }
targets:
  orders: { type: postgres, address: a:1, credentials: { user: u, password: env:P }, read_only_credentials: { user: r, password: env:P }, labels: { data: pii } }
  shop: { type: mysql, address: a:2, credentials: { user: u, password: env:P } }
roles:
${roles}
grants: ${JSON.stringify([...roles.matchAll(/^ {2}(\w+):/gm)].map(([, role]) => ({ user: 'alice', role })))}
policies: ${policies}
recording: { encryption: { key: file:kek } }
integrity: { signing_key: book.key }
`

function accessTo(
  target: 'orders' | 'shop',
  roles: string,
  policies?: string,
): { access: Access; loaded: LoadedConfig } {
  const loaded = loadGood(config(roles, policies))
  const protocol = target === 'orders' ? 'postgres' : 'mysql'
  const decision = decideAccess({ user: 'alice', groups: [] }, { protocol, named: target }, loaded, 0)
  if (decision.type === 'denied') throw new Error(decision.why)
  return { access: decision.access, loaded }
}

const part = (verb: StatementPart['verb'], table?: string, where?: boolean): StatementPart => {
  const [name = '', schema] = (table ?? '').split('.').reverse()
  const tables = table === undefined ? [] : [schema === undefined ? { name } : { schema, name }]
  return where === undefined ? { verb, tables } : { verb, tables, where }
}
const facts = (...parts: StatementPart[]): StatementFacts => ({ parts, liftsReadOnly: false, masked: '' })
const disputed = (...parts: StatementPart[]): StatementFacts => ({
  ...facts(...parts),
  disputed: 'a backslash in a plain literal',
})

function judge(roles: string, policies: string, what: StatementFacts, database = 'orders') {
  const { access, loaded } = accessTo('orders', roles, policies)
  return judgeStatement(access, what, database, loaded)
}

const ALL = '  all: { targets: [orders] }'

describe('roles', () => {
  const SELECTS = '  some: { targets: [orders], statements: { allow: [SELECT, SHOW, EXPLAIN] } }'

  test.each<[string, string, StatementFacts, string]>([
    ['what it lists', SELECTS, facts(part('SELECT', 't')), 'some'],
    ['the session’s own', SELECTS, facts(part('BEGIN'), part('SET'), part('COMMIT')), 'some'],
    ['a text that does nothing', SELECTS, facts(), 'some'],
    [
      'a whole class',
      '  some: { targets: [orders], statements: { allow: [read, define] } }',
      facts(part('CREATE', 't'), part('SELECT')),
      'some',
    ],
    ['anything without a list', ALL, facts(part('DROP', 't')), 'all'],
    ['even what nobody can read', ALL, disputed(part('SELECT')), 'all'],
    [
      'what one of several allows',
      `${SELECTS}\n  other: { targets: [orders], statements: { allow: [UPDATE] } }`,
      facts(part('UPDATE', 't', true)),
      'other',
    ],
    [
      'programs, if it says so',
      '  all: { targets: [orders], statements: { allow: [COPY PROGRAM] } }',
      facts(part('COPY PROGRAM')),
      'all',
    ],
    [
      'replication, if it says so, whatever statements it lists',
      '  some: { targets: [orders], replication: true, statements: { allow: [SELECT] } }',
      facts(part('REPLICATION')),
      'some',
    ],
    [
      'reading, if it is read-only',
      '  ro: { targets: [orders], read_only: true }',
      facts(part('SELECT', 't'), part('COPY TO')),
      'ro',
    ],
  ])('let pass %s', (_, roles, what, rule) => {
    expect(judge(roles, '[]', what)).toEqual({ type: 'allowed', rule })
  })

  test.each<[string, string, StatementFacts, object]>([
    [
      'what they do not list',
      SELECTS,
      facts(part('DELETE', 'public.payments', true)),
      {
        what: 'DELETE on public.payments is not allowed by your role some',
        why: 'Role some allows SELECT, SHOW, EXPLAIN.',
        next: 'Ask whoever administers this gateway.',
        rule: 'some',
        target: 'orders',
        lines: ['role some (config.yaml:9): allows SELECT, SHOW, EXPLAIN'],
      },
    ],
    [
      'a write inside a read',
      SELECTS,
      facts(part('SELECT'), part('DELETE', 't', true)),
      { what: 'DELETE on t is not allowed by your role some' },
    ],
    [
      'what only both together allow',
      `${SELECTS}\n  other: { targets: [orders], statements: { allow: [UPDATE] } }`,
      facts(part('UPDATE', 't', true), part('SELECT', 'u')),
      {
        what: 'UPDATE on t is not allowed by your roles some, other',
        why: 'Role some allows SELECT, SHOW, EXPLAIN. Role other allows UPDATE.',
      },
    ],
    [
      'what nobody can read',
      SELECTS,
      disputed(part('SELECT')),
      { what: 'this statement is not allowed by your role some' },
    ],
    [
      'programs on the server',
      ALL,
      facts(part('COPY PROGRAM')),
      { why: 'Role all does not name COPY PROGRAM.' },
    ],
    ['replication', ALL, facts(part('REPLICATION')), { why: 'Role all does not name REPLICATION.' }],
    [
      'replication by a class',
      '  some: { targets: [orders], statements: { allow: [admin] } }',
      facts(part('REPLICATION')),
      { cause: 'statement' },
    ],
    ['programs in a text that might be another', ALL, disputed(part('COPY PROGRAM')), { cause: 'statement' }],
    [
      'a write, if they are read-only',
      '  ro: { targets: [orders], read_only: true }',
      facts(part('CALL')),
      { why: 'Role ro is read-only.' },
    ],
    [
      'lifting the guard, if they are read-only',
      '  ro: { targets: [orders], read_only: true }',
      { ...facts(part('BEGIN')), liftsReadOnly: true },
      { why: 'Role ro is read-only, and this would lift it.' },
    ],
  ])('refuse %s', (_, roles, what, expected) => {
    expect(judge(roles, '[]', what)).toMatchObject({ type: 'denied', cause: 'statement', ...expected })
  })

  test('cover a database only if they name it', () => {
    const roles = '  some: { targets: [orders], databases: ["ord*"] }'
    expect(judge(roles, '[]', facts(part('SELECT')), 'orders').type).toBe('allowed')
    expect(judge(roles, '[]', facts(part('SELECT')), 'postgres')).toMatchObject({
      why: 'Role some covers the databases ord*.',
    })
  })

  test('in MySQL a schema is a database', () => {
    const { access, loaded } = accessTo('shop', '  some: { targets: [shop], databases: [shop] }')
    const verdict = (table: string) => judgeStatement(access, facts(part('SELECT', table)), 'shop', loaded)
    expect(verdict('shop.items').type).toBe('allowed')
    expect(verdict('items').type).toBe('allowed')
    expect(verdict('mysql.user')).toMatchObject({
      what: 'SELECT on mysql.user is not allowed by your role some',
    })
  })
})

describe('policies stand above roles', () => {
  const BARE =
    '[{ id: bare, when: { verb: [DELETE, UPDATE], where: none }, then: deny, message: Say which. }]'
  const FINAL = '[{ id: final, when: { table: [payments, "audit.*"], verb: [DELETE, UPDATE] }, then: deny }]'

  test.each<[string, string, StatementFacts]>([
    ['with a WHERE', BARE, facts(part('DELETE', 't', true))],
    ['another verb', BARE, facts(part('SELECT', 't'))],
    ['another table', FINAL, facts(part('DELETE', 'orders', false))],
    ['another schema', FINAL, facts(part('DELETE', 'public.log', false))],
    [
      'the verb and the table in different parts',
      FINAL,
      facts(part('SELECT', 'payments'), part('DELETE', 't', true)),
    ],
    ['another protocol', '[{ id: x, when: { protocol: [mysql] }, then: deny }]', facts(part('DROP', 't'))],
    ['other labels', '[{ id: x, when: { labels: { data: none } }, then: deny }]', facts(part('DROP', 't'))],
  ])('%s is not meant', (_, policies, what) => {
    expect(judge(ALL, policies, what)).toEqual({ type: 'allowed', rule: 'all' })
  })

  test.each<[string, string, StatementFacts, object]>([
    [
      'without a WHERE',
      BARE,
      facts(part('DELETE', 'public.t', false)),
      {
        what: 'DELETE on public.t is not allowed by policy "bare"',
        why: 'Say which.',
        rule: 'bare',
        lines: ['policy bare (config.yaml:11): Say which.'],
      },
    ],
    [
      'the table in whatever schema',
      FINAL,
      facts(part('UPDATE', 'x.payments', true)),
      { why: 'Refused here: DELETE, UPDATE on payments, audit.*.' },
    ],
    [
      'the table by search path',
      '[{ id: final, when: { table: [audit.log] }, then: deny }]',
      facts(part('DELETE', 'log', true)),
      { rule: 'final' },
    ],
    ['in whatever case', FINAL, facts(part('DELETE', 'AUDIT.Log', true)), { rule: 'final' }],
    [
      'in one part of several',
      FINAL,
      facts(part('SELECT', 't'), part('DELETE', 'payments', true)),
      { rule: 'final' },
    ],
    [
      'by labels alone',
      '[{ id: x, when: { labels: { data: pii } }, then: deny }]',
      facts(part('SHOW')),
      { rule: 'x' },
    ],
    [
      'what nobody can read, whatever the policy names',
      FINAL,
      disputed(part('SELECT')),
      {
        what: 'this statement is not allowed by policy "final"',
        why: 'It cannot be read with certainty (a backslash in a plain literal), so it might be anything that is refused here.',
      },
    ],
    ['what is unknown', FINAL, facts(part('unknown')), { rule: 'final' }],
  ])('%s is refused', (_, policies, what, expected) => {
    expect(judge(ALL, policies, what)).toMatchObject({ type: 'denied', cause: 'statement', ...expected })
  })
})

test('a text is parsed only where something depends on it', () => {
  const needs = (roles: string, policies: string, text = 'SELECT 1') => {
    const { access, loaded } = accessTo('orders', roles, policies)
    return needsFacts(access, loaded, (word) => word.test(text))
  }
  expect(needs(ALL, '[]')).toBe(false)
  expect(needs(ALL, '[]', 'copy t to PROGRAM $$id$$')).toBe(true)
  expect(needs(ALL, '[{ id: x, when: { protocol: [mysql] }, then: deny }]')).toBe(false)
  expect(needs(ALL, '[{ id: x, when: { verb: [DROP] }, then: deny }]')).toBe(true)
  expect(needs('  some: { targets: [orders], statements: { allow: [SELECT] } }', '[]')).toBe(true)
  expect(needs('  ro: { targets: [orders], read_only: true }', '[]')).toBe(true)
  expect(needs(`${ALL}\n  some: { targets: [orders], statements: { allow: [SELECT] } }`, '[]')).toBe(false)
})
