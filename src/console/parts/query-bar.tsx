/** Where a search is typed: with what may come next, its terms to take away, and what is wrong where it is wrong. */
import type { JSX, TargetedKeyboardEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { CompleteAnswer } from '../../http/api.ts'
import { ask, type ProblemFacts } from '../client.ts'
import { flat, number } from '../format.ts'
import { termsOf, withoutTerm } from './query-text.ts'

interface QueryBarProps {
  readonly query: string
  readonly problem?: ProblemFacts | undefined
  readonly onQuery: (query: string) => void
}

const COMPLETE_AFTER_MS = 150
const CHOICES_MAX = 8

export function QueryBar({ query, problem, onQuery }: QueryBarProps): JSX.Element {
  const [text, setText] = useState(query)
  const [choices, setChoices] = useState<CompleteAnswer>()
  const [chosen, setChosen] = useState(-1)
  const input = useRef<HTMLInputElement>(null)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => setText(query), [query])
  useEffect(() => () => clearTimeout(timer.current), [])

  const complete = (typed: string, at: number): void => {
    clearTimeout(timer.current)
    timer.current = setTimeout(() => {
      ask<CompleteAnswer>('/complete', { query: { q: typed, at } }).then(
        (found) => {
          setChoices(document.activeElement === input.current ? found : undefined)
          setChosen(-1)
        },
        // Typing goes on without suggestions.
        () => setChoices(undefined),
      )
    }, COMPLETE_AFTER_MS)
  }
  const close = (): void => {
    clearTimeout(timer.current)
    setChoices(undefined)
  }
  const submit = (asked: string): void => {
    close()
    onQuery(asked.trim())
  }
  const take = (choice: string): void => {
    if (choices === undefined) return
    const next = `${text.slice(0, choices.from)}${choice}${text.slice(choices.to)}`
    setText(next)
    close()
    input.current?.focus()
    if (choice.endsWith(':')) complete(next, choices.from + choice.length)
  }
  const offered = choices?.choices.slice(0, CHOICES_MAX) ?? []
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    const picked = offered[chosen]
    if (event.key === 'ArrowDown' && offered.length > 0) setChosen((chosen + 1) % offered.length)
    else if (event.key === 'ArrowUp' && offered.length > 0)
      setChosen(((chosen + offered.length) % (offered.length + 1)) - (chosen === 0 ? 1 : 0))
    else if (event.key === 'Escape' && offered.length > 0) close()
    else if (event.key === 'Tab' && picked !== undefined) take(picked.text)
    else if (event.key === 'Enter' && picked !== undefined) take(picked.text)
    else if (event.key === 'Enter') submit(event.currentTarget.value)
    else return
    event.preventDefault()
  }
  const column = problem?.column
  return (
    <search class="query">
      <div class="query-line">
        <input
          ref={input}
          id="query"
          type="text"
          role="combobox"
          aria-label="Search"
          aria-expanded={offered.length > 0}
          aria-controls="query-choices"
          aria-activedescendant={chosen >= 0 ? `choice-${chosen}` : undefined}
          aria-autocomplete="list"
          aria-invalid={problem !== undefined}
          aria-describedby={problem === undefined ? undefined : 'query-problem'}
          autocomplete="off"
          spellcheck={false}
          placeholder="actor:alice table:payments verb:DELETE since:7d"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value)
            complete(event.currentTarget.value, event.currentTarget.selectionStart ?? 0)
          }}
          onKeyDown={onKeyDown}
          onBlur={close}
        />
        <button type="button" class="primary" onClick={() => submit(input.current?.value ?? text)}>
          Search
        </button>
      </div>
      <div id="query-choices" role="listbox" aria-label="What may come next" hidden={offered.length === 0}>
        {offered.map(({ text: choice, count, about }, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the input takes the keys for the list.
          <div
            key={choice}
            id={`choice-${i}`}
            role="option"
            tabIndex={-1}
            aria-selected={i === chosen}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => take(choice)}
          >
            <bdi class="recorded">{flat(choice)}</bdi>
            <span class="quiet">{count === undefined ? (about ?? '') : number(count)}</span>
          </div>
        ))}
      </div>
      {problem !== undefined && (
        <div id="query-problem" class="query-problem" role="alert">
          {column !== undefined && (
            <pre aria-hidden="true">
              {query}
              {'\n'}
              {' '.repeat(Math.max(0, column - 1))}^
            </pre>
          )}
          <p>
            {problem.what}
            {column !== undefined && <span class="quiet"> (column {column})</span>}
          </p>
        </div>
      )}
      {query !== '' && (
        <ul class="terms" aria-label="Terms of this search">
          {termsOf(query).map((term) => (
            <li key={term.from} class={term.text.startsWith('-') ? 'term not' : 'term'}>
              <bdi class="recorded">{flat(term.text)}</bdi>
              <button
                type="button"
                aria-label={`Take away ${term.text}`}
                onClick={() => submit(withoutTerm(query, term))}
              >
                ✕
              </button>
            </li>
          ))}
        </ul>
      )}
    </search>
  )
}
