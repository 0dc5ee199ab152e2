/** What comes from the API: while it is on its way, when it is there, and when it was refused. */
import type { ComponentChildren, JSX, TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Problem, type ProblemFacts } from '../client.ts'

export interface Loaded<T> {
  readonly value: T | undefined
  readonly problem: ProblemFacts | undefined
  readonly busy: boolean
  readonly reload: () => void
}

export function problemFacts(error: unknown): ProblemFacts {
  return error instanceof Problem ? error.facts : { code: 'fault', what: `The page failed: ${String(error)}` }
}

/** Loads again whenever `key` changes; what was asked for before is no longer waited for. */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; value?: T; problem?: ProblemFacts }>({ key: '' })
  const [round, setRound] = useState(0)
  const latest = useRef(load)
  latest.current = load
  // The key stands for all that the load depends on.
  useEffect(() => {
    const cancel = new AbortController()
    latest.current(cancel.signal).then(
      (value) => !cancel.signal.aborted && setState({ key, value }),
      (error: unknown) => !cancel.signal.aborted && setState({ key, problem: problemFacts(error) }),
    )
    return () => cancel.abort()
  }, [key, round])
  const current = state.key === key
  return {
    value: state.value,
    problem: current ? state.problem : undefined,
    busy: !current,
    reload: () => setRound(round + 1),
  }
}

export function ProblemNote({ facts }: { readonly facts: ProblemFacts }): JSX.Element {
  const { what, why, next, record } = facts
  return (
    <div class="problem" role="alert">
      <strong>{what}</strong>
      {why !== undefined && <p>{why}</p>}
      {next !== undefined && <p>{next}</p>}
      {record !== undefined && (
        <p class="quiet">
          Record <code>{record}</code>
        </p>
      )}
    </div>
  )
}

interface ReasonFormProps {
  readonly facts: ProblemFacts
  readonly onReason: (reason: string) => void
}

/** What is sensitive is opened for a reason, which stands in the book beside the look. */
export function ReasonForm({ facts, onReason }: ReasonFormProps): JSX.Element {
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const reason = String(new FormData(event.currentTarget).get('reason')).trim()
    if (reason !== '') onReason(reason)
  }
  return (
    <form class="problem reason" onSubmit={submit}>
      <strong>{facts.what}</strong>
      <p>{facts.next}</p>
      <label>
        Reason
        <input name="reason" maxLength={500} required placeholder="INC-2026-014: who changed the prices?" />
      </label>
      <button type="submit" class="primary">
        Open it
      </button>
    </form>
  )
}

interface ShowProps<T> {
  readonly of: Loaded<T>
  readonly onReason?: (reason: string) => void
  readonly children: (value: T) => ComponentChildren
}

/** The value, or what stands in its place. An older value stays while the next is on its way. */
export function Show<T>({ of: { value, problem, busy }, onReason, children }: ShowProps<T>): JSX.Element {
  if (problem?.code === 'reason-needed' && onReason !== undefined)
    return <ReasonForm facts={problem} onReason={onReason} />
  if (problem !== undefined) return <ProblemNote facts={problem} />
  if (value === undefined)
    return (
      <div class="waiting" role="status">
        Loading…
      </div>
    )
  return (
    <div class={busy ? 'stale' : ''} aria-busy={busy}>
      {children(value)}
    </div>
  )
}
