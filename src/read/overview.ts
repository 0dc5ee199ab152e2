/** What has happened lately, in numbers, and what somebody should look at. */
import type { Database } from 'better-sqlite3-multiple-ciphers'
import type { OverviewAnswer, Row } from './answers.ts'
import { PLACES } from './derive.ts'
import type { Asker, OverviewQuestion } from './questions.ts'
import type { Rows } from './rows.ts'
import { scopeOf } from './search/compile.ts'
import { OUTCOMES, PROTOCOLS } from './search/keys.ts'
import type { Lookup } from './search/lookup.ts'
import type { Searching } from './searching.ts'
import { Sight } from './sight.ts'

const BARS = 96
const ATTENTION_ROWS = 20
const TOP = 8

/** In the search language, so that a click shows the same. */
export const ATTENTION =
  '(status:denied OR action:auth.failed OR action:gateway.gap OR action:gateway.suspend OR action:gateway.alert OR status:unknown)'

export interface OverviewParts {
  readonly index: Database
  readonly rows: Rows
  readonly searching: Searching
  readonly lookup: Lookup
  readonly now: () => number
  readonly sizes: () => { readonly size: number; readonly indexed: number }
}

export function overview({ micros }: OverviewQuestion, asker: Asker, parts: OverviewParts): OverviewAnswer {
  const { index, lookup } = parts
  const from = parts.now() - micros
  const since = `ts:${new Date(Math.floor(from / 1000)).toISOString().slice(0, 19)}..`
  const { facets, histogram } = parts.searching.summary(
    {
      type: 'summary',
      query: `${since} action:db.*,ssh.*,sftp.*`,
      facets: ['actor', 'target', 'verb', 'status'],
      bars: BARS,
    },
    asker,
  )
  const status = (name: string): number => facets.status?.find(({ value }) => value === name)?.count ?? 0
  const scope = scopeOf(asker.rights, asker.sub, false, lookup)
  const seen = scope === undefined ? '1' : scope.sql
  const first = lookup.placeOf(from)
  const sums = index
    .prepare(
      `SELECT count(*) AS operations, ifnull(sum(e.rows), 0) AS rows FROM entry e
       WHERE e.id >= ${first} AND e.op IS NOT NULL AND e.flags & 4 = 0 AND e.out IS NOT 0 AND ${seen}`,
    )
    .get() as { operations: number; rows: number }
  const sessions = index
    .prepare(
      `SELECT sum(s.seq >= ${Math.floor(first / PLACES)}) AS sessions, sum(s.closed IS NULL) AS open FROM session s
       WHERE (s.closed IS NULL OR s.closed >= ${from}) AND s.proto <> ${PROTOCOLS.indexOf('gateway')} AND ${seen.replaceAll('e.', 's.')}`,
    )
    .get() as { sessions: number | null; open: number | null }
  const failed = parts.searching.ids(`${since} action:auth.failed`, asker, { rows: 10_000 }, 'DESC')
  const attention: Row[] = parts.rows.shown(
    parts.searching.ids(`${since} ${ATTENTION}`, asker, { rows: ATTENTION_ROWS }, 'DESC'),
    new Sight(asker),
  )
  const { size, indexed } = parts.sizes()
  return {
    size,
    behind: size - indexed,
    from,
    sessions: sessions.sessions ?? 0,
    open: sessions.open ?? 0,
    operations: sums.operations,
    errors: OUTCOMES.filter((name) => ['error', 'aborted', 'unknown'].includes(name)).reduce(
      (sum, name) => sum + status(name),
      0,
    ),
    denied: status('denied'),
    failedLogins: failed.length,
    rows: sums.rows,
    histogram: histogram ?? { from, barMicros: micros, counts: [] },
    actors: (facets.actor ?? []).slice(0, TOP),
    targets: (facets.target ?? []).slice(0, TOP),
    verbs: (facets.verb ?? []).slice(0, TOP),
    attention,
  }
}
