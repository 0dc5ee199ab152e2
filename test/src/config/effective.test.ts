import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  canonicalText,
  compareConfigs,
  describeChange,
  effectiveConfig,
} from '../../../src/config/effective.ts'
import { changed, loadGood, SMALL } from '../../support/config.ts'

const effective = (text: string) => effectiveConfig(loadGood(text).config)
const differences = (after: string) => compareConfigs(effective(SMALL), effective(after)).map(describeChange)

test('the same configuration is the same text, however it is written', () => {
  const other = changed([
    ['{ user: app, password: env:ORDERS_PW }', '{ password: env:ORDERS_PW, user: app }'],
    ['    max_rows: 100\n', '    max_rows: 100  # enough\n'],
    ['recording:\n', 'auth: { sessions: { max: 12h } }\nrecording:\n'],
  ])
  expect(canonicalText(effective(other))).toBe(canonicalText(effective(SMALL)))
  expect(differences(other)).toEqual([])
})

test('integer-like names keep their order', () => {
  const renamed = (a: string, b: string) => changed([['  alice:', `  "${a}": {}\n  "${b}": {}\n  alice:`]])
  expect(canonicalText(effective(renamed('10', '9')))).toBe(canonicalText(effective(renamed('9', '10'))))
})

test('defaults are filled in and secrets stand by their reference', () => {
  expect(effective(SMALL)['targets']).toEqual({
    orders: {
      address: { host: 'db-1.internal', port: 5432 },
      credentials: { password: 'env:ORDERS_PW', user: 'app' },
      labels: { env: 'prod' },
      tls: { mode: 'verify-full' },
      type: 'postgres',
    },
    web: {
      address: { host: 'web-1.internal', port: 22 },
      agent_forwarding: false,
      allow: ['shell', 'exec', 'sftp'],
      credentials: { password: 'env:WEB_PW', user: 'deploy' },
      env: ['LANG', 'LC_*'],
      forward: [],
      host_key: 'ssh-ed25519 SHA256:2Fb0cYJEGAEWR9mIRLWLsAqKcyYlzdWlvZ5lCkYN6Uw',
      labels: {},
      listen: [],
      stdin: 'keep',
      type: 'ssh',
    },
  })
})

test('differences are told in words', () => {
  const after = changed([
    ['max_rows: 100', 'max_rows: 200'],
    ['  - { group: engineering, role: reader }', '  - { group: security, role: reader }'],
    ['  ci:\n    kind: service\n', ''],
    ['    labels: { env: prod }\n', '    labels: { env: prod, data: pii }\n'],
  ])
  expect(differences(after)).toEqual([
    'removed grants: {"group":"engineering","role":"reader"}',
    'added grants: {"group":"security","role":"reader"}',
    'changed roles.reader.max_rows: 100 -> 200',
    'added targets.orders.labels.data: "pii"',
    'removed users.ci: {"certificates":[],"groups":[],"kind":"service","ssh_keys":[]}',
  ])
})

test('the example survives the way through its text', () => {
  const example = effective(readFileSync('config.example.yaml', 'utf8'))
  expect(compareConfigs(example, JSON.parse(canonicalText(example)))).toEqual([])
})
