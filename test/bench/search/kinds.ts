/** Searches as people type them. */
import { PEOPLE, SERVICES, TARGETS } from './generate.ts'

type Make = (random: () => number) => string

const pick = (random: () => number, from: readonly string[]): string =>
  from[Math.floor(random() * from.length)] ?? ''

/** What people type, with other values each time. */
export const KINDS: Readonly<Record<string, Make>> = {
  'who did that lately': (random) => `actor:${pick(random, PEOPLE)} table:payments verb:DELETE since:7d`,
  'one person': (random) => `actor:${pick(random, PEOPLE)}`,
  'a busy service': (random) => `actor:${pick(random, SERVICES)} table:invoices`,
  'a target, a verb': (random) => `target:${pick(random, TARGETS.slice(0, 5))} verb:UPDATE`,
  'what was refused': () => 'status:denied',
  'errors of a target': (random) => `status:error target:${pick(random, TARGETS.slice(0, 5))}`,
  'a rare word': (random) => `"${Math.floor(random() * 1e6)}"`,
  'a common word': () => 'customers',
  'a word of a person': (random) => `actor:${pick(random, PEOPLE)} card_number`,
  'a phrase': () => '"systemctl restart nginx"',
  'many rows': () => 'rows:>49000',
  'slow ones today': () => 'duration:>10s since:24h',
  'failed logins': (random) => `action:auth.failed ip:203.0.113.${Math.floor(random() * 250)}`,
  'not the services': () => 'verb:DELETE -actor:svc-*',
  'one or the other': (random) =>
    `(actor:${pick(random, PEOPLE)} OR ip:10.2.3.${Math.floor(random() * 50)}) verb:UPDATE`,
  'nothing at all': () => 'table:no_such_table verb:DROP',
}
