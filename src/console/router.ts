/** Where we are: the address holds all state, so that every view can be linked, reloaded and gone back to. */
import { computed, signal } from '@preact/signals'

export interface Place {
  readonly path: string
  readonly query: URLSearchParams
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search) }
}

export const place = signal<Place>(here())
/** The parts of the path: `/sessions/k3v5` is ['sessions', 'k3v5']. */
export const steps = computed(() => place.value.path.split('/').filter((step) => step !== ''))

addEventListener('popstate', () => {
  place.value = here()
})

export function href(path: string, query: Readonly<Record<string, string | undefined>> = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => (entry[1] ?? '') !== '')
  const text = new URLSearchParams(given).toString()
  return text === '' ? path : `${path}?${text}`
}

/** `quietly`: the same view with other details, which is no step to go back to. */
export function go(to: string, quietly = false): void {
  if (to === location.pathname + location.search) return
  if (quietly) history.replaceState(null, '', to)
  else history.pushState(null, '', to)
  const before = place.peek().path
  place.value = here()
  if (!quietly && before !== location.pathname) scrollTo(0, 0)
}

/** Links stay links: a new tab, copying and a middle click work as everywhere. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0) return
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = event.target instanceof Element ? event.target.closest('a') : null
  if (link === null || link.origin !== location.origin || link.target !== '' || link.hasAttribute('download'))
    return
  if (link.pathname.startsWith('/api/')) return
  event.preventDefault()
  go(link.pathname + link.search)
}
