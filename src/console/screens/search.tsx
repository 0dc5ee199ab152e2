/** Search: the query in the address, its terms, what is found as a list and as counts, and new rows as they come. */
import type { JSX } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { FacetKey, FacetValue, Row, SearchAnswer, SummaryAnswer } from '../../http/api.ts'
import { ask, type ProblemFacts } from '../client.ts'
import { flat, number, span } from '../format.ts'
import { subscribe } from '../live.ts'
import { Histogram } from '../parts/histogram.tsx'
import { ProblemNote, problemFacts, useLoad } from '../parts/load.tsx'
import { QueryBar } from '../parts/query-bar.tsx'
import { asCommand, termOf, valueIn, withOnly, withTerm } from '../parts/query-text.ts'
import { RecordPanel } from '../parts/record-panel.tsx'
import { Copy, Empty, Outcome, Recorded, Time } from '../parts/small.tsx'
import { type Column, VirtualList } from '../parts/virtual-list.tsx'
import { go, href, place } from '../router.ts'

const PAGE = 200
const BARS = 90
const FACETS: readonly (readonly [FacetKey, string])[] = [
  ['actor', 'Who'],
  ['target', 'Target'],
  ['verb', 'Verb'],
  ['table', 'Table'],
  ['status', 'Outcome'],
  ['action', 'What'],
  ['ip', 'From'],
]
const RANGES: readonly (readonly [string, string | undefined])[] = [
  ['1 h', '1h'],
  ['24 h', '24h'],
  ['7 d', '7d'],
  ['30 d', '30d'],
  ['All', undefined],
]

/** What is opened beside the list says the rest. */
const COLUMNS: readonly (Column<Row> & { readonly extra?: boolean })[] = [
  { name: 'Time (UTC)', width: '10.5rem', cell: ({ ts }) => <Time micros={ts} /> },
  { name: 'Who', width: 'minmax(4rem, 8rem)', cell: ({ actor }) => <Recorded text={actor} /> },
  { name: 'Target', width: 'minmax(4rem, 8rem)', cell: ({ target }) => target ?? '' },
  { name: 'What', width: 'minmax(8rem, 1fr)', cell: (row) => <What row={row} /> },
  {
    name: 'Outcome',
    width: '7.5rem',
    cell: ({ outcome, code, kind }) =>
      kind.startsWith('op') || outcome !== undefined ? <Outcome outcome={outcome} code={code} /> : '',
  },
  {
    name: 'Rows',
    extra: true,
    width: '4rem',
    end: true,
    cell: ({ rows }) => (rows === undefined ? '' : number(rows)),
  },
  {
    name: 'Took',
    extra: true,
    width: '4.5rem',
    end: true,
    cell: ({ duration }) => (duration === undefined ? '' : span(duration)),
  },
  { name: 'Record', extra: true, width: '9rem', cell: ({ record }) => <code class="quiet">{record}</code> },
]

/** Statements and commands speak for themselves; of all else it is said what it is. */
function What({ row: { kind, action, text, withheld, why } }: { readonly row: Row }): JSX.Element {
  const speaks = /^(op|command|decision)/.test(kind) && ((text ?? '') !== '' || withheld !== undefined)
  if (speaks) return <Recorded text={text} withheld={withheld} />
  return (
    <>
      <span class="quiet">{action}</span> <Recorded text={text ?? why} withheld={withheld} />
    </>
  )
}

export function SearchScreen(): JSX.Element {
  const query = place.value.query.get('q') ?? ''
  const open = place.value.query.get('record') ?? undefined
  const setQuery = (next: string): void => go(href('/search', { q: next }))
  const summary = useLoad(query, (signal) =>
    ask<SummaryAnswer>('/summary', {
      query: { q: query, facets: FACETS.map(([key]) => key).join(','), bars: BARS },
      signal,
    }),
  )
  const problem = summary.problem
  const counted = problem === undefined ? summary.value : undefined
  const since = valueIn(query, 'since')
  return (
    <div class="search-screen">
      <h1 class="unseen">Search</h1>
      <QueryBar
        query={query}
        problem={problem?.code === 'bad-query' ? problem : undefined}
        onQuery={setQuery}
      />
      <div class="toolbar">
        <span role="group" aria-label="Range" class="segments">
          {RANGES.map(([name, value]) => (
            <button
              key={name}
              type="button"
              aria-pressed={since === value}
              onClick={() => setQuery(withOnly(withOnly(query, 'ts', undefined), 'since', value))}
            >
              {name}
            </button>
          ))}
        </span>
        <span class="quiet" role="status" aria-live="polite">
          {counted !== undefined && `${number(counted.count)} found`}
        </span>
        <span class="actions">
          <Copy text={asCommand(query)} label="Copy as command" title={asCommand(query)} />
          <Copy text={location.href} label="Copy link" />
        </span>
      </div>
      {problem !== undefined && problem.code !== 'bad-query' && <ProblemNote facts={problem} />}
      {problem === undefined && (
        <>
          {counted?.histogram !== undefined && (
            <Histogram
              counts={counted.histogram}
              label="Found over time"
              onRange={(from, to) =>
                setQuery(withOnly(withOnly(query, 'since', undefined), 'ts', `${iso(from)}..${iso(to)}`))
              }
            />
          )}
          <div class={open === undefined ? 'with-rail' : 'with-rail opened'}>
            <Facets facets={counted?.facets ?? {}} onTerm={(term) => setQuery(withTerm(query, term))} />
            <Results key={query} query={query} total={counted?.count} open={open} />
            {open !== undefined && <RecordPanel record={open} />}
          </div>
        </>
      )}
    </div>
  )
}

