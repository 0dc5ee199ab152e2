/** One session from its opening to its end: as a timeline of statements, or as a terminal that is played again. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Row, SessionAnswer, SessionRow, TimelineAnswer } from '../../http/api.ts'
import { address, ask } from '../client.ts'
import { flat, number, plural, span } from '../format.ts'
import { subscribe } from '../live.ts'
import { Show, useLoad } from '../parts/load.tsx'
import { termOf } from '../parts/query-text.ts'
import { Copy, Protocol, Time } from '../parts/small.tsx'
import { go, href, place, steps } from '../router.ts'
import { EndDialog } from './sessions.tsx'
import { TerminalReplay } from './terminal-replay.tsx'
import { Timeline } from './timeline.tsx'

/** Rows of one session that are shown; what is behind them is found by searching. */
const ROWS_MAX = 20_000
const PAGE = 1000

/** New rows come in bursts; the whole is looked at again this long after the first of them. */
const LOOK_AGAIN_MS = 400

interface Whole {
  readonly answer: SessionAnswer
  readonly rows: readonly Row[]
  /** Behind the last of these: the index may be behind the book, and what it gets then must not be missed. */
  readonly from: number
}

export function SessionScreen(): JSX.Element {
  const session = steps.value[1] ?? ''
  const [reason, setReason] = useState<string>()
  const [round, setRound] = useState(0)
  const loaded = useLoad(`${session} ${reason ?? ''} ${round}`, (signal) => whole(session, reason, signal))
  const from = loaded.value?.answer.session.closed === undefined ? loaded.value?.from : undefined
  // Of an open session every new row may change the whole: its end, its recordings.
  useEffect(() => {
    if (from === undefined) return undefined
    let again: ReturnType<typeof setTimeout> | undefined
    const stop = subscribe(
      () => ({ type: 'follow', query: termOf('session', session), from }),
      (said) => {
        if (said.type === 'rows') again ??= setTimeout(() => setRound((before) => before + 1), LOOK_AGAIN_MS)
      },
    )
    return () => {
      clearTimeout(again)
      stop()
    }
  }, [from, session])
  return (
    <div class="session-screen">
      <Show of={loaded} onReason={setReason}>
        {(shown) => <SessionShown key={session} whole={shown} reason={reason} onReason={setReason} />}
      </Show>
    </div>
  )
}

/** The rows first: what ends the session meanwhile is then in the rest, or behind them. */
async function whole(session: string, reason: string | undefined, signal: AbortSignal): Promise<Whole> {
  const rows: Row[] = []
  let cursor: number | undefined
  do {
    const page: TimelineAnswer = await ask(`/sessions/${session}/timeline`, {
      query: { cursor, limit: PAGE },
      reason,
      signal,
    })
    rows.push(...page.rows)
    cursor = page.next
  } while (cursor !== undefined && rows.length < ROWS_MAX)
  return {
    answer: await ask<SessionAnswer>(`/sessions/${session}`, { reason, signal }),
    rows,
    from: (rows.at(-1)?.seq ?? -1) + 1,
  }
}

interface ShownProps {
  readonly whole: Whole
  readonly reason: string | undefined
  readonly onReason: (reason: string) => void
}

function SessionShown({ whole: { answer, rows }, reason, onReason }: ShownProps): JSX.Element {
  const { session, recordings } = answer
  const terminals = recordings.filter(({ stream }) => stream === 'tty')
  const open = place.value.query.get('record') ?? undefined
  return (
    <>
      <Head session={session} reason={reason} />
      {terminals.length > 0 && (
        <TerminalReplay session={session} recordings={terminals} reason={reason} onReason={onReason} />
      )}
      <Timeline
        session={session}
        rows={rows}
        open={open}
        reason={reason}
        onReason={onReason}
        onOpen={(record) => {
          const { record: before, ...rest } = Object.fromEntries(place.peek().query)
          go(href(place.peek().path, before === record ? rest : { ...rest, record }), true)
        }}
      />
    </>
  )
}

function Head({
  session,
  reason,
}: {
  readonly session: SessionRow
  readonly reason: string | undefined
}): JSX.Element {
  const [ending, setEnding] = useState(false)
  const {
    actor = '',
    target = '',
    protocol,
    opened,
    closed,
    why,
    roles = [],
    client,
    address: from,
  } = session
  const command = session.terminal
    ? `gatebook sessions play ${session.session}`
    : `gatebook sessions show ${session.session}`
  return (
    <header class="session-head">
      <a href="/sessions" class="quiet" aria-label="All sessions">
        ‹ Sessions
      </a>
      <h1>
        <Protocol name={protocol} /> <bdi class="recorded">{flat(actor)}</bdi> <span class="quiet">→</span>{' '}
        {target}
      </h1>
      <p class="session-facts">
        <Time micros={opened} /> –{' '}
        {closed === undefined ? <span class="running">● open</span> : <Time micros={closed} form="time" />}
        {closed !== undefined && <> · {span(closed - opened)}</>}
        {why !== undefined && <> · ended: {why}</>}
        {roles.length > 0 && <> · role {roles.join(', ')}</>}
        {client !== undefined && (
          <>
            {' '}
            · <bdi class="recorded">{flat(client)}</bdi>
          </>
        )}
        {from !== undefined && <> · from {from}</>} · {number(session.operations)} done
        {session.errors > 0 && <> · {plural(session.errors, 'error')}</>}
        {session.denied > 0 && <> · {number(session.denied)} denied</>}
        {reason !== undefined && (
          <>
            {' '}
            · opened for: <bdi>{flat(reason)}</bdi>
          </>
        )}
      </p>
      <span class="actions">
        {closed === undefined && (
          <button type="button" class="danger" onClick={() => setEnding(true)}>
            End session
          </button>
        )}
        <Copy text={location.href} label="Copy link" />
        <Copy text={command} label="Copy as command" />
        <a class="button" href={href('/search', { q: termOf('session', session.session) })}>
          Search in it
        </a>
        <a class="button" href={address(`/sessions/${session.session}/evidence`)} download>
          Evidence
        </a>
      </span>
      {ending && (
        <EndDialog
          live={{ session: session.session, user: actor, target }}
          onClose={() => setEnding(false)}
        />
      )}
    </header>
  )
}
