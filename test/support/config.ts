import { formatFault } from '../../src/config/faults.ts'
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts'

/** A small configuration that loads. Tests change one place in it. */
export const SMALL = `version: 1
gateway:
  name: gw1.example
  data_dir: data
  tls: { cert: tls.crt, key: tls.key }
listeners:
  postgres:
    type: postgres
    address: 127.0.0.1:6432
groups:
  engineering: {}
  security: {}
users:
  alice:
    groups: [engineering]
  ci:
    kind: service
targets:
  orders:
    type: postgres
    address: db-1.internal:5432
    credentials: { user: app, password: env:ORDERS_PW }
    labels: { env: prod }
  web:
    type: ssh
    address: web-1.internal:22
    host_key: ssh-ed25519 SHA256:2Fb0cYJEGAEWR9mIRLWLsAqKcyYlzdWlvZ5lCkYN6Uw
    credentials: { user: deploy, password: env:WEB_PW }
roles:
  reader:
    targets: [orders]
    max_rows: 100
grants:
  - { group: engineering, role: reader }
policies:
  - id: no-bare-delete
    when: { verb: [DELETE], where: none }
    then: deny
recording:
  encryption: { key: file:kek }
integrity:
  signing_key: book.key
`

/** SMALL, or `text`, with each `from` replaced by its `to`; a `from` that is not there is a mistake of the test. */
export function changed(changes: readonly (readonly [from: string, to: string])[], text = SMALL): string {
  return changes.reduce((whole, [from, to]) => {
    if (!whole.includes(from)) throw new Error(`nothing to change: ${from}`)
    return whole.replace(from, to)
  }, text)
}

export function faultsIn(text: string): readonly string[] {
  const loaded = loadConfig(text, '/etc/gatebook/config.yaml', 'config.yaml')
  return loaded.type === 'faults' ? loaded.faults.map(formatFault) : []
}

export function loadGood(text: string): LoadedConfig {
  const loaded = loadConfig(text, '/etc/gatebook/config.yaml', 'config.yaml')
  if (loaded.type === 'faults') throw new Error(loaded.faults.map(formatFault).join('\n'))
  return loaded
}
