/** The frame around every screen: where to go, what is live, who is here; and the keys that work everywhere. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Me } from '../http/api.ts'
import { me, signOut } from './client.ts'
import { flat } from './format.ts'
import { connected, disconnect } from './live.ts'
import { Dialog } from './parts/dialog.tsx'
import { go, place, steps } from './router.ts'
import { AccessScreen, MyAccessScreen } from './screens/access.tsx'
import { IntegrityScreen } from './screens/integrity.tsx'
import { OverviewScreen } from './screens/overview.tsx'
import { RecordScreen } from './screens/record.tsx'
import { SearchScreen } from './screens/search.tsx'
import { SessionScreen } from './screens/session.tsx'
import { SessionsScreen } from './screens/sessions.tsx'
import { SettingsScreen } from './screens/settings.tsx'
import { SignInScreen } from './screens/sign-in.tsx'

interface Entry {
  readonly path: string
  readonly title: string
  readonly key: string
  readonly icon: string
  readonly for: (me: Me) => boolean
}

const everybody = (): boolean => true
const readers = ({ sees }: Me): boolean => sees.others

const ENTRIES: readonly Entry[] = [
  { path: '/', title: 'Overview', key: 'o', icon: 'M3 12l4-5 4 3 6-7', for: readers },
  {
    path: '/sessions',
    title: 'Sessions',
    key: 's',
    icon: 'M2 4h16v11H2zM5 8l2.5 2L5 12M10 12h4',
    for: everybody,
  },
  {
    path: '/search',
    title: 'Search',
    key: 'f',
    icon: 'M9 3a6 6 0 1 0 0 12A6 6 0 0 0 9 3zM13.5 13.5 18 18',
    for: readers,
  },
  {
    path: '/access',
    title: 'Access',
    key: 'a',
    icon: 'M6 9a3 3 0 1 1 0-6 3 3 0 0 1 0 6zM1 17c0-4 2-6 5-6s5 2 5 6M13 8h6M16 5v6',
    for: readers,
  },
  {
    path: '/mine',
    title: 'My access',
    key: 'm',
    icon: 'M11 9a4 4 0 1 0-1.5 3.1L12 14.5l2 0 0 2 2 0 0 2 2.500-.5 0-2.500z',
    for: everybody,
  },
  {
    path: '/integrity',
    title: 'Integrity',
    key: 'i',
    icon: 'M10 2l7 2.500v5c0 4.500-3 7-7 8.500-4-1.500-7-4-7-8.500v-5zM7 10l2 2 4-4',
    for: everybody,
  },
  {
    path: '/settings',
    title: 'Settings',
    key: ',',
    icon: 'M3 5h9M16 5h1M3 10h2M9 10h8M3 15h9M16 15h1M14 3v4M7 8v4M14 13v4',
    for: everybody,
  },
]

export function App(): JSX.Element {
  const who = me.value
  if (who === undefined) return <div class="waiting" role="status" />
  if (who === null) return <SignInScreen />
  return <Frame who={who} />
}

function Frame({ who }: { readonly who: Me }): JSX.Element {
  const [help, setHelp] = useState(false)
  useGlobalKeys(() => setHelp(true), who)
  const entries = ENTRIES.filter((entry) => entry.for(who))
  const current = `/${steps.value[0] ?? ''}`
  const shownAt = current === '/' && !who.sees.others ? '/mine' : current
  const title = ENTRIES.find(({ path }) => path === shownAt)?.title ?? (shownAt === '/r' ? 'Record' : '')
  useEffect(() => {
    document.title = `${title === '' ? '' : `${title} · `}${who.gateway} · Gatebook`
  }, [title, who.gateway])
  return (
    <div class="frame">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <nav class="rail" aria-label="Screens">
        <a class="brand" href="/" aria-label="Gatebook, home">
          <span class="mark" aria-hidden="true" /> <span>Gatebook</span>
        </a>
        <ul>
          {entries.map(({ path, title: name, icon, key }) => (
            <li key={path}>
              <a href={path} aria-current={path === shownAt ? 'page' : undefined} title={`g ${key}`}>
                <svg viewBox="0 0 20 20" aria-hidden="true">
                  <path d={icon} />
                </svg>
                <span>{name}</span>
              </a>
            </li>
          ))}
        </ul>
        <p class="rail-foot">
          <span class="quiet" title={`release ${who.release}`}>
            {flat(who.gateway)}
          </span>
          <span class={connected.value ? 'running' : 'quiet'} title="New records come by themselves">
            {connected.value ? '● live' : ''}
          </span>
          <span class="who">
            <bdi>{flat(who.user)}</bdi>
            <button type="button" class="link" onClick={leave}>
              sign out
            </button>
          </span>
          <button type="button" class="link" onClick={() => setHelp(true)}>
            ? keys
          </button>
        </p>
      </nav>
      <main id="main" tabIndex={-1}>
        <Screen who={who} at={shownAt} />
      </main>
      {help && <Help entries={entries} onClose={() => setHelp(false)} />}
    </div>
  )
}

function leave(): void {
  disconnect()
  signOut().catch(() => location.reload())
}

function Screen({ who, at }: { readonly who: Me; readonly at: string }): JSX.Element {
  switch (at) {
    case '/':
      return <OverviewScreen />
    case '/sessions':
      return steps.value.length > 1 ? <SessionScreen key={steps.value[1]} /> : <SessionsScreen />
    case '/search':
      return <SearchScreen />
    case '/r':
      return <RecordScreen />
    case '/access':
      return <AccessScreen />
    case '/mine':
      return <MyAccessScreen />
    case '/integrity':
      return <IntegrityScreen />
    case '/settings':
      return <SettingsScreen all={who.sees.all} />
    default:
      return (
        <>
          <h1>Nothing is here</h1>
          <p>
            There is no screen at <code>{flat(place.value.path)}</code>. <a href="/">Go to the beginning.</a>
          </p>
        </>
      )
  }
}

/** `/` to the search, `?` for the keys, `g` and a letter to a screen. Never while somebody types. */
function useGlobalKeys(help: () => void, who: Me): void {
  useEffect(() => {
    let afterG = Number.NEGATIVE_INFINITY
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
      const typing =
        event.target instanceof Element &&
        event.target.closest('input,textarea,select,[contenteditable],.ap-player,dialog')
      if (typing) return
      if (event.key === '?') help()
      else if (event.key === '/') focusSearch(who)
      else if (event.key === 'g') {
        afterG = event.timeStamp
        return
      } else if (event.timeStamp - afterG < 1500) {
        const entry = ENTRIES.find(({ key }) => key === event.key)
        if (entry === undefined || !entry.for(who)) return
        go(entry.path)
      } else return
      afterG = Number.NEGATIVE_INFINITY
      event.preventDefault()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [help, who])
}

function focusSearch(who: Me): void {
  const input = document.querySelector<HTMLInputElement>('#query')
  if (input === null && who.sees.others) {
    go('/search')
    requestAnimationFrame(() => document.querySelector<HTMLInputElement>('#query')?.focus())
  } else input?.focus()
}

function Help({
  entries,
  onClose,
}: {
  readonly entries: readonly Entry[]
  readonly onClose: () => void
}): JSX.Element {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        <dt>/</dt>
        <dd>search</dd>
        {entries.map(({ key, title }) => (
          <div key={key}>
            <dt>g {key}</dt>
            <dd>{title}</dd>
          </div>
        ))}
        <dt>j k ↓ ↑</dt>
        <dd>move in a list</dd>
        <dt>Enter</dt>
        <dd>open</dd>
        <dt>Tab, Enter</dt>
        <dd>take a suggestion</dd>
        <dt>space [ ]</dt>
        <dd>play, step through commands</dd>
        <dt>Esc</dt>
        <dd>close</dd>
      </dl>
    </Dialog>
  )
}
