/** Who can reach what, and why; and for everybody, how to get where they may. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import type { MyTargets, ReachAnswer, WhyAnswer } from '../../http/api.ts'
import { ask, me } from '../client.ts'
import { flat } from '../format.ts'
import { Show, useLoad } from '../parts/load.tsx'
import { Copy, Empty, Protocol } from '../parts/small.tsx'
import { go, href, place } from '../router.ts'

export function MyAccessScreen(): JSX.Element {
  const loaded = useLoad('mine', (signal) => ask<MyTargets>('/access/mine', { signal }))
  return (
    <div class="mine">
      <h1>My access</h1>
      <p class="quiet">
        Connect with your usual tools. The password is a personal token, or your own; your name and the target
        are the user. Everything is recorded.
      </p>
      <Show of={loaded}>
        {({ targets }) =>
          targets.length === 0 ? (
            <Empty>No role of yours reaches a target.</Empty>
          ) : (
            <div class="cards">
              {targets.map((target) => (
                <TargetCard key={target.target} target={target} />
              ))}
            </div>
          )
        }
      </Show>
    </div>
  )
}

function TargetCard({ target }: { readonly target: MyTargets['targets'][number] }): JSX.Element {
  const { target: name, type, limits, usable, ways } = target
  return (
    <section class="panel card">
      <h2>
        <Protocol name={type} /> {name}
        {!usable && <span class="outcome denied"> ⊘ not at this hour</span>}
      </h2>
      <ul class="quiet">
        {limits.map((limit) => (
          <li key={limit}>{limit}</li>
        ))}
      </ul>
      {ways.length === 0 && <Empty>No listener leads there.</Empty>}
      <dl class="ways">
        {ways.map(({ name: way, text }) => (
          <div key={way}>
            <dt>{way}</dt>
            <dd>
              <code>{text}</code> <Copy text={text} />
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

export function AccessScreen(): JSX.Element {
  const loaded = useLoad('access', (signal) => ask<ReachAnswer>('/access', { signal }))
  const user = place.value.query.get('user') ?? ''
  const target = place.value.query.get('target') ?? ''
  return (
    <div class="access">
      <h1>Access</h1>
      <Show of={loaded}>
        {(answer) => (
          <>
            <Matrix answer={answer} user={user} target={target} />
            <Why answer={answer} user={user} target={target} />
          </>
        )}
      </Show>
    </div>
  )
}

const STANDING: Readonly<Record<ReachAnswer['reach'][number]['standing'], string>> = {
  holds: '',
  'other-database': ' (other database)',
  expired: ' (expired)',
  'outside-hours': ' (not at this hour)',
}

interface MatrixProps {
  readonly answer: ReachAnswer
  readonly user: string
  readonly target: string
}

function Matrix({ answer: { reach, users, targets }, user, target }: MatrixProps): JSX.Element {
  if (users.length === 0 || targets.length === 0) return <Empty>Nobody reaches anything.</Empty>
  return (
    <div class="matrix">
      <table class="plain">
        <caption class="unseen">People and the targets they reach, by role</caption>
        <thead>
          <tr>
            <th>Who</th>
            {targets.map(({ target: name, type }) => (
              <th key={name}>
                <Protocol name={type} /> {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {users.map(({ user: name, groups, kind }) => (
            <tr key={name}>
              <th scope="row">
                {name} <span class="quiet">{kind === 'service' ? 'service' : groups.join(', ')}</span>
              </th>
              {targets.map(({ target: where }) => {
                const ways = reach.filter((one) => one.user === name && one.target === where)
                const selected = name === user && where === target
                return (
                  <td key={where} class={selected ? 'selected' : ''}>
                    <a
                      href={href('/access', { user: name, target: where })}
                      title={ways.map(({ role, limits, line }) => `${role}: ${limits} (${line})`).join('\n')}
                      class={ways.length === 0 ? 'quiet' : ''}
                    >
                      {ways.length === 0
                        ? '–'
                        : ways.map(({ role, standing }) => `${role}${STANDING[standing]}`).join(', ')}
                    </a>
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Why({ answer: { users, targets }, user, target }: MatrixProps): JSX.Element {
  const [asked, setAsked] = useState('')
  const ready = user !== '' && target !== ''
  const loaded = useLoad(
    `${user} ${target} ${asked}`,
    async (signal): Promise<WhyAnswer | undefined> =>
      ready ? ask<WhyAnswer>('/access/why', { query: { user, target, sql: asked }, signal }) : undefined,
  )
  const choose = (chosen: { user?: string; target?: string }): void =>
    go(href('/access', { user, target, ...chosen }), true)
  return (
    <section class="panel why">
      <h2>Why?</h2>
      <form
        class="why-form"
        onSubmit={(event) => {
          event.preventDefault()
          setAsked(String(new FormData(event.currentTarget).get('sql')))
        }}
      >
        <label>
          Who
          <select value={user} onChange={(event) => choose({ user: event.currentTarget.value })}>
            <option value="">choose…</option>
            {users.map(({ user: name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          Target
          <select value={target} onChange={(event) => choose({ target: event.currentTarget.value })}>
            <option value="">choose…</option>
            {targets.map(({ target: name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label class="wide">
          Statement, if one is meant
          <input name="sql" spellcheck={false} placeholder="DELETE FROM payments" />
        </label>
        <button type="submit">Ask</button>
      </form>
      {ready && (
        <Show of={loaded}>
          {(why) =>
            why === undefined ? null : (
              <pre class={`recorded verdict ${why.allowed ? 'good' : 'bad'}`} role="status">
                {why.allowed ? '✓ ' : '✕ '}
                {why.lines.map(flat0).join('\n')}
              </pre>
            )
          }
        </Show>
      )}
      {!ready && me.value !== null && <p class="quiet">Choose a cell above, or a person and a target.</p>}
    </section>
  )
}

/** Their indentation says what belongs to what. */
function flat0(line: string): string {
  const [indent = ''] = /^ */.exec(line) ?? []
  return indent + flat(line)
}
