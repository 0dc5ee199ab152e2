/** Searches that nobody would think of, over the books of reading-book.ts. */
import { chance, pick } from './reading-book.ts'

export const LABELS = {
  orders: { env: 'prod', data: 'pii' },
  shop: { env: 'prod' },
  'orders-test': { env: 'test' },
}
/** When the searches are asked: the books begin in the morning of this day. */
export const NOW = 1_763_700_000_000_000

/** Terms that find something, nothing, or everything. */
function term(random: () => number, sids: readonly string[], size: number): string {
  const from = { random }
  const word = (): string =>
    pick(from, [
      'payments',
      'card_number',
      'select',
      'ÜNAL',
      'nginx',
      'total$',
      'average',
      'pay*',
      '"id = $1"',
      'nothere',
      '"restart nginx"',
      'search',
      'mallory',
    ])
  const choices: (() => string)[] = [
    () =>
      `actor:${pick(from, ['alice', 'bob', 'ALICE', 'zoë', 'd*', '*', 'mallory', 'u_*', '"alice"', 'local', 'alice,bob'])}`,
    () => `target:${pick(from, ['orders', 'orders*', 'web-1', 'shop,web-2', 'gone'])}`,
    () => `verb:${pick(from, ['SELECT', 'delete', 'DELETE,UPDATE', 'unknown', 'CREATE*'])}`,
    () =>
      `table:${pick(from, ['payments', 'public.payments', 'pay*', 'orders,customers', 'audit.*', 'none'])}`,
    () => `status:${pick(from, ['ok', 'error', 'denied', 'error,denied', 'aborted'])}`,
    () =>
      `action:${pick(from, ['db.*', 'session.start', 'auth.failed', 'ssh.command', 'ssh.output', 'audit.*', 'access.denied', '*.open'])}`,
    () => `proto:${pick(from, ['postgres', 'mysql', 'ssh', 'gateway', 'ssh,mysql'])}`,
    () => `ip:${pick(from, ['10.0.0.7', '10.0.0.0/8', 'fd00::7', '203.0.113.9'])}`,
    () => `role:${pick(from, ['writer', 'r*', 'none'])}`,
    () => `db:${pick(from, ['shop', 'rep*'])}`,
    () => `label.env:${pick(from, ['prod', 'test', 'p*'])}`,
    () => `rows:${pick(from, ['>1000', '0..100', '<=3', '..500', '>=10'])}`,
    () => `bytes:${pick(from, ['>500k', '1k..400k', '400'])}`,
    () => `duration:${pick(from, ['>2s', '<500ms', '1s..300s'])}`,
    () =>
      pick(from, [
        'since:24h',
        'since:now/d',
        'since:48h',
        'ts:2025-11-20..',
        'ts:2025-11-20',
        'ts:..2025-11-20',
        'ts:2025-11-20..2025-11-21',
      ]),
    () => `outside:${pick(from, ['08:00-19:00', '19:00-08:00'])}`,
    () => `is:${pick(from, ['live', 'denied', 'admin'])}`,
    () => `has:${pick(from, ['params', 'no-where', 'recording', 'trace'])}`,
    () => `session:${pick(from, [...sids, 'aaaaaaaaaaaaaaaa'])}`,
    () => `record:${Math.floor(random() * size)}`,
    () => `trace:${pick(from, ['4bf92f3577b34da6a3ce929d0e0e4736', '4b*', 'none'])}`,
    () => `/${pick(from, ['id = [0-9]+', 'SELECT', '^DELETE', '(?i:select)', '<script>'])}/`,
    word,
    word,
    () => `text:${word()}`,
  ]
  return pick(from, choices)()
}

export function randomQuery(random: () => number, sids: readonly string[], size: number, depth = 0): string {
  const terms = Array.from({ length: 1 + Math.floor(random() * (depth === 0 ? 3 : 2)) }, () => {
    const negated = chance({ random }, 0.2) ? '-' : ''
    if (depth < 2 && chance({ random }, 0.2)) {
      const sides = Array.from({ length: 2 }, () => randomQuery(random, sids, size, depth + 1))
      return `${negated}(${sides.join(' OR ')})`
    }
    return `${negated}${term(random, sids, size)}`
  })
  return terms.join(' ')
}
