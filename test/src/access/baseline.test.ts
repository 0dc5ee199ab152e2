/** What the baseline of access speaks of: each key of the schema that decides who gets where, as whom, to see or do what. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { accessBaseline } from '../../../src/access/baseline.ts'
import { compareConfigs, describeChange } from '../../../src/config/effective.ts'
import { changed, loadGood } from '../../support/config.ts'

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnb7YNyYY6rUyXYmwDTKJBqRg5PAW1tRrnzuYbHRUQH'
const FINGERPRINT = 'SHA256:2Fb0cYJEGAEWR9mIRLWLsAqKcyYlzdWlvZ5lCkYN6Uw'

const FULL = `version: 1
gateway: { name: gw1.example, data_dir: data, tls: { cert: tls.crt, key: tls.key, client_ca: people.pem }, control: { require_token: true } }
listeners:
  postgres: { type: postgres, address: 127.0.0.1:6432, target: orders, proxy_protocol: { from: [10.0.0.0/24] } }
  ssh: { type: ssh, address: 127.0.0.1:2222, host_key: file:host.key, user_ca: ["${KEY}"] }
groups: { engineering: {}, security: {} }
users:
  alice: { groups: [engineering], password: file:pw, totp: file:totp, ssh_keys: ["${KEY} alice@home"], certificates: [{ subject: CN=alice }] }
  rita: { groups: [security] }
  ci: { kind: service }
targets:
  orders: { type: postgres, address: db-1.internal:5432, tls: { mode: verify-ca, ca: db.pem }, credentials: { user: app, password: env:A }, read_only_credentials: { user: ro, password: env:B }, labels: { data: pii } }
  stock: { type: mysql, address: db-2.internal:3306, local_infile: false, credentials: { user: app, password: env:A } }
  web: { type: ssh, address: web.internal:22, host_key: "ssh-ed25519 ${FINGERPRINT}", jump: hop, allow: [shell], forward: ["db:5432"], listen: ["localhost:8080"], agent_forwarding: false, env: [LANG], credentials: { user: deploy, password: env:C } }
  hop: { type: ssh, address: hop.internal:22, known_hosts: hosts, credentials: { user: deploy, password: env:C } }
roles:
  reader: { targets: [orders], databases: [shop], read_only: true, statements: { allow: [SELECT] }, max_rows: 100 }
  shell: { targets: [web], ssh: { allow: [shell], forward: [], listen: [] }, hours: { tz: UTC, days: [mon-fri], from: "08:00", to: "18:00" } }
  auditor: { read: { targets: [orders], see: metadata, verify: false, admin: false } }
  whole: { targets: [orders], replication: false }
  labelled: { targets: { data: pii }, read: { targets: { data: pii } } }
grants:
  - { group: engineering, role: reader, expires: 2027-06-30 }
  - { user: alice, role: shell }
  - { group: security, role: auditor }
  - { user: ci, role: whole }
policies:
  - { id: no-bare-delete, when: { protocol: [postgres], labels: { data: pii }, verb: [DELETE], table: ["*"], where: none }, then: deny }
recording: { sql: { parameters: mask }, encryption: { key: file:kek } }
integrity: { signing_key: book.key }
`

/** A key, what widens it, and what is told of that. */
const TOLD: readonly (readonly [key: string, from: string, to: string, told: string])[] = [
  [
    'gateway.tls.client_ca',
    'people.pem',
    'all.pem',
    'added gateway: "client certificates of /etc/gatebook/all.pem"',
  ],
  [
    'gateway.control.require_token',
    'require_token: true',
    'require_token: false',
    'added gateway: "control socket: whoever reaches it"',
  ],
  [
    'listeners.*.type',
    'type: ssh, address: 127.0.0.1:2222, host_key: file:host.key',
    'type: metrics, address: 127.0.0.1:2222 }\n  other: { type: ssh, address: 127.0.0.1:2223, host_key: file:host.key',
    'added listeners.other: ',
  ],
  [
    'listeners.*.address',
    '127.0.0.1:6432',
    '0.0.0.0:6432',
    'added listeners.postgres: "postgres 0.0.0.0:6432"',
  ],
  [
    'listeners.*.proxy_protocol.from',
    '[10.0.0.0/24]',
    '[10.0.0.0/24, 10.1.0.0/16]',
    'added listeners.postgres: "takes addresses from 10.1.0.0/16"',
  ],
  [
    'listeners.*.require_tls',
    '127.0.0.1:6432,',
    '127.0.0.1:6432, require_tls: false,',
    'added listeners.postgres: "without TLS too"',
  ],
  ['listeners.*.target', ', target: orders', '', 'removed listeners.postgres: "to orders alone"'],
  [
    'listeners.*.user_ca',
    `user_ca: ["${KEY}"]`,
    `user_ca: ["${KEY}", "${KEY.replace('IJnb7', 'IJnb8')}"]`,
    'added listeners.ssh: "certificates of ssh-ed25519 ',
  ],
  [
    'users.*.groups',
    'rita: { groups: [security]',
    'rita: { groups: [security, engineering]',
    'added access.rita.orders: ',
  ],
  [
    'users.*.password',
    'rita: { groups: [security]',
    'rita: { groups: [security], password: file:pw',
    'added logins.rita: "password"',
  ],
  ['users.*.totp', ' totp: file:totp,', '', 'removed logins.alice: "one-time code, by SSH"'],
  [
    'users.*.ssh_keys',
    'rita: { groups: [security]',
    `rita: { groups: [security], ssh_keys: ["${KEY}"]`,
    `added logins.rita: "${KEY}"`,
  ],
  [
    'users.*.certificates.subject',
    'CN=alice',
    'CN=anybody',
    'added logins.alice: "certificate of CN=anybody"',
  ],
  [
    'users.*.certificates.fingerprint',
    '{ subject: CN=alice }',
    `{ subject: CN=alice }, { fingerprint: "${'AB:'.repeat(31)}AB" }`,
    'added logins.alice: "certificate ',
  ],
  [
    'targets.*.type',
    'type: mysql, address: db-2.internal:3306, local_infile: false',
    'type: postgres, address: db-2.internal:3306',
    'added targets.stock: "postgres ',
  ],
  [
    'targets.*.address',
    'db-1.internal',
    'db-9.internal',
    'added targets.orders: "postgres db-9.internal:5432 as app"',
  ],
  [
    'targets.*.tls.mode',
    'mode: verify-ca, ca: db.pem',
    'mode: require',
    'added targets.orders: "TLS: require"',
  ],
  ['targets.*.tls.ca', 'db.pem', 'any.pem', 'added targets.orders: "vouched for by /etc/gatebook/any.pem"'],
  [
    'targets.*.credentials.user',
    'user: app, password: env:A }, read_only',
    'user: owner, password: env:A }, read_only',
    'added targets.orders: "postgres db-1.internal:5432 as owner"',
  ],
  ['targets.*.read_only_credentials.user', 'user: ro', 'user: rw', 'added targets.orders: "read-only as rw"'],
  [
    'targets.*.labels.*',
    ', labels: { data: pii } }\n  stock',
    ' }\n  stock',
    'removed targets.orders: "label data=pii"',
  ],
  [
    'targets.*.local_infile',
    'local_infile: false',
    'local_infile: true',
    'added targets.stock: "local_infile"',
  ],
  [
    'targets.*.host_key',
    FINGERPRINT,
    FINGERPRINT.replace('2Fb0', '2Fb1'),
    'added targets.web: "host key ssh-ed25519 SHA256:2Fb1',
  ],
  [
    'targets.*.known_hosts',
    'known_hosts: hosts',
    'known_hosts: others',
    'added targets.hop: "host key in /etc/gatebook/others"',
  ],
  [
    'targets.*.allow',
    'allow: [shell], forward: ["db',
    'allow: [shell, exec], forward: ["db',
    'added targets.web: "allow exec"',
  ],
  ['targets.*.forward', '["db:5432"]', '["db:5432", "*:443"]', 'added targets.web: "forward *:443"'],
  [
    'targets.*.listen',
    '["localhost:8080"]',
    '["localhost:8080", "*:80"]',
    'added targets.web: "listen *:80"',
  ],
  [
    'targets.*.agent_forwarding',
    'agent_forwarding: false',
    'agent_forwarding: true',
    'added targets.web: "agent_forwarding"',
  ],
  ['targets.*.env', '[LANG]', '[LANG, LD_PRELOAD]', 'added targets.web: "env LD_PRELOAD"'],
  ['targets.*.jump', ' jump: hop,', '', 'removed targets.web: "through hop"'],
  ['roles.*.targets', 'targets: [web], ssh', 'targets: [web, hop], ssh', 'added access.alice.hop: '],
  [
    'roles.*.targets.*',
    'group: security, role: auditor',
    'group: security, role: labelled',
    'added access.rita.orders: ["labelled: everything"]',
  ],
  [
    'roles.*.read.targets',
    'read: { targets: [orders]',
    'read: { targets: [orders, "w*"]',
    'added reading.rita: "auditor: metadata of orders, w*"',
  ],
  [
    'roles.*.read.targets.*',
    'group: security, role: auditor',
    'group: security, role: labelled',
    'added reading.rita: "labelled: metadata of orders; verifies the book"',
  ],
  ['roles.*.read.see', 'see: metadata', 'see: replay', 'added reading.rita: "auditor: replay of orders"'],
  [
    'roles.*.read.verify',
    'verify: false',
    'verify: true',
    'added reading.rita: "auditor: metadata of orders; verifies the book"',
  ],
  [
    'roles.*.read.admin',
    'admin: false',
    'admin: true',
    'added reading.rita: "auditor: metadata of orders; admin: everything, and ends others\' sessions"',
  ],
  [
    'roles.*.databases',
    'databases: [shop], ',
    '',
    'added access.alice.orders: "reader: read-only; SELECT; at most 100 rows; until',
  ],
  ['roles.*.read_only', 'read_only: true, ', '', 'added access.alice.orders: "reader: SELECT; '],
  [
    'roles.*.replication',
    'replication: false',
    'replication: true',
    'added access.ci.orders: "whole: everything; replication too"',
  ],
  [
    'roles.*.statements.allow',
    '[SELECT]',
    '[SELECT, write]',
    'added access.alice.orders: "reader: read-only; SELECT, write; ',
  ],
  ['roles.*.max_rows', ', max_rows: 100', '', 'databases shop; until'],
  [
    'roles.*.ssh.allow',
    'ssh: { allow: [shell]',
    'ssh: { allow: [shell, exec]',
    'added access.alice.web: "shell: allow shell, exec; ',
  ],
  [
    'roles.*.ssh.forward',
    'forward: [], ',
    '',
    'added access.alice.web: "shell: allow shell; listen nothing; ',
  ],
  [
    'roles.*.ssh.listen',
    'listen: [] }',
    'listen: ["localhost:1"] }',
    'added access.alice.web: "shell: allow shell; forward nothing; listen localhost:1; ',
  ],
  ['roles.*.hours.tz', 'tz: UTC', 'tz: Asia/Tokyo', 'added access.alice.web: '],
  ['roles.*.hours.days', '[mon-fri]', '[mon-sun]', 'added access.alice.web: '],
  ['roles.*.hours.from', '"08:00"', '"07:00"', 'added access.alice.web: '],
  ['roles.*.hours.to', '"18:00"', '"20:00"', 'added access.alice.web: '],
  ['grants.user', 'user: alice, role: shell', 'user: rita, role: shell', 'added access.rita.web: '],
  ['grants.group', 'group: security', 'group: engineering', 'added reading.alice: '],
  [
    'grants.role',
    'group: security, role: auditor',
    'group: security, role: shell',
    'added access.rita.web: ',
  ],
  [
    'grants.expires',
    ', expires: 2027-06-30',
    '',
    'added access.alice.orders: "reader: read-only; SELECT; databases shop; at most 100 rows"',
  ],
  ['policies.id', 'id: no-bare-delete', 'id: another', 'removed policies: "no-bare-delete: '],
  ['policies.when.protocol', 'protocol: [postgres], ', '', 'added policies: '],
  [
    'policies.when.labels.*',
    'labels: { data: pii }, verb',
    'labels: { data: none }, verb',
    'added policies: ',
  ],
  ['policies.when.verb', 'verb: [DELETE]', 'verb: [DROP]', 'added policies: '],
  ['policies.when.table', '["*"]', '[payments]', 'added policies: '],
  ['policies.when.where', ', where: none', '', 'added policies: '],
  ['recording.sql.parameters', 'parameters: mask', 'parameters: keep', 'added gateway: "parameters: keep"'],
]

