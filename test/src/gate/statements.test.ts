import { expect, test } from 'vitest'
import type { StatementFacts } from '../../../protocols/statement-facts.ts'
import type { Grant } from '../../../src/access/authorize.ts'
import { decideAccess } from '../../../src/access/rights.ts'
import type { LoadedConfig } from '../../../src/config/load.ts'
import type { Gate } from '../../../src/gate/gate.ts'
import { Judge } from '../../../src/gate/statements.ts'
import { loadGood } from '../../support/config.ts'

const config = (role: string, policies = '[]') => `version: 1
gateway: { name: gw, data_dir: data, tls: { cert: c, key: k } }
listeners: { pg: { type: postgres, address: 127.0.0.1:0 } }
users: { alice: {} }
targets:
  orders: { type: postgres, address: a:1, credentials: { user: u, password: env:P }, read_only_credentials: { user: r, password: env:P } }
roles:
  all: { targets: [orders]${role} }
grants: [{ user: alice, role: all }]
policies: ${policies}
recording: { encryption: { key: file:kek } }
integrity: { signing_key: book.key }
`

/** The judge looks at what a grant gives access to, and at no more of it. */
function grantUnder(loaded: LoadedConfig): Grant {
  const decision = decideAccess(
    { user: 'alice', groups: [] },
    { protocol: 'postgres', named: 'orders' },
    loaded,
    0,
  )
  if (decision.type === 'denied') throw new Error(decision.why)
  return { access: decision.access } as unknown as Grant
}

const DELETE: StatementFacts = {
  parts: [{ verb: 'DELETE', tables: [{ name: 't' }] }],
  liftsReadOnly: false,
  masked: '',
}
const NO_DELETE = '[{ id: no-delete, when: { verb: [DELETE] }, then: deny }]'

// A prepared statement is judged at each use, for what was harmless a moment ago may be forbidden now.
test('a kept text is judged anew when the configuration or the grant is another', () => {
  const free = loadGood(config(''))
  const gate = { inForce: { loaded: free } }
  let read = 0
  const judge = new Judge(gate as unknown as Gate, grantUnder(free), () => {
    read++
    return DELETE
  })
  const statement = { text: Buffer.from('DELETE FROM t'), database: 'orders', dependable: true, kept: true }
  const passes = () => judge.verdict(statement).allow
  expect([passes(), passes(), read], 'nothing hangs on what it does').toEqual([true, true, 0])

  gate.inForce = { loaded: loadGood(config('', NO_DELETE)) }
  expect([passes(), passes(), read]).toEqual([false, false, 2])

  gate.inForce = { loaded: free }
  expect(passes()).toBe(true)
  judge.renew(grantUnder(loadGood(config(', read_only: true'))))
  expect([passes(), read]).toEqual([false, 3])
})
