/** One record with all that may be shown of it: what was run, what came of it, and how it stands in the book. */
import type { JSX } from 'preact'
import type { RecordAnswer, Row } from '../../http/api.ts'
import { address, ask } from '../client.ts'
import { bytes, flat, plural, span } from '../format.ts'
import { href } from '../router.ts'
import { Show, useLoad } from './load.tsx'
import { termOf } from './query-text.ts'
import { Copy, Outcome, RecordedBlock, Time } from './small.tsx'

interface RecordPanelProps {
  readonly record: string
  readonly reason?: string | undefined
  readonly onReason?: (reason: string) => void
}

export function RecordPanel({ record, reason, onReason }: RecordPanelProps): JSX.Element {
  const loaded = useLoad(`${record} ${reason ?? ''}`, (signal) =>
    ask<RecordAnswer>(`/records/${record}`, { reason, signal }),
  )
  return (
    <section class="panel record" aria-label={`Record ${record}`}>
      <Show of={loaded} {...(onReason === undefined ? {} : { onReason })}>
        {(answer) => <RecordShown answer={answer} record={record} />}
      </Show>
    </section>
  )
}

const STATUS: Readonly<Record<RecordAnswer['status'], readonly [string, string]>> = {
  found: ['good', '✓ The hash in the link is that of the record.'],
  differs: ['bad', '✕ The hash in the link is NOT that of this record: one of them was changed.'],
  none: ['bad', '✕ There is no such record in the book, or none that you may know of.'],
  pending: ['', '… There is no such record in the book yet. If it was just made, look again in a second.'],
}

export function RecordShown({
  answer,
  record,
}: {
  readonly answer: RecordAnswer
  readonly record: string
}): JSX.Element {
  const { status, row, leaf, end, payloads = [] } = answer
  const [tone, words] = STATUS[status]
  return (
    <>
      <header class="record-head">
        <h2>
          Record <code>{row?.record ?? record}</code>
        </h2>
        {row !== undefined && (
          <span class="actions">
            <Copy text={`${location.origin}/r/${row.record}`} label="Copy link" />
            <a class="button" href={address(`/records/${row.record}/proof`)} download>
              Proof
            </a>
          </span>
        )}
      </header>
      {(status !== 'found' || /-/.test(record)) && (
        <p class={status === 'found' ? 'holds' : `verdict ${tone}`} role="status">
          {words}
        </p>
      )}
      {row !== undefined && <RowFacts row={row} />}
      {payloads.map(({ type, text, bytes: size, withheld }, i) => (
        <section key={i} class="payload">
          <h3>
            {PAYLOADS[type] ?? type} <span class="quiet">{bytes(size)}</span>
            {text !== undefined && <Copy text={text} />}
          </h3>
          {text === undefined ? (
            <p class="withheld">{withheld === 'erased' ? 'erased' : 'not yours to see'}</p>
          ) : (
            <RecordedBlock text={pretty(type, text)} label={PAYLOADS[type] ?? type} />
          )}
        </section>
      ))}
      {leaf !== undefined && (
        <details>
          <summary>The record as it was hashed</summary>
          <RecordedBlock text={leaf} label="Leaf" />
          {end !== undefined && <RecordedBlock text={end.leaf} label="Leaf of its outcome" />}
        </details>
      )}
    </>
  )
}

/** Names of FORMAT.md's payload types. */
const PAYLOADS: Readonly<Record<string, string>> = {
  who: 'Who',
  sql: 'Statement',
  args: 'Parameters',
  cmd: 'Command',
  path: 'Path',
  addr: 'Address',
  msg: 'Message',
  conf: 'Configuration',
  note: 'Note',
  res: 'Result',
  meta: 'Details',
}

const JSON_TYPES = new Set(['who', 'args', 'note', 'res', 'meta', 'conf'])

function pretty(type: string, text: string): string {
  if (!JSON_TYPES.has(type)) return text
  try {
    return JSON.stringify(JSON.parse(text), null, 1)
  } catch {
    return text
  }
}

function RowFacts({ row }: { readonly row: Row }): JSX.Element {
  const { actor, target, session, verbs = [], tables = [], shape } = row
  return (
    <dl class="facts">
      <dt>When</dt>
      <dd>
        <Time micros={row.ts} />
      </dd>
      {actor !== undefined && <Fact name="Who" term="actor" value={actor} />}
      {target !== undefined && <Fact name="Target" term="target" value={target} />}
      <dt>What</dt>
      <dd>{row.action}</dd>
      {row.kind !== 'session.open' && row.outcome !== undefined && (
        <>
          <dt>Outcome</dt>
          <dd>
            <Outcome outcome={row.outcome} code={row.code} />
            {row.rows !== undefined && ` · ${plural(row.rows, 'row')}`}
            {row.bytes !== undefined && ` · ${bytes(row.bytes)}`}
            {row.duration !== undefined && ` · ${span(row.duration)}`}
          </dd>
        </>
      )}
      {row.rule !== undefined && (
        <>
          <dt>{row.outcome === 'denied' ? 'Refused by' : 'Allowed by'}</dt>
          <dd>{row.rule}</dd>
        </>
      )}
      {row.why !== undefined && (
        <>
          <dt>Why</dt>
          <dd>
            <bdi>{flat(row.why)}</bdi>
          </dd>
        </>
      )}
      {row.database !== undefined && <Fact name="Database" term="db" value={row.database} />}
      {verbs.map((verb) => (
        <Fact key={verb} name="Verb" term="verb" value={verb} />
      ))}
      {tables.map((table) => (
        <Fact key={table} name="Table" term="table" value={table} />
      ))}
      {row.address !== undefined && <Fact name="From" term="ip" value={row.address} />}
      {session !== undefined && (
        <>
          <dt>Session</dt>
          <dd>
            <a href={href(`/sessions/${session}`, { record: row.record })}>{session}</a>
          </dd>
        </>
      )}
      {shape !== undefined && (
        <>
          <dt>Same shape</dt>
          <dd>
            <a href={href('/search', { q: termOf('fp', shape) })}>everything like it →</a>
          </dd>
        </>
      )}
    </dl>
  )
}

/** A value, and the search for all that has it. */
function Fact({
  name,
  term,
  value,
}: {
  readonly name: string
  readonly term: string
  readonly value: string
}): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <a class="recorded" href={href('/search', { q: termOf(term, value) })}>
          <bdi>{flat(value)}</bdi>
        </a>
      </dd>
    </>
  )
}