/** Keys that let nobody in, nor to anything, who was not there before. */
const SILENT: readonly string[] = `
version gateway.name gateway.data_dir gateway.tls.cert gateway.tls.key gateway.control.socket gateway.contact
listeners.*.login listeners.*.welcome listeners.*.family listeners.*.version listeners.*.host_key listeners.*.public_url
auth.sessions.max auth.sessions.idle auth.lockout.failures auth.lockout.window auth.lockout.for
users.*.kind users.*.email users.*.idle groups.*.description
targets.*.database targets.*.tls.cert targets.*.tls.key targets.*.credentials.password targets.*.credentials.private_key
targets.*.credentials.agent targets.*.read_only_credentials.password targets.*.stdin targets.*.durability
grants.owner policies.then policies.message
recording.durability recording.on_failure recording.sql.max_statement recording.ssh.output recording.encryption.key
recording.encryption.former integrity.signing_key integrity.keep_checkpoint_every.records
integrity.keep_checkpoint_every.time retention.default retention.terminal_recordings`
  .trim()
  .split(/\s+/)

const drift = (text: string): readonly string[] =>
  compareConfigs(accessBaseline(loadGood(FULL)), accessBaseline(loadGood(text))).map(describeChange)

describe('is told as a difference', () => {
  test.each(TOLD)('%s', (_, from, to, told) => {
    expect(drift(changed([[from, to]], FULL)).join('\n')).toContain(told)
  })
})

