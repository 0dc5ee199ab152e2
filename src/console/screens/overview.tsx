/** What happened lately, and what somebody should look at. Every figure leads to the search behind it. */
import type { JSX } from 'preact'
import type { FacetValue, OverviewAnswer, Row } from '../../http/api.ts'
import { ask } from '../client.ts'
import { flat, number } from '../format.ts'
import { Histogram } from '../parts/histogram.tsx'
import { Show, useLoad } from '../parts/load.tsx'
import { termOf } from '../parts/query-text.ts'
import { Empty, Outcome, Recorded, Time } from '../parts/small.tsx'
import { go, href, place } from '../router.ts'

const RANGES: readonly (readonly [string, number])[] = [
  ['1 h', 1],
  ['24 h', 24],
  ['7 d', 168],
  ['30 d', 720],
]

export function OverviewScreen(): JSX.Element {
  const hours = Number(place.value.query.get('hours') ?? 24) || 24
  const loaded = useLoad(`${hours}`, (signal) =>
    ask<OverviewAnswer>('/overview', { query: { hours }, signal }),
  )
  return (
    <div class="overview">
      <div class="title-line">
        <h1>Overview</h1>
        <span role="group" aria-label="Range" class="segments">
          {RANGES.map(([name, value]) => (
            <button
              key={name}
              type="button"
              aria-pressed={hours === value}
              onClick={() => go(href('/', { hours: String(value) }))}
            >
              {name}
            </button>
          ))}
        </span>
      </div>
      <Show of={loaded}>{(overview) => <Shown overview={overview} since={`since:${hours}h`} />}</Show>
    </div>
  )
}

function Shown({
  overview,
  since,
}: {
  readonly overview: OverviewAnswer
  readonly since: string
}): JSX.Element {
  const { sessions, open, operations, rows, denied, errors, failedLogins, histogram } = overview
  const search = (query: string): string => href('/search', { q: `${query} ${since}`.trim() })
  return (
    <>
      <div class="figures">
        <Figure name="Open now" count={open} to="/sessions" />
        <Figure name="Sessions" count={sessions} to={href('/sessions', { q: since })} />
        <Figure name="Statements and commands" count={operations} to={search('')} />
        <Figure name="Rows" count={rows} to={search('rows:>0')} />
        <Figure name="Errors" count={errors} to={search('status:error')} tone="warn" />
        <Figure name="Denied" count={denied} to={search('status:denied')} tone="bad" />
        <Figure name="Failed logins" count={failedLogins} to={search('action:auth.failed')} tone="bad" />
      </div>
      <section class="panel">
        <h2>Over time</h2>
        <Histogram
          counts={histogram}
          label="Statements and commands over time"
          onRange={(from, to) => {
            const iso = (micros: number): string =>
              new Date(Math.floor(micros / 1000)).toISOString().replace(/\.\d+Z$/, 'Z')
            go(href('/search', { q: `ts:${iso(from)}..${iso(to)}` }))
          }}
        />
      </section>
      <div class="panels">
        <Top title="People" term="actor" values={overview.actors} search={search} />
        <Top title="Targets" term="target" values={overview.targets} search={search} />
        <Top title="Verbs" term="verb" values={overview.verbs} search={search} />
        <Attention rows={overview.attention} />
      </div>
    </>
  )
}

interface FigureProps {
  readonly name: string
  readonly count: number
  readonly to: string
  readonly tone?: 'warn' | 'bad'
}

function Figure({ name, count, to, tone }: FigureProps): JSX.Element {
  return (
    <a class={`figure ${count > 0 ? (tone ?? '') : ''}`} href={to}>
      <b>{number(count)}</b>
      <span>{name}</span>
    </a>
  )
}

interface TopProps {
  readonly title: string
  readonly term: string
  readonly values: readonly FacetValue[]
  readonly search: (query: string) => string
}

function Top({ title, term, values, search }: TopProps): JSX.Element {
  const most = Math.max(1, ...values.map(({ count }) => count))
  return (
    <section class="panel">
      <h2>{title}</h2>
      {values.length === 0 && <Empty>Nothing yet.</Empty>}
      <ul class="top">
        {values.slice(0, 8).map(({ value, count }) => (
          <li key={value}>
            <a href={search(termOf(term, value))}>
              <bdi class="recorded">{flat(value)}</bdi>
              <span class="quiet">{number(count)}</span>
              <meter min={0} max={most} value={count} aria-hidden="true" />
            </a>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Attention({ rows }: { readonly rows: readonly Row[] }): JSX.Element {
  return (
    <section class="panel attention">
      <h2>Needs attention</h2>
      {rows.length === 0 && <Empty>Nothing was refused, nothing failed.</Empty>}
      <ul>
        {rows.map(({ id, ts, actor, target, action, text, why, outcome, code, record, withheld }) => (
          <li key={id}>
            <a href={href(`/r/${record}`)}>
              <span class="attention-head">
                <Outcome outcome={outcome ?? 'unknown'} code={code} /> <b>{action}</b>{' '}
                <bdi class="recorded">{flat(actor ?? '')}</bdi>
                {target !== undefined && <> → {target}</>}
                <span class="quiet">
                  {' '}
                  <Time micros={ts} form="ago" />
                </span>
              </span>
              <Recorded
                text={text ?? why}
                withheld={text === undefined && why === undefined ? withheld : undefined}
              />
            </a>
          </li>
        ))}
      </ul>
    </section>
  )
}
