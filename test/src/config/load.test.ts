import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { configJsonSchema } from '../../../src/config/json-schema.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { changed, faultsIn, loadGood, SMALL } from '../../support/config.ts'
import { BAD } from './bad-files.ts'

describe('a bad file is explained where it is bad', () => {
  test.each(BAD)('%s', (_, from, to, faults) => {
    expect(faultsIn(changed([[from, to]]))).toEqual(faults)
  })

  test.each(['', '# nothing', '[]', 'text'])('%j is no configuration', (text) => {
    expect(faultsIn(text)).toEqual(['config.yaml:1:1  expected a map that begins with "version: 1"'])
  })

  test('whatever is damaged, the answer is faults and never an exception', () => {
    const damage = fc.record({ at: fc.nat(SMALL.length), cut: fc.nat(20), put: fc.string({ maxLength: 8 }) })
    fc.assert(
      fc.property(damage, ({ at, cut, put }) => {
        const text = SMALL.slice(0, at) + put + SMALL.slice(at + cut)
        const loaded = loadConfig(text, '/etc/gatebook/config.yaml')
        const positions = loaded.type === 'faults' ? loaded.faults : []
        expect(loaded.type === 'config' || positions.length > 0).toBe(true)
        expect(positions.every(({ line, column }) => line >= 1 && column >= 1)).toBe(true)
      }),
      { numRuns: 150 },
    )
  })
})

describe('a good file', () => {
  test('becomes values: times in milliseconds, paths beside the file, secrets by reference', () => {
    const { config } = loadGood(SMALL)
    expect(config.gateway).toEqual({
      name: 'gw1.example',
      data_dir: '/etc/gatebook/data',
      tls: { cert: '/etc/gatebook/tls.crt', key: '/etc/gatebook/tls.key' },
      control: { socket: '/etc/gatebook/data/control/socket', require_token: false },
    })
    expect(config.auth).toEqual({
      sessions: { max: 43_200_000, idle: 1_800_000 },
      lockout: { failures: 5, window: 600_000, for: 900_000 },
    })
    expect([...config.targets.keys()]).toEqual(['orders', 'web'])
    expect(config.targets.get('orders')).toEqual({
      type: 'postgres',
      address: { host: 'db-1.internal', port: 5432 },
      tls: { mode: 'verify-full' },
      credentials: { user: 'app', password: { source: 'env', name: 'ORDERS_PW' } },
      labels: { env: 'prod' },
    })
    expect(config.recording.encryption.key).toEqual({ source: 'file', name: '/etc/gatebook/kek' })
  })

  test('knows the hours of a role across the week and its end', () => {
    const hours = 'hours: { tz: Europe/Berlin, days: [fri-mon, mon], from: "22:00", to: "24:00" }'
    const { config } = loadGood(changed([['max_rows: 100', hours]]))
    expect(config.roles.get('reader')?.hours).toEqual({
      tz: 'Europe/Berlin',
      days: [0, 1, 5, 6],
      from: 1320,
      to: 1440,
    })
  })

  test('listens as often as it likes where the system chooses the port', () => {
    const listeners =
      '  a: { type: postgres, address: 127.0.0.1:0 }\n  b: { type: postgres, address: 127.0.0.1:0 }\ngroups:\n'
    expect(faultsIn(changed([['groups:\n', listeners]]))).toEqual([])
  })

  test('a date expires at its end, a moment at once', () => {
    const at = (expires: string) =>
      loadGood(changed([['role: reader', `role: reader, expires: ${expires}`]])).config.grants[0]?.expires
    expect(at('2027-06-30')).toBe(Date.UTC(2027, 6, 1))
    expect(at('2027-06-30T18:00:00+02:00')).toBe(Date.UTC(2027, 5, 30, 16))
  })

  test('tells the line of what a decision rests on', () => {
    const { places } = loadGood(SMALL)
    expect(places.lineOf(['grants', 0])).toBe('config.yaml:34')
    expect(places.lineOf(['roles', 'reader', 'max_rows'])).toBe('config.yaml:32')
    expect(places.lineOf(['roles', 'reader', 'hours'])).toBe('config.yaml:30')
  })

  test('the example loads as it stands and uses every key there is', () => {
    const text = readFileSync('config.example.yaml', 'utf8')
    expect(faultsIn(text)).toEqual([])
    const absent = keyNames(configJsonSchema()).filter((key) => !new RegExp(`\\b${key}:`).test(text))
    expect(absent, 'keys that the example does not show').toEqual([])
  })
})

test('the published schema is the one of the code', async () => {
  await expect(`${JSON.stringify(configJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
    '../../../src/config/schema.json',
  )
})

function keyNames(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const here = 'properties' in schema ? Object.keys(schema.properties as object) : []
  return [...new Set([...here, ...Object.values(schema).flatMap(keyNames)])]
}