test('an order, a comment of a key and where a secret lies are no differences', () => {
  const same = changed(
    [
      ['alice@home', 'alice@work'],
      ['password: file:pw', 'password: env:PW'],
      ['{ engineering: {}, security: {} }', '{ security: { description: people }, engineering: {} }'],
    ],
    FULL,
  )
  expect(drift(same)).toEqual([])
})

test('every key of the schema is told, or is known to let nobody in', () => {
  const schema = JSON.parse(readFileSync('src/config/schema.json', 'utf8')) as Schema
  const known = [...new Set([...TOLD.map(([key]) => key), ...SILENT])]
  expect(known.sort()).toEqual([...new Set(keysOf(schema, []))].sort())
})

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
}

/** Places in the file, with `*` for a name that is free. */
function keysOf(schema: Schema, path: readonly string[]): string[] {
  const { properties = {}, additionalProperties: others, items, anyOf = [], oneOf = [] } = schema
  const inner = [
    ...[...anyOf, ...oneOf, ...(items === undefined ? [] : [items])].flatMap((one) => keysOf(one, path)),
    ...Object.entries(properties).flatMap(([name, one]) => keysOf(one, [...path, name])),
    ...(typeof others === 'object' && Object.keys(others).length > 0 ? keysOf(others, [...path, '*']) : []),
  ]
  return inner.length > 0 ? inner : [path.join('.')]
}
