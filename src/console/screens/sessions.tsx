/** Sessions: those that are open, as they come and go, and all before them. */
import type { JSX, TargetedSubmitEvent } from 'preact'
import { useCallback, useEffect, useState } from 'preact/hooks'
import type { LiveSession, SessionRow, SessionsAnswer } from '../../http/api.ts'
import { ask, me, type ProblemFacts } from '../client.ts'
import { ago, flat, moment, number, span } from '../format.ts'
import { subscribe } from '../live.ts'
import { Dialog } from '../parts/dialog.tsx'
import { ProblemNote, problemFacts } from '../parts/load.tsx'
import { QueryBar } from '../parts/query-bar.tsx'
import { Empty, Protocol, Recorded, Time } from '../parts/small.tsx'
import { type Column, VirtualList } from '../parts/virtual-list.tsx'
import { go, href, place } from '../router.ts'

const PAGE = 200

const COLUMNS: readonly Column<SessionRow>[] = [
  { name: '', width: '2.6rem', cell: ({ protocol }) => <Protocol name={protocol} /> },
  { name: 'Start (UTC)', width: '10.5rem', cell: ({ opened }) => <Time micros={opened} /> },
  { name: 'Who', width: 'minmax(5rem, 9rem)', cell: ({ actor }) => <Recorded text={actor} /> },
  {
    name: 'Target',
    width: 'minmax(5rem, 10rem)',
    cell: ({ target, sensitive }) => (
      <>
        {target}
        {sensitive && (
          <span class="flag" title="opened for a reason only">
            {' '}
            ⚑
          </span>
        )}
      </>
    ),
  },
  {
    name: 'Role',
    width: 'minmax(4rem, 9rem)',
    cell: ({ roles = [] }) => <Recorded text={roles.join(', ')} />,
  },
  { name: 'Client', width: 'minmax(5rem, 1fr)', cell: ({ client }) => <Recorded text={client} /> },
  {
    name: 'Length',
    width: '6rem',
    end: true,
    cell: ({ opened, closed }) =>
      closed === undefined ? <span class="running">● open</span> : span(closed - opened),
  },
  { name: 'Done', width: '4.5rem', end: true, cell: ({ operations }) => number(operations) },
  {
    name: 'Errors',
    width: '4.5rem',
    end: true,
    cell: ({ errors }) => (errors === 0 ? '' : <span class="outcome error">✕ {number(errors)}</span>),
  },
  {
    name: 'Denied',
    width: '4.5rem',
    end: true,
    cell: ({ denied }) => (denied === 0 ? '' : <span class="outcome denied">⊘ {number(denied)}</span>),
  },
  { name: 'End', width: '5rem', cell: ({ why }) => <span class="quiet">{why}</span> },
]

export function SessionsScreen(): JSX.Element {
  const query = place.value.query.get('q') ?? ''
  const [live, setLive] = useState<readonly LiveSession[]>()
  const [problem, setProblem] = useState<ProblemFacts>()
  useEffect(
    () =>
      subscribe(
        () => ({ type: 'sessions' }),
        (said) => {
          if (said.type === 'sessions') setLive(said.sessions)
          else if (said.type === 'problem') setProblem(said.error)
        },
      ),
    [],
  )
  return (
    <div class="sessions-screen">
      <h1>{me.value?.sees.others === true ? 'Sessions' : 'My sessions'}</h1>
      {problem !== undefined && <ProblemNote facts={problem} />}
      <LiveTable live={live} />
      <h2>All, newest first</h2>
      <Past query={query} />
    </div>
  )
}

function LiveTable({ live }: { readonly live: readonly LiveSession[] | undefined }): JSX.Element {
  const [ending, setEnding] = useState<LiveSession>()
  return (
    <section aria-labelledby="live-title">
      <h2 id="live-title">
        Open now <span class="count">{live?.length ?? ''}</span>
      </h2>
      <div class="live-table" role="region" aria-live="polite" aria-label="Open sessions">
        {live !== undefined && live.length === 0 && <Empty>Nobody is connected.</Empty>}
        {live !== undefined && live.length > 0 && (
          <table class="plain">
            <thead>
              <tr>
                <th aria-label="Protocol" />
                <th>Since</th>
                <th>Who</th>
                <th>Target</th>
                <th>Role</th>
                <th>From</th>
                <th>Now</th>
                <th class="end">
                  <span class="unseen">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {live.map((session) => (
                <LiveRow key={session.session} live={session} onEnd={() => setEnding(session)} />
              ))}
            </tbody>
          </table>
        )}
      </div>
      {ending !== undefined && <EndDialog live={ending} onClose={() => setEnding(undefined)} />}
    </section>
  )
}

