/** Small things that stand everywhere: recorded text, outcomes, times, copying. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { Withheld } from '../../http/api.ts'
import { ago, exactMoment, flat, moment, timeOfDay, visible } from '../format.ts'

const WITHHELD: Readonly<Record<Withheld, string>> = {
  right: 'not yours to see',
  reason: 'shown for a reason only',
  erased: 'erased',
}

/** Recorded text in one line; it never wraps, and its direction stays its own. */
export function Recorded({
  text,
  withheld,
}: {
  readonly text?: string | undefined
  readonly withheld?: Withheld | undefined
}): JSX.Element {
  if (withheld !== undefined) return <span class="withheld">{WITHHELD[withheld]}</span>
  return <bdi class="recorded">{flat(text ?? '')}</bdi>
}

/** Longer texts are shown in part until the rest is asked for: the page must stay quick. */
const BLOCK_CHARACTERS = 20_000

/** Recorded text as it was, with its lines. */
export function RecordedBlock({
  text,
  label,
}: {
  readonly text: string
  readonly label: string
}): JSX.Element {
  const [shown, setShown] = useState(BLOCK_CHARACTERS)
  const part = visible(text.slice(0, shown))
  return (
    <div class="block">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and a keyboard must reach it. */}
      <pre class="recorded" tabIndex={0} role="region" aria-label={label}>
        {part}
      </pre>
      {text.length > shown && (
        <p class="quiet">
          {text.length - shown} more characters{' '}
          <button type="button" onClick={() => setShown(shown + 10 * BLOCK_CHARACTERS)}>
            show more
          </button>
        </p>
      )}
    </div>
  )
}

const MARKS: Readonly<Record<string, string>> = {
  ok: '✓',
  error: '✕',
  denied: '⊘',
  aborted: '⚡',
  unknown: '?',
  skipped: '↷',
}

/** Never by colour alone. */
export function Outcome({
  outcome,
  code,
}: {
  readonly outcome?: string | undefined
  readonly code?: string | undefined
}): JSX.Element {
  if (outcome === undefined) return <span class="outcome running">● running</span>
  return (
    <span class={`outcome ${outcome}`}>
      <span aria-hidden="true">{MARKS[outcome] ?? '·'}</span> {outcome}
      {code !== undefined && <bdi class="code"> {flat(code)}</bdi>}
    </span>
  )
}

/** The time as it is read; the exact one on hover, and when it is copied. */
export function Time({
  micros,
  form = 'moment',
}: {
  readonly micros: number
  readonly form?: 'moment' | 'time' | 'ago'
}): JSX.Element {
  const exact = exactMoment(micros)
  const text = form === 'ago' ? ago(micros) : form === 'time' ? timeOfDay(micros) : moment(micros)
  return (
    <time dateTime={exact} title={`${exact} (${ago(micros)})`}>
      {text}
    </time>
  )
}

export function Copy({
  text,
  label = 'Copy',
  title,
}: {
  readonly text: string
  readonly label?: string
  readonly title?: string
}): JSX.Element {
  const [done, setDone] = useState(false)
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => {
        setDone(true)
        setTimeout(() => setDone(false), 1500)
      },
      () => setDone(false),
    )
  }
  return (
    <button type="button" class="copy" onClick={copy} title={title ?? text}>
      {done ? '✓ Copied' : label}
    </button>
  )
}

export function Protocol({ name }: { readonly name?: string | undefined }): JSX.Element {
  const short = name === 'postgres' ? 'pg' : name === 'mysql' ? 'my' : (name ?? '')
  return (
    <span class={`protocol ${name ?? ''}`} title={name}>
      {short}
    </span>
  )
}

export function Empty({ children }: { readonly children: string }): JSX.Element {
  return <p class="empty">{children}</p>
}