function iso(micros: number): string {
  return new Date(Math.floor(micros / 1000)).toISOString().replace(/\.\d+Z$/, 'Z')
}

interface ResultsProps {
  readonly query: string
  readonly total: number | undefined
  readonly open: string | undefined
}

function Results({ query, total, open }: ResultsProps): JSX.Element {
  const { rows, fresh, problem, loadMore, showFresh } = useResults(query)
  const openRow = useCallback(
    ({ record }: Row) =>
      go(href('/search', { q: query, record: record === open ? undefined : record }), true),
    [query, open],
  )
  if (problem !== undefined) return <ProblemNote facts={problem} />
  if (rows === undefined)
    return (
      <div class="waiting" role="status">
        Searching…
      </div>
    )
  return (
    <div class="results">
      {fresh > 0 && (
        <button type="button" class="fresh" onClick={showFresh}>
          {number(fresh)} new ↑
        </button>
      )}
      {rows.length === 0 ? (
        <Empty>Nothing fits this search. Take a term away, or look further back.</Empty>
      ) : (
        <VirtualList
          label="What was found"
          rows={rows}
          columns={open === undefined ? COLUMNS : COLUMNS.filter(({ extra }) => extra !== true)}
          keyOf={({ id }) => id}
          total={total}
          selected={rows.find(({ record }) => record === open)?.id}
          onOpen={openRow}
          onEnd={loadMore}
          rowClass={({ outcome }) => outcome ?? ''}
        />
      )}
    </div>
  )
}

interface Results {
  readonly rows: readonly Row[] | undefined
  /** Rows that came meanwhile and are not shown yet: a list must not move under the hand. */
  readonly fresh: number
  readonly problem: ProblemFacts | undefined
  readonly loadMore: () => void
  readonly showFresh: () => void
}

function useResults(query: string): Results {
  const [rows, setRows] = useState<readonly Row[]>()
  const [fresh, setFresh] = useState<readonly Row[]>([])
  const [next, setNext] = useState<number>()
  const [loading, setLoading] = useState(false)
  const [problem, setProblem] = useState<ProblemFacts>()
  useEffect(() => {
    const cancel = new AbortController()
    let stop: (() => void) | undefined
    ask<SearchAnswer>('/search', { query: { q: query, limit: PAGE }, signal: cancel.signal }).then(
      (page) => {
        if (cancel.signal.aborted) return
        setRows(page.rows)
        setNext(page.next)
        // What the index did not have yet comes by itself.
        let from = page.size - page.behind
        stop = subscribe(
          () => ({ type: 'follow', query, from }),
          (said) => {
            if (said.type !== 'rows') return
            for (const { seq } of said.rows) from = Math.max(from, seq + 1)
            setFresh((before) => [...[...said.rows].reverse(), ...before])
          },
        )
      },
      (error: unknown) => !cancel.signal.aborted && setProblem(problemFacts(error)),
    )
    return () => {
      cancel.abort()
      stop?.()
    }
  }, [query])
  const loadMore = useCallback(() => {
    if (next === undefined || loading) return
    setLoading(true)
    ask<SearchAnswer>('/search', { query: { q: query, limit: PAGE, cursor: next } })
      .then(
        (page) => {
          setRows((before = []) => [...before, ...page.rows])
          setNext(page.next)
        },
        (error: unknown) => setProblem(problemFacts(error)),
      )
      .finally(() => setLoading(false))
  }, [query, next, loading])
  const showFresh = (): void => {
    const known = new Set(rows?.map(({ id }) => id))
    setRows([...fresh.filter(({ id }) => !known.has(id)), ...(rows ?? [])])
    setFresh([])
  }
  return { rows, fresh: fresh.length, problem, loadMore, showFresh }
}

interface FacetsProps {
  readonly facets: SummaryAnswer['facets']
  readonly onTerm: (term: string) => void
}

const VALUES_SHOWN = 8

function Facets({ facets, onTerm }: FacetsProps): JSX.Element {
  return (
    <aside class="facets" aria-label="Narrow the search">
      {FACETS.map(([key, name]) => {
        const values = facets[key] ?? []
        return values.length === 0 ? null : (
          <Facet key={key} name={name} term={key} values={values} onTerm={onTerm} />
        )
      })}
    </aside>
  )
}

interface FacetProps {
  readonly name: string
  readonly term: FacetKey
  readonly values: readonly FacetValue[]
  readonly onTerm: (term: string) => void
}

function Facet({ name, term, values, onTerm }: FacetProps): JSX.Element {
  const [all, setAll] = useState(false)
  const shown = all ? values : values.slice(0, VALUES_SHOWN)
  return (
    <section>
      <h2>{name}</h2>
      <ul>
        {shown.map(({ value, count }) => (
          <li key={value}>
            <button
              type="button"
              class="value"
              onClick={() => onTerm(termOf(term, value))}
              title={`only ${flat(value)}`}
            >
              <bdi class="recorded">{flat(value)}</bdi>
              <span class="quiet">{number(count)}</span>
            </button>
            <button
              type="button"
              class="not"
              aria-label={`Without ${flat(value)}`}
              title="without"
              onClick={() => onTerm(`-${termOf(term, value)}`)}
            >
              −
            </button>
          </li>
        ))}
      </ul>
      {values.length > VALUES_SHOWN && (
        <button type="button" class="link" onClick={() => setAll(!all)}>
          {all ? 'fewer' : `${values.length - VALUES_SHOWN} more`}
        </button>
      )}
    </section>
  )
}