function LiveRow({ live, onEnd }: { readonly live: LiveSession; readonly onEnd: () => void }): JSX.Element {
  const { session, protocol, since, user, target, roles, address, idle, mayEnd } = live
  return (
    <tr data-session={session}>
      <td>
        <span class="dot" aria-hidden="true" /> <Protocol name={protocol} />
      </td>
      <td title={moment(since * 1000)}>{ago(since * 1000)}</td>
      <td>
        <bdi class="recorded">{flat(user)}</bdi>
      </td>
      <td>{target}</td>
      <td>{roles.join(', ')}</td>
      <td class="quiet">{address}</td>
      <td>{idle ? <span class="quiet">idle</span> : <span class="running">at work</span>}</td>
      <td class="end actions">
        <a class="button" href={href(`/sessions/${session}`)}>
          Watch
        </a>
        {mayEnd && (
          <button type="button" class="danger" onClick={onEnd}>
            End
          </button>
        )}
      </td>
    </tr>
  )
}

export function EndDialog({
  live,
  onClose,
}: {
  readonly live: Pick<LiveSession, 'session' | 'user' | 'target'>
  readonly onClose: () => void
}): JSX.Element {
  const [problem, setProblem] = useState<ProblemFacts>()
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const reason = String(new FormData(event.currentTarget).get('reason')).trim()
    const body = reason === '' ? {} : { reason }
    ask(`/live/${live.session}/end`, { body }).then(onClose, (error: unknown) =>
      setProblem(problemFacts(error)),
    )
  }
  return (
    <Dialog title={`End the session of ${flat(live.user)} at ${live.target}?`} onClose={onClose}>
      <form onSubmit={submit}>
        <p>What runs there is cut off. The person is told who ended it, and why.</p>
        <label>
          Reason, told to the person and recorded
          <input name="reason" maxLength={1000} />
        </label>
        {problem !== undefined && <ProblemNote facts={problem} />}
        <p class="actions end">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button type="submit" class="danger">
            End the session
          </button>
        </p>
      </form>
    </Dialog>
  )
}

/** Sessions open and end in bursts; the list is looked at again this long after the first of them. */
const LOOK_AGAIN_MS = 300

interface Listed {
  readonly query: string
  readonly sessions: readonly SessionRow[]
  readonly next: number | undefined
}

/** The newest page again, and behind it what was there before; of another search nothing was. */
function renewed(query: string, page: SessionsAnswer, before: Listed | undefined): Listed {
  if (before?.query !== query) return { query, sessions: page.sessions, next: page.next }
  const known = new Set(page.sessions.map(({ session }) => session))
  const rest = before.sessions.filter(({ session }) => !known.has(session))
  return { ...before, sessions: [...page.sessions, ...rest] }
}

function Past({ query }: { readonly query: string }): JSX.Element {
  const [listed, setListed] = useState<Listed>()
  const [round, setRound] = useState(0)
  const [problem, setProblem] = useState<ProblemFacts>()
  const [loading, setLoading] = useState(false)
  useEffect(() => {
    const cancel = new AbortController()
    ask<SessionsAnswer>('/sessions', { query: { q: query, limit: PAGE }, signal: cancel.signal }).then(
      (page) => {
        setListed((before) => renewed(query, page, before))
        setProblem(undefined)
      },
      (error: unknown) => !cancel.signal.aborted && setProblem(problemFacts(error)),
    )
    return () => cancel.abort()
  }, [query, round])
  const newest = listed?.sessions[0]?.seq
  // From the newest one, so that nothing is missed that the index did not have yet.
  useEffect(() => {
    let again: ReturnType<typeof setTimeout> | undefined
    const stop = subscribe(
      () => ({
        type: 'follow',
        query: 'action:session.*',
        ...(newest === undefined ? {} : { from: newest + 1 }),
      }),
      (said) => {
        if (said.type === 'rows') again ??= setTimeout(() => setRound((before) => before + 1), LOOK_AGAIN_MS)
      },
    )
    return () => {
      clearTimeout(again)
      stop()
    }
  }, [newest])
  const next = listed?.next
  const loadMore = useCallback(() => {
    if (next === undefined || loading) return
    setLoading(true)
    ask<SessionsAnswer>('/sessions', { query: { q: query, limit: PAGE, cursor: next } })
      .then(
        (page) =>
          setListed((before) =>
            before?.query === query
              ? { query, sessions: [...before.sessions, ...page.sessions], next: page.next }
              : before,
          ),
        (error: unknown) => setProblem(problemFacts(error)),
      )
      .finally(() => setLoading(false))
  }, [query, next, loading])
  const sessions = listed?.sessions
  const bad = problem?.code === 'bad-query'
  return (
    <>
      <QueryBar
        query={query}
        problem={bad ? problem : undefined}
        onQuery={(q) => go(href('/sessions', { q }))}
      />
      {problem !== undefined && !bad && <ProblemNote facts={problem} />}
      {sessions !== undefined && sessions.length === 0 && <Empty>No session fits this.</Empty>}
      {sessions !== undefined && sessions.length > 0 && (
        <VirtualList
          label="Sessions"
          rows={sessions.filter(({ protocol }) => protocol !== 'gateway')}
          columns={COLUMNS}
          keyOf={({ session }) => session}
          onOpen={({ session }) => go(href(`/sessions/${session}`))}
          onEnd={loadMore}
          rowClass={({ closed }) => (closed === undefined ? 'open' : '')}
        />
      )}
    </>
  )
}
